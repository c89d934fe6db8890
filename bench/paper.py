"""Putting results into a page: each between its own two marks, so that no number is copied by hand."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"


class NoPlace(Exception):
    """The page has no marks for a result."""


def put(page: Path, name: str, text: str) -> None:
    """Replace what lies between the marks `name`.

    Raises:
        NoPlace: there are none.
    """
    told = page.read_text()
    begin, end = BEGIN.format(name), END.format(name)
    before, found, rest = told.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise NoPlace(f"{page} has no place for {name!r}: put {begin} and {end} where it belongs")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
