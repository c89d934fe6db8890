"""Saving what a run left behind as files.

Invariant: a file is whole or absent, holds exactly the bytes whose checksum is recorded, and lies
in the run's own folder whatever the artifact is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
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
    return [_write(folder / name, content) for name, content in zip(_file_names(newest), newest.values(), strict=True)]


def file_name(name: str) -> str:
    """A name as a file name: no way out of the folder, nothing hidden, and short enough for every file system."""
    return _STRANGE.sub("_", name).lstrip(".").encode()[:200].decode(errors="ignore") or "artifact"


def _file_names(names: Iterable[str]) -> list[str]:
    """File names, each once: where two names would be one file, the later gets a number in front."""
    taken: list[str] = []
    for name in names:
        wanted = file_name(name)
        taken.append(next(free for free in _numbered(wanted) if free not in taken))
    return taken


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{number}_{name}" for number in count(2))


def _write(path: Path, content: str) -> Path:
    with NamedTemporaryFile("wb", dir=path.parent, prefix=".", delete=False) as file:
        file.write(content.encode())
    made = Path(file.name)
    made.chmod(0o644)  # the temporary file was made for nobody else
    return made.replace(path)
