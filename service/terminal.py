"""What reaches a screen: plain lines for a pipe, colours for a terminal, nothing that drives the terminal.

Invariant: text that a model, a caller or a provider wrote is printed with its control characters
escaped, so that it can neither move the cursor nor hide a line of the log.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gatepost.checkpointing.history import utc

_COLOURS = {"[step]": "cyan", "[workflow]": "bold", "[resume]": "green", "[artifact]": "magenta", "[plan]": "yellow"}


def safe(value: object) -> str:
    """Text with control and direction-changing characters escaped; line breaks and tabs stay."""
    text = utc(value) if isinstance(value, datetime) else str(value)
    return "".join(mark if _harmless(mark) else mark.encode("unicode_escape").decode() for mark in text)


def out() -> Console:
    """Where results go."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def err() -> Console:
    """Where hints and errors go."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def log_line(line: str) -> None:
    """One line of a run's log."""
    tag = line.partition(" ")[0]
    text = Text(safe(line).replace("\n", " "))
    text.stylize(_COLOURS.get(tag, ""), 0, len(tag))
    out().print(text)


def say(text: str) -> None:
    """A plain line of a result."""
    out().print(Text(safe(text)))


def hint(text: str) -> None:
    """A line beside the result, on stderr, so that a pipe gets only the result."""
    err().print(Text(safe(text), style="dim"))


def as_json(value: object) -> None:
    """A value as JSON on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on a terminal, tab-separated lines in a pipe."""
    found = [[("" if cell is None else safe(cell).replace("\n", " ")) for cell in row] for row in rows]
    if not found:
        hint(empty)
    elif not sys.stdout.isatty():
        sys.stdout.write("".join("\t".join(row) + "\n" for row in [list(columns), *found]))
    else:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            grid.add_column(column, overflow="fold")
        for row in found:
            grid.add_row(*map(Text, row))
        Console(file=sys.stdout, highlight=False).print(grid)


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _harmless(mark: str) -> bool:
    return mark in "\n\t" or unicodedata.category(mark) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _plain(value: object) -> Any:
    return utc(value) if isinstance(value, datetime) else str(value)


def rich_safe(value: object) -> str:
    """Text that goes between Rich's own markup."""
    return escape(safe(value))
