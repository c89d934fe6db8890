"""The policy gate: the only join and the only router. It settles what came back, hears what people
said, judges every step that is ready, and says what the run does next.

Invariant: no step is dispatched that the gate has not judged in this visit, and its effect key is
minted here, so it is checkpointed one superstep before any call. The gate reads no clock and no
database: what it decides follows from the state, the board and the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gatepost.nodes.ahead import look_ahead
from gatepost.nodes.compensator import being_undone
from gatepost.nodes.draft import dispatched
from gatepost.nodes.instructions import Instructions
from gatepost.nodes.policy import Judgement, Verdict
from gatepost.nodes.rejudging import is_outdated, judged_now
from gatepost.nodes.visit import Visit
from gatepost.state.approval import ApprovalRequest
from gatepost.state.channels import RunState
from gatepost.state.status import STEP_SETTLED, RunStatus, StepStatus


async def policy_gate(state: RunState, visit: Visit) -> dict[str, Any]:
    """One visit: from what happened to what happens next."""
    gate = _Gate(state, visit)
    gate.settle()
    gate.hear()
    gate.judge_questions()
    gate.ask_again()
    gate.wake()
    if gate.ending is None and gate.planning is None:
        gate.dispatch_ready()
        look_ahead(gate)
    gate.end()
    return gate.update()


class _Gate(Instructions):
    """One visit, in the order in which it goes."""

    def settle(self) -> None:
        """Take settled steps off the frontier; a failure ends the run. What was judged beforehand is judged anew."""
        for step in self.visit.board.judged():
            record = self.visit.board.record(step.id)
            self._note(record.to(StepStatus.PENDING, key=None, fingerprint=None, policies=()))
        for step_id, entry in list(self.frontier.items()):
            status = StepStatus(entry["status"])
            if status not in STEP_SETTLED or entry.get("approval"):
                continue
            del self.frontier[step_id]
            self.counters[status.value] = self.counters.get(status.value, 0) + 1
            if status is StepStatus.FAILED:
                self._react(self.visit.board.record(step_id))
            elif self.visit.board.record(step_id).changes:
                self._take_change(self.visit.board.record(step_id))

    def judge_questions(self) -> None:
        """What an open question asks is judged anew under another policy, and who has to answer it as well.

        What runs unattended by now is left: the approval node takes the question back, unless somebody was faster.
        """
        for approval, data in list(self.approvals.items()):
            request = ApprovalRequest.model_validate(data)
            if not is_outdated(self.visit, request):
                continue
            judgement = judged_now(self, request)
            if request.purpose == "compensate":
                self._judge_undo(request, judgement)
            elif judgement.verdict is Verdict.FORBID:
                self.visit.session.stage_void(self.visit.task, approval)
                del self.approvals[approval]
                self._forbid(self.visit.board.record(request.step), judgement)
            elif approval in self.looked_at:
                self._ask_under(request, judgement)

    def _judge_undo(self, request: ApprovalRequest, judgement: Judgement) -> None:
        """Whether something may be undone: asked no more, or anew by the compensator; or still asked."""
        why = self.looked_at.get(request.id, "")
        if judgement.verdict is Verdict.FORBID or why:
            self.visit.session.stage_void(self.visit.task, request.id)
            del self.approvals[request.id]
            self._note(being_undone(self.visit.board.record(request.step), undo_approval=None, reason=why))
        elif request.id in self.looked_at and judgement.verdict is Verdict.ASK:
            self._still_asked(request, judgement, judgement.reasons)

    def ask_again(self) -> None:
        """A step whose question is gone without an answer waits for nobody: it is judged anew, or asked about anew."""
        for step_id, entry in list(self.frontier.items()):
            if entry.get("approval") in self.approvals:
                continue
            if entry["status"] == StepStatus.IN_DOUBT:
                self._ask_about_doubt(step_id, self.visit.board.record(step_id).reason)
            elif entry["status"] == StepStatus.FAILED:
                del self.frontier[step_id]
                self._let_fail(self.visit.board.record(step_id))
            elif entry["status"] == StepStatus.BLOCKED:
                del self.frontier[step_id]
                record = self.visit.board.record(step_id)
                self._note(record.to(StepStatus.PENDING, approval=None, reason="its question is no longer asked"))

    def wake(self) -> None:
        """What waited for a time that has come goes on: the same call, under the authority that it has."""
        for step_id, entry in list(self.frontier.items()):
            if (
                entry["status"] != StepStatus.WAITING
                or datetime.fromisoformat(entry["wake_at"]) > self.visit.session.now
            ):
                continue
            if entry.get("undo"):
                del self.frontier[step_id]  # the compensator knows what it is at
            if entry.get("undo") or self.ending is not None:
                continue
            record = self.visit.board.record(step_id).to(StepStatus.RUNNING, wake_at=None, reason="its wait is over")
            self._note(record)
            now = record.now or self.visit.session.now.isoformat()
            self.frontier[step_id] = {**dispatched(record, now), "attempts": entry["attempts"]}

    def end(self) -> None:
        """Settle how the run goes on, and write its status."""
        if self.ending is None and self.planning is None and not self.frontier and not self.visit.board.ready():
            self._nothing_left()
        if self.ending is not None:
            self.planning = None  # routing would take a plan still wanted for leave to pass an open doubt
            self._call_off()
        running = any(entry["status"] == StepStatus.RUNNING for entry in self.frontier.values())
        blocked = bool(self.approvals) and not running and self.planning is None
        if blocked or self.replanned:
            self.preview()
        reasons = "; ".join(f"{data['step']} waits for {approval}" for approval, data in self.approvals.items())
        waiting = [entry for entry in self.frontier.values() if entry["status"] == StepStatus.WAITING]
        if waiting and not running and self.planning is None:
            until = min(map(_wake_at, waiting))
            self.visit.session.park(until, "; ".join([*self._waits(), *([reasons] if reasons else [])]))
        elif blocked:
            self.visit.session.move(RunStatus.BLOCKED, reasons)
        else:
            self.visit.session.move(RunStatus.RUNNING)

    def _waits(self) -> list[str]:
        waiting = [step for step, entry in self.frontier.items() if entry["status"] == StepStatus.WAITING]
        return [f"{step} {self.visit.board.record(step).reason}" for step in waiting]

    def _nothing_left(self) -> None:
        board = self.visit.board
        if board.plan is None or (board.settled and not board.plan.final):
            self.planning = {"reason": "a segment ended" if board.plan else "no plan yet"}
        elif board.settled or self._failed():
            self._settled()
        else:
            left = [step.id for step in board.plan.steps if board.status(step.id) not in STEP_SETTLED]
            self._end(RunStatus.STRANDED, f"nothing can move {', '.join(left[:10])}: what they need did not succeed")

    def _call_off(self) -> None:
        """A run that ends takes back its questions and what it has not started; doubt is never taken back."""
        for step_id, entry in list(self.frontier.items()):
            if entry["status"] == StepStatus.RUNNING:
                self._call_off_running(step_id, entry)
            elif "held" in entry:
                del self.frontier[step_id]
                self._let_go(entry)
            elif entry["status"] == StepStatus.WAITING and not entry.get("undo"):
                self._call_off_waiting(step_id, doubtful=entry["doubt"])
        for approval_id, data in list(self.approvals.items()):
            if data.get("kind") == "doubt" or data.get("purpose") == "compensate":
                continue
            record = self.visit.board.record(data["step"])
            self.visit.session.stage_void(self.visit.task, approval_id)
            del self.approvals[approval_id]
            self.frontier.pop(record.step, None)
            if record.status is StepStatus.BLOCKED:
                self._note(record.to(StepStatus.CANCELLED, reason="the run ended before it"))

    def _call_off_running(self, step_id: str, entry: Mapping[str, Any]) -> None:
        """What this visit dispatched has not begun. Of what an earlier one did, the ledger knows: it is looked up."""
        before = self.state.get("frontier", {}).get(step_id, {})
        if before.get("status") == StepStatus.RUNNING:
            self.frontier[step_id] = {**entry, "alone": False, "ends": True}
            return
        if before.get("status") == StepStatus.WAITING:  # woken in this visit: it has begun, long ago
            self._call_off_waiting(step_id, doubtful=before["doubt"])
            return
        del self.frontier[step_id]
        record = self._give_back(self.visit.board.record(step_id))
        self.visit.session.unforetell([self.visit.task], record.key)
        self._note(record.to(StepStatus.CANCELLED, reason="the run ended before it"))


def _wake_at(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["wake_at"])
