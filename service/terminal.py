"""What reaches a screen: plain lines for a pipe, colours for a terminal, nothing that drives the terminal.

Invariant: text that a model, a caller or a provider wrote is printed with its control characters
escaped, so that it can neither move the cursor nor hide a line of the log, nor forge one. Results go
to stdout, everything that is said beside them to stderr. Rich is imported when there is something to
print with it, so that `gatepost --version` need not wait for it.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_COLOURS = {"[step]": "cyan", "[workflow]": "bold", "[resume]": "green", "[artifact]": "magenta", "[plan]": "yellow"}
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories: controls, direction changes and other invisible marks, surrogates, line separators."""


def safe(value: object) -> str:
    """Text with control and direction-changing characters escaped; line breaks and tabs stay."""
    return _escaped(value, kept="\n\t")


def one_line(value: object) -> str:
    """As `safe`, and line breaks and tabs are escaped too: nothing can look like the next line."""
    return _escaped(value, kept="")


def out() -> Console:
    """Where results go."""
    return _console(sys.stdout)


def err() -> Console:
    """Where hints and errors go."""
    return _console(sys.stderr)


def log_line(line: str) -> None:
    """One line of a run's log, written at once."""
    if sys.stdout.isatty():
        from rich.text import Text

        tag = line.partition(" ")[0]
        text = Text(one_line(line))
        text.stylize(_COLOURS.get(tag, ""), 0, len(tag))
        out().print(text)
    else:
        sys.stdout.write(f"{one_line(line)}\n")
        sys.stdout.flush()


def say(text: str) -> None:
    """Lines of a result."""
    sys.stdout.write(f"{safe(text)}\n")


def content(text: str) -> None:
    """What somebody stored: byte by byte as it is into a pipe or a file, made harmless on a terminal."""
    if sys.stdout.isatty():
        say(text)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()


def hint(text: str) -> None:
    """A line beside the result, on stderr, so that a pipe gets only the result."""
    _beside(text, style="dim")


def note(text: str, *, style: str = "") -> None:
    """As `hint`, for what must be read."""
    _beside(text, style=style)


def complain(kind: str, message: object) -> None:
    """An error or a warning on stderr; what follows its first line is indented, so that it cannot pass for another."""
    from rich.text import Text

    err().print(Text.assemble((f"{kind}:", "bold red"), " ", safe(message).replace("\n", "\n  ")))


def ask(prompt: str) -> str | None:
    """A line from the person at the terminal; None when they closed it."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    return line.strip() if line else None


def as_json(value: object, *, limit: int | None = None) -> None:
    """A value as JSON on stdout; of a list at most so many, and a word beside it where it has more."""
    shown = value[:limit] if isinstance(value, list) else value
    sys.stdout.write(json_text(shown, indent=2) + "\n")
    _left_out(value, limit)


def json_text(value: object, *, indent: int | None = None) -> str:
    """A value as JSON, with what a terminal would act on as JSON's own escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=_plain)
    return "".join(mark if _harmless(mark, kept="\n") else _json_escape(mark) for mark in text)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, limit: int | None = None) -> None:
    """A table on a terminal, tab-separated lines in a pipe.

    Args:
        columns: their heads.
        rows: a value for each column.
        empty: what is said where there are none.
        limit: at most so many are shown, and a word beside them where there are more.
    """
    plain = _brief if sys.stdout.isatty() else _plain
    found = [["" if cell is None else one_line(plain(cell)) for cell in row] for row in rows]
    shown = found[:limit]
    if not shown:
        hint(empty)
    elif not sys.stdout.isatty():
        sys.stdout.write("".join("\t".join(row) + "\n" for row in [list(columns), *shown]))
    else:
        _grid(columns, shown)
    _left_out(found, limit)


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


class Progress:
    """What is under way, on stderr, where a person watches; nothing in a pipe."""

    def __init__(self, status: Status | None) -> None:
        self._status = status

    def busy(self, what: str) -> None:
        """Show what is under way."""
        if self._status is not None:
            self._status.update(one_line(what))

    def line(self, line: str) -> None:
        """A line of the log, with the spinner out of its way."""
        if self._status is None:
            log_line(line)
            return
        self._status.stop()
        log_line(line)
        self._status.start()


@contextmanager
def progress() -> Iterator[Progress]:
    """A spinner while the block runs, where a person watches."""
    if not sys.stderr.isatty():
        yield Progress(None)
        return
    with err().status("…") as status:
        yield Progress(status)


def _left_out(rows: object, limit: int | None) -> None:
    """Say that there are more; whoever asked for a list asks for one more than it shows."""
    if limit is not None and isinstance(rows, list) and len(rows) > limit:
        sys.stdout.flush()
        hint(f"there are more than these {limit}; --limit says how many are shown")


def _beside(text: str, *, style: str) -> None:
    from rich.text import Text

    err().print(Text(safe(text), style=style))


def _console(file: Any) -> Console:
    from rich.console import Console

    return Console(file=file, highlight=False, soft_wrap=True)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from gatepost.service.grid import GAP, record, widths

    screen = out()
    if (wide := widths(columns, rows, room=screen.width)) is None:
        for row in rows:
            for head, cell in record(columns, row):
                screen.print(Text.assemble((head, "bold"), cell))
            if row is not rows[-1]:
                screen.print()
        return
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for column, width in zip(columns, wide, strict=True):
        grid.add_column(column, overflow="fold", width=width)
    for row in rows:
        grid.add_row(*map(Text, row))
    screen.print(grid, soft_wrap=False)


def _escaped(value: object, *, kept: str) -> str:
    text = str(_plain(value))
    return "".join(mark if _harmless(mark, kept=kept) else mark.encode("unicode_escape").decode() for mark in text)


def _harmless(mark: str, *, kept: str) -> bool:
    return mark in kept or unicodedata.category(mark) not in _HIDDEN


def _json_escape(mark: str) -> str:
    return json.dumps(mark)[1:-1]


def _brief(value: object) -> Any:
    """A time to the second: a table has many of them."""
    text = _plain(value)
    return f"{text[:10]} {text[11:19]}Z" if isinstance(value, datetime) else text


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        from gatepost.checkpointing.history import utc

        return utc(value)
    return str(value)
