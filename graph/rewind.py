"""A run as of one transition after another, going back: what readers are shown of it.

Invariant: the first look costs what it shows, and each further one what happened between it and the one
before, and a copy of a dict, so that a page of a history costs the same wherever in a run it lies, and a
history of ten thousand checkpoints is not read ten thousand times. One statement for the steps as of the
first look, one for each page, one for each plan version.

Plans and records are shown as they are stored: they were validated when they were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from gatepost.checkpointing.history import History
from gatepost.graph import view
from gatepost.state.board import unrecorded

Shown = dict[str, JsonValue]
"""A plan or a step as plain data."""


class Rewind:
    """The joined view of one run's checkpoints, newest first.

    Args:
        history: where the rows are.
        run_id: the run.
    """

    def __init__(self, history: History, run_id: str) -> None:
        self._history, self._run_id = history, run_id
        self._seq: int | None = None
        """As of which transition `_steps` is."""
        self._reached: set[int] = set()
        """To which places before it what has been read leads back."""
        self._changed: list[tuple[int, str]] = []
        """What happened between these places up to `_seq`, the last on top: when, and to which step."""
        self._records: dict[str, list[Shown]] = {}
        """Of each step that changed, the last on top."""
        self._steps: dict[str, Shown] = {}
        """Of each step of which there is one, its last record."""
        self._plans: dict[int, Shown | None] = {0: None}
        self._planned: dict[str, str] = {}
        """The tool of each step of the plan in force."""
        self._version: int | None = None
        """Of which plan `_joined` is."""
        self._joined: dict[str, Shown] = {}
        """`_steps` in the plan's order, with those of which nothing is recorded."""

    async def reach(self, seqs: Sequence[int]) -> None:
        """Read at once what is needed to show these transitions, newest first."""
        if seqs and (self._seq is None or seqs[0] > self._seq):
            await self._read(seqs[0])
        top = self._seq or 0
        places = sorted({seq for seq in seqs if seq < top})
        if not places:
            return
        self._changed, self._records = [], {}
        for row in await self._history.steps_back(self._run_id, top=top, places=places):
            self._changed.append((row["seq"], row["step_id"]))
            self._records.setdefault(row["step_id"], []).append(_record(row))
        self._reached = set(places)

    async def as_of(self, values: Mapping[str, Any], *, seq: int | None) -> dict[str, Any]:
        """The joined view as of a transition (None: as of now); going back is cheap, going forward reads anew."""
        if seq is None:
            await self._read(None)
        else:
            if not self._within_reach(seq):
                await self.reach([seq])
            self._go_back(seq)
        version = values.get("plan_version", 0)
        if version != self._version:
            await self._adopt(version)
        return view.put_together(values, self._plans[version], self._joined.copy())

    def _within_reach(self, seq: int) -> bool:
        return self._seq is not None and (seq == self._seq or (seq < self._seq and seq in self._reached))

    async def _read(self, seq: int | None) -> None:
        rows = await self._history.step_rows(self._run_id, seq=seq)
        self._steps = {row["step_id"]: _record(row) for row in rows}
        self._seq, self._version = seq, None
        self._changed, self._reached = [], set()

    async def _adopt(self, version: int) -> None:
        if version not in self._plans:
            self._plans[version] = await self._history.plan_row(self._run_id, version)
        plan: Any = self._plans[version] or {"steps": ()}
        self._planned = {step["id"]: step["tool"] for step in plan["steps"]}
        self._joined = {step: self._steps.get(step) or unrecorded(tool) for step, tool in self._planned.items()}
        self._joined.update(self._steps)
        self._version = version

    def _go_back(self, seq: int) -> None:
        while self._changed and self._changed[-1][0] > seq:
            _, step = self._changed.pop()
            self._records[step].pop()
            if records := self._records[step]:
                self._steps[step] = self._joined[step] = records[-1]
                continue
            del self._steps[step]
            if step in self._planned:
                self._joined[step] = unrecorded(self._planned[step])
            else:
                self._joined.pop(step, None)
        self._seq = seq


def _record(row: Mapping[str, Any]) -> Shown:
    return {**(row["record"] or {}), "status": row["status"]}


async def as_of(history: History, values: Mapping[str, Any], *, seq: int | None) -> dict[str, Any]:
    """The joined view as of one transition (None: as of now)."""
    return await Rewind(history, values["run_id"]).as_of(values, seq=seq)
