"""Recordings: everything that a run rested on and everything that it did, as plain data, in a file or in memory.

Invariant: a recording says nothing that is not in the run's rows, and holds no object of any code, so
that it can be read by any later release and on any machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gatepost.state.errors import InvalidValue, UnknownVersion

RECORDING_SCHEMA = 1

Row = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """One run, as its rows had it. Times are ISO 8601."""

    run: Row
    """Its row; of where it stands now, only `status`, `seq` and `plan_version`."""
    transitions: list[Row]
    entries: list[Row] = field(default_factory=list)
    """What the first superstep of each owner saw."""
    code: list[Row] = field(default_factory=list)
    answers: list[Row] = field(default_factory=list)
    plans: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    approvals: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    effects: list[Row] = field(default_factory=list)
    artifacts: list[Row] = field(default_factory=list)
    instructions: list[Row] = field(default_factory=list)
    """What operators told the gate."""
    states: list[Row] = field(default_factory=list)
    """`{"seq": …, "channels": {…}}` for each transition whose checkpoint was kept."""

    @property
    def run_id(self) -> str:
        """Its run."""
        return str(self.run["run_id"])

    @property
    def last(self) -> int:
        """The last transition."""
        return int(self.transitions[-1]["seq"]) if self.transitions else 0

    def lines(self) -> Iterator[str]:
        """As JSON lines: a head, then a line for each row."""
        yield _line({"kind": "recording", "schema_version": RECORDING_SCHEMA, "run": self.run})
        for part in _PARTS:
            for row in getattr(self, part):
                yield _line({"kind": part, **row})


_PARTS = tuple(part.name for part in fields(Recording) if part.name != "run")


def read_recording(lines: Iterable[str], *, name: str = "the file") -> Recording:
    """Read what `Recording.lines` wrote.

    Raises:
        InvalidValue: it is no recording; says which line.
        UnknownVersion: a later release wrote it.
    """
    parts: dict[str, list[Row]] = {part: [] for part in _PARTS}
    run: Mapping[str, Any] | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _row(line, name=name, number=number)
        kind = row.pop("kind")
        if kind == "recording":
            run = _head(row, name=name)
        elif kind in parts:
            parts[kind].append(row)
        else:
            raise _broken(name, number, f"it is of the kind {kind!r:.40}")
    if run is None:
        raise InvalidValue(f"{name} is no recording: its first line says of no run. {_CURE}")
    return Recording(run=dict(run), **parts)


def is_head(line: bytes) -> bool:
    """Whether a line is the first one of a recorded history, of this release or another."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and row.get("kind") == "recording"


_CURE = "Make one with `gatepost export ID --replayable`."


def _row(line: str, *, name: str, number: int) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise _broken(name, number, "it is no JSON") from None
    if not isinstance(row, dict) or not isinstance(row.get("kind"), str):
        raise _broken(name, number, "it has no kind")
    return row


def _head(row: Row, *, name: str) -> Mapping[str, Any]:
    if row.get("schema_version") != RECORDING_SCHEMA:
        raise UnknownVersion(
            f"{name} has schema_version {row.get('schema_version')!r}; this release reads {RECORDING_SCHEMA}. "
            "Replay it with the release that wrote it."
        )
    run = row.get("run")
    if not isinstance(run, dict) or not {"run_id", "workflow", "goal", "input"} <= run.keys():
        raise InvalidValue(f"{name} is no recording: its head describes no run. {_CURE}")
    return run


def _broken(name: str, number: int, why: str) -> InvalidValue:
    return InvalidValue(f"line {number} of {name} cannot be read: {why}. {_CURE}")


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))
