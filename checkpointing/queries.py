"""The named queries: every statement of this room, read once from its `.sql` file.

A file `sql/queries/run.sql` holds statements under `-- name: take` lines; `query("run.take")` is
the text of one. A second comment line under the name says what it is for.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def _file(room: str) -> dict[str, LiteralString]:
    text = (files("gatepost.checkpointing") / "sql" / "queries" / f"{room}.sql").read_text()
    _, *parts = _NAME.split(text)
    # The text comes from our own package, never from a caller: that is what LiteralString promises.
    return {name: cast("LiteralString", body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def query(name: str) -> LiteralString:
    """The statement called `<file>.<name>`.

    Raises:
        KeyError: there is none; a bug of ours.
    """
    room, _, statement = name.partition(".")
    return _file(room)[statement]
