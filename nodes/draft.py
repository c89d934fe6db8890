"""A draft: what one visit of the policy gate changes, kept apart from the state until it is complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from gatepost.nodes.impact import previewed
from gatepost.nodes.policy import Judgement
from gatepost.nodes.spending import SPENT, given_back, settled_cost
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Visit
from gatepost.state.approval import ApprovalRequest
from gatepost.state.canonical import digest_of
from gatepost.state.channels import RunState
from gatepost.state.effect import key_of
from gatepost.state.ids import EffectKey
from gatepost.state.plan import Step
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import StepRecord


def dispatched(record: StepRecord, now: str) -> dict[str, Any]:
    """The entry of the frontier by which the executor is sent to a step.

    Args:
        record: of the step.
        now: database time of the dispatch.
    """
    return {
        "status": StepStatus.RUNNING.value,
        "step": record.step,
        "key": record.key,
        "fingerprint": record.fingerprint,
        "approval": record.approval,
        "now": now,
        "seed": int(digest_of(record.key, now)[:12], 16),
    }


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
        self.deferred: set[str] = set()
        """Steps that this visit leaves where they are, because their facts are read again first."""
        self.looked_at: dict[str, str] = {}
        """Questions that another policy asked, and why each has to be asked anew, if it has."""
        self.replanned = False
        """Another plan came into force."""
        self.unheard: tuple[str, ...] = ()
        """That the planner made nothing of what was said last; whoever is asked again is told."""

    def _end(self, status: RunStatus, reason: str, *, undo: bool = False) -> None:
        if self.ending is not None and undo:
            self.ending = {**self.ending, "compensate": True}
        elif self.ending is None:
            undo = undo or status in self.visit.workflow.compensate_on
            self.ending = {"status": status.value, "reason": reason, "compensate": undo}

    @property
    def spent(self) -> int:
        """What the run has set out to spend so far, by the rule of `nodes.spending`."""
        return int(self.state.get("counters", {}).get(SPENT, 0)) + self.counters.get(SPENT, 0)

    def _tally(self, counters: Mapping[str, int]) -> None:
        for name, change in counters.items():
            self.counters[name] = self.counters.get(name, 0) + change

    def _spend(self, cost: int) -> dict[str, Any]:
        """Count a call that is dispatched; what its step's record says of it."""
        self._tally({SPENT: cost} if cost else {})
        return {"cost": cost, "counted": bool(cost), "spent": self.spent}

    def _give_back(self, record: StepRecord) -> StepRecord:
        """A call that was dispatched is not made."""
        record, counters = given_back(record)
        self._tally(counters)
        return record

    def _settle_cost(self, record: StepRecord) -> StepRecord:
        """A call has ended: where it was not made for certain, it cost nothing."""
        record, counters = settled_cost(record, effect=self.visit.tool(record.tool).effect)
        self._tally(counters)
        return record

    def judged(self, step: Step, tool: AnyTool, args: Mapping[str, JsonValue]) -> Judgement:
        """What the policy says about a step now."""
        return self.visit.judge(step, tool, args, spent=self.spent)

    def _key(self, record: StepRecord) -> EffectKey:
        run = self.visit.session.run
        return key_of(tenant=run.tenant, root_run=run.root_run_id, step=record.step, generation=record.generation)

    def _note(self, record: StepRecord) -> None:
        self.visit.session.stage_step(self.visit.task, record)

    def _put(self, request: ApprovalRequest) -> None:
        """Ask a question, with what a yes to it would set going."""
        request = previewed(request, self.visit.board, self.visit.tools)
        self.visit.session.stage_approval(self.visit.task, request)
        self.approvals[request.id] = request.plain()

    def preview(self) -> None:
        """Bring what the open questions show up to date: there is another plan, or more is known."""
        for approval, data in self.approvals.items():
            request = ApprovalRequest.model_validate(data)
            now = previewed(request, self.visit.board, self.visit.tools)
            if now.impact != request.impact:
                self.visit.session.stage_impact(self.visit.task, now)
                self.approvals[approval] = now.plain()

    def update(self) -> dict[str, Any]:
        """The visit's update of the channels; those that stay as they are cost nothing."""
        before = self.state
        update: dict[str, Any] = {
            "frontier": _changes(before.get("frontier", {}), self.frontier),
            "approvals": _changes(before.get("approvals", {}), self.approvals),
            "responses": self.responses,
            "counters": self.counters,
        }
        update = {channel: change for channel, change in update.items() if change}
        if before.get("signals"):
            update["signals"] = None
        for channel, value in (
            ("planning", self.planning),
            ("ending", self.ending),
            ("status", self.visit.session.status.value),
        ):
            if before.get(channel) != value:
                update[channel] = value
        return update


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return {**dict.fromkeys(before.keys() - after.keys()), **changed}
