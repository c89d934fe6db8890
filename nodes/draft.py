"""A draft: what one visit of the policy gate changes, kept apart from the state until it is complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.nodes.visit import Visit
from gatepost.state.channels import RunState
from gatepost.state.status import RunStatus
from gatepost.state.step import StepRecord


class Draft:
    """The run as the visit found it, and as it will leave it."""

    def __init__(self, state: RunState, visit: Visit) -> None:
        self.visit = visit
        self.state = state
        self.ending = state.get("ending")
        self.planning = state.get("planning")
        self.frontier: dict[str, dict[str, Any]] = dict(state.get("frontier", {}))
        self.approvals: dict[str, dict[str, Any]] = dict(state.get("approvals", {}))
        self.counters: dict[str, int] = {}
        self.responses: list[dict[str, Any]] = []
        self.unheard: tuple[str, ...] = ()
        """That the planner made nothing of what was said last; whoever is asked again is told."""

    def _end(self, status: RunStatus, reason: str, *, undo: bool = False) -> None:
        if self.ending is not None and undo:
            self.ending = {**self.ending, "compensate": True}
        elif self.ending is None:
            undo = undo or status in self.visit.workflow.compensate_on
            self.ending = {"status": status.value, "reason": reason, "compensate": undo}

    def _note(self, record: StepRecord) -> None:
        self.visit.session.stage_step(self.visit.task, record)

    def update(self) -> dict[str, Any]:
        """The visit's update of the channels."""
        return {
            "signals": None,
            "planning": self.planning,
            "ending": self.ending,
            "frontier": _changes(self.state.get("frontier", {}), self.frontier),
            "approvals": _changes(self.state.get("approvals", {}), self.approvals),
            "responses": self.responses,
            "counters": self.counters,
            "status": self.visit.session.status.value,
        }


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(before.keys() - after.keys()), **after}
