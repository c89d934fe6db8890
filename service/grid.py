"""Tables on a terminal: a grid, or a record for each row where a terminal is too narrow for one. Pure.

Invariant: no word is broken unless it is longer than any id of ours, so that ids can be copied.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

GAP = 2
"""Between columns."""
LONGEST = 48
"""Words that are longer are broken: a key of an effect is none of them."""
HIGHEST = 6
"""Lines of a cell; rows that take more are read better across the whole terminal, where most of them are such."""


def widths(columns: Sequence[str], rows: Sequence[Sequence[str]], *, room: int) -> list[int] | None:
    """How wide each column is; None where records are better.

    Args:
        columns: their heads.
        rows: a text for each column.
        room: the terminal's width, in characters.
    """
    cells = [[head, *(row[at] for row in rows)] for at, head in enumerate(columns)]
    wide = [min(LONGEST, max(cell_len(word) for cell in column for word in cell.split() or [""])) for column in cells]
    wanted = [max(map(cell_len, column)) for column in cells]
    spare = room - sum(wide) - GAP * (len(columns) - 1)
    for at in sorted(range(len(columns)), key=lambda at: wanted[at] - wide[at]):
        more = max(0, min(spare, wanted[at] - wide[at]))
        wide[at], spare = wide[at] + more, spare - more
    high = sum(any(cell_len(cell) > HIGHEST * wide[at] for at, cell in enumerate(row)) for row in rows)
    return None if spare < 0 or 2 * high > len(rows) else wide


def record(columns: Sequence[str], row: Sequence[str]) -> list[tuple[str, str]]:
    """The heads, as wide as each other, and the cells that have something in them."""
    head = max(map(len, columns)) + GAP
    return [(column.ljust(head), cell) for column, cell in zip(columns, row, strict=True) if cell]
