"""Saving what a run left behind as files.

Invariant: a file is whole or absent, holds exactly the bytes whose checksum is recorded, and lies
in the run's own folder whatever the artifact is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

_STRANGE = re.compile(r"[^\w.@+=, -]")


def save(folder: Path, artifacts: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Write the newest version of each artifact into a folder.

    Args:
        folder: made when it is missing.
        artifacts: rows of `History.artifacts`, oldest first.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    newest = {found["name"]: found["content"] for found in artifacts}
    if newest:
        folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / file_name(name), content) for name, content in newest.items()]


def file_name(name: str) -> str:
    """A name as a file name: no way out of the folder, and nothing hidden."""
    return _STRANGE.sub("_", name).lstrip(".")[:200] or "artifact"


def _write(path: Path, content: str) -> Path:
    with NamedTemporaryFile("wb", dir=path.parent, prefix=".", delete=False) as file:
        file.write(content.encode())
    made = Path(file.name)
    made.chmod(0o644)  # the temporary file was made for nobody else
    return made.replace(path)
