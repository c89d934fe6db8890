"""Differences: what changed from one state of a run to another, path by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gatepost.state.record import Record

ABSENT = "∅"
"""Stands for what is not there."""


_NUMBERS = (bool, int, float)


class Change(NamedTuple):
    """One place where two states differ."""

    path: str
    """`steps/policy_screen/status`"""
    before: Any
    after: Any

    def __str__(self) -> str:
        """One line: `steps/policy_screen/status: 'running' → 'succeeded'`."""
        return f"{self.path}: {_short(self.before)} → {_short(self.after)}"


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What changed between two states, for example the `values` of two snapshots, sorted by path."""
    return sorted(_changes(dict(before), dict(after), ""), key=lambda change: change.path)


def same(before: Any, after: Any) -> bool:
    """Whether two values are the same as JSON is: `1`, `1.0` and `true`, equal in Python, are three values."""
    if before is after:
        return True
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(same(value, after[key]) for key, value in before.items())
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return len(before) == len(after) and all(map(same, before, after))
    numbers = isinstance(before, _NUMBERS) or isinstance(after, _NUMBERS)
    return bool(before == after) and (not numbers or type(before) is type(after))


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    if before is after:
        return  # of one history, nearly everything is
    before, after = _plain(before), _plain(after)
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            yield from _changes(before.get(key, ABSENT), after.get(key, ABSENT), f"{path}/{key}".lstrip("/"))
    elif isinstance(after, dict) and after and before in (ABSENT, None):
        yield from _changes({}, after, path)
    elif not same(before, after):
        yield Change(path, before, after)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.plain()
    return {str(index): member for index, member in enumerate(value)} if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = ABSENT if isinstance(value, str) and value == ABSENT else repr(value)
    return text if len(text) <= 70 else f"{text[:67]}…"  # noqa: PLR2004 (a line on a screen)
