"""Replanning: what becomes of questions, waits and steps when there is another plan, or the planner has none.

Invariant: a new plan keeps the approvals whose action is unchanged and voids the others; what may have happened is
asked about, whatever the plan says.
"""

from __future__ import annotations

from gatepost.nodes import doubt
from gatepost.nodes.judging import UNHEARD, Judging
from gatepost.nodes.outcome import failed, unknown
from gatepost.state.approval import ApprovalRequest
from gatepost.state.plan import Step
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import Failure

_DROPPED = "the new plan dropped it"
"""A step that was left out by a plan, and is due again once another plan has it. Others that were skipped stay so."""


class Replanning(Judging):
    """The part of a visit that follows the planner."""

    def _reconcile(self) -> None:
        """A new plan keeps the approvals whose action is unchanged and voids the others."""
        plan = self.visit.board.plan
        assert plan is not None
        self.planning, self.replanned = None, True
        for approval_id, data in list(self.approvals.items()):
            request = ApprovalRequest.model_validate(data)
            step = plan.by_id.get(request.step)
            if self._stands(request, step):
                continue
            self._void(approval_id, request.step, kept=step is not None)
        for step in plan.steps:
            record = self.visit.board.records.get(step.id)
            if record is not None and (record.status, record.reason) == (StepStatus.SKIPPED, _DROPPED):
                self._note(record.to(StepStatus.PENDING, approval=None, reason="planned again"))
        for step_id, entry in list(self.frontier.items()):
            if "held" in entry and step_id not in plan.by_id:
                del self.frontier[step_id]
                self._let_go(entry)
            elif entry["status"] == StepStatus.WAITING and step_id not in plan.by_id and not entry.get("undo"):
                self._call_off_waiting(step_id, doubtful=entry["doubt"])

    def _stands(self, request: ApprovalRequest, step: Step | None) -> bool:
        """Whether a question is still asked under the new plan."""
        if request.kind == "doubt" or request.purpose == "compensate":
            return True
        if request.kind == "failure" or step is None:
            return step is not None
        board = self.visit.board
        its_turn = board.is_due(step.id) and board.skip_reason(step) is None
        return its_turn and self._digest(step, asked=request.args) == request.digest

    def _void(self, approval_id: str, step_id: str, *, kept: bool) -> None:
        record = self.visit.board.record(step_id)
        self.visit.session.stage_void(self.visit.task, approval_id)
        del self.approvals[approval_id]
        self.frontier.pop(step_id, None)
        if record.status is not StepStatus.BLOCKED:
            return
        if kept:
            self._note(record.to(StepStatus.PENDING, approval=None, reason="the new plan changed what it would do"))
        else:
            self._note(record.to(StepStatus.SKIPPED, reason=_DROPPED))

    def _exhausted(self) -> None:
        self.planning = None
        if self.visit.board.plan is None:
            self._end(RunStatus.FAILED, "the strategy has no plan for this goal")
        elif (self.visit.board.settled or self._failed()) and all("held" in entry for entry in self.frontier.values()):
            self._settled()
        elif said := self.state.get("responses"):
            self.unheard = (f"{UNHEARD} after what {said[-1]['who']} said",)

    def _ask_about_doubt(self, step_id: str, why: str) -> None:
        record = self.visit.board.record(step_id)
        request = doubt.question(self.visit, record, tool=self.visit.tool(record.tool), key=record.key, why=why)
        self._put(request)
        self.frontier[step_id] = {"status": record.status.value, "approval": request.id}

    def _settled(self) -> None:
        """Nothing is left to do. A failure that was to lead to another plan, and did not, is a failure."""
        if failed := self._failed():
            self._end(RunStatus.FAILED, f"step {failed[0]} failed: {self.visit.board.record(failed[0]).reason}")
        else:
            self._end(RunStatus.SUCCEEDED, "")

    def _failed(self) -> list[str]:
        plan = self.visit.board.plan
        steps = plan.steps if plan else ()
        return [step.id for step in steps if self.visit.board.status(step.id) is StepStatus.FAILED]

    def _call_off_waiting(self, step_id: str, *, doubtful: bool) -> None:
        """What waits is not made any more: the run ends, or a new plan dropped it. What may have happened is asked."""
        record = self.visit.board.record(step_id).model_copy(update={"wake_at": None})
        if doubtful:
            failure = Failure(kind="in_doubt", message=f"nothing waits for it any more: {record.reason}")
            doubt.book(self.visit, record.key, unknown(failure))
            self._note(record.to(StepStatus.IN_DOUBT, failure=failure, reason=failure.message, label="in_doubt"))
            self._ask_about_doubt(step_id, failure.message)
            return
        failure = Failure(kind="cancelled", message="called off while it waited")
        doubt.book(self.visit, record.key, failed(failure))
        self._note(self._settle_cost(record.to(StepStatus.CANCELLED, failure=failure, reason=failure.message)))
        del self.frontier[step_id]
