"""A run as of one transition after another, going back: what a history shows.

Invariant: each item costs what happened between it and the one before, and a copy of a dict, so that a
history of ten thousand checkpoints is not read ten thousand times. One statement for all steps, one for
each plan version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from gatepost.checkpointing.history import History
from gatepost.graph import view
from gatepost.state.board import pending


class Rewind:
    """The joined view of one run's checkpoints, newest first.

    Args:
        history: where the rows are.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._seq: int | None = None
        """As of which transition `_steps` is."""
        self._changed: list[tuple[int, str]] = []
        """What happened up to `_seq`, the last on top: when, and to which step."""
        self._records: dict[str, list[dict[str, JsonValue]]] = {}
        """Of each step up to `_seq`, the last on top."""
        self._steps: dict[str, dict[str, JsonValue]] = {}
        self._plans: dict[int, tuple[dict[str, JsonValue], dict[str, dict[str, JsonValue]]]] = {}
        """Each version as plain data, and its steps before anything was recorded of them."""

    async def as_of(self, values: Mapping[str, Any], *, seq: int) -> dict[str, Any]:
        """The joined view as of a transition; going back is cheap, going forward reads anew."""
        if self._seq is None or seq > self._seq:
            await self._read(values["run_id"], seq)
        self._go_back(seq)
        version = values.get("plan_version", 0)
        if not version:
            return view.put_together(values, None, dict(self._steps))
        if version not in self._plans:
            plan = await self._history.plan(values["run_id"], version)
            self._plans[version] = plan.plain(), pending(plan)
        plain, planned = self._plans[version]
        return view.put_together(values, plain, {**planned, **self._steps})

    async def _read(self, run_id: str, seq: int) -> None:
        """Records are shown as they are stored: they were validated when they were written."""
        rows = await self._history.step_rows(run_id, after=-1, until=seq)
        self._changed = [(row["seq"], row["step_id"]) for row in rows]
        self._records, self._seq = {}, seq
        for row in rows:
            shown = {**row["record"], "status": row["status"]}
            self._records.setdefault(row["step_id"], []).append(shown)
        self._steps = {step: records[-1] for step, records in self._records.items()}

    def _go_back(self, seq: int) -> None:
        while self._changed and self._changed[-1][0] > seq:
            _, step = self._changed.pop()
            self._records[step].pop()
            if records := self._records[step]:
                self._steps[step] = records[-1]
            else:
                del self._steps[step]
        self._seq = seq
