"""Instructions: what an operator has said, and what follows from it for the run and its steps.

Invariant: an operator opens no gate. A step that is tried again runs under the authority that it had
or is judged anew; what may have happened is asked about and never tried again; and only a definite
failure or this named person's act raises the generation of a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.nodes.compensator import being_undone
from gatepost.nodes.hearing import Hearing
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import StepRecord

SKIPPABLE = (StepStatus.PENDING, StepStatus.READY, StepStatus.BLOCKED, StepStatus.FAILED)
"""How a step may stand that an operator has left out: nothing of it has happened, for certain."""


class Instructions(Hearing):
    """The part of a visit that follows an operator."""

    def hear(self) -> None:
        """As before; and then what an operator said."""
        super().hear()
        for signal in self.state.get("signals", []):
            if signal["kind"] == "operator":
                self._follow(signal)

    def _follow(self, signal: Mapping[str, Any]) -> None:
        order, step = signal["order"], signal.get("step", "")
        said = f"{_PAST[order]} by {signal['by']}" + (f": {signal['why']}" if signal["why"] else "")
        if signal["stood"] == RunStatus.CANCELLED:
            self._forget()
        if order in _GOING_ON and self._being_undone(step):
            return
        if order == "resume" and not self._undo_again(said):
            self._reopen(said)
            for record in self._standing(StepStatus.FAILED):
                self._ask_no_more(record.step)
                self._try_anew(record, said)
        elif order == "escalate":
            self._reopen(said)
            for record in self._standing(StepStatus.FAILED):
                self._ask_no_more(record.step)
                self._escalate(record)
        elif order == "retry":
            self._retry(self.visit.board.records.get(step), said)
        elif order == "skip":
            self._skip(step, said)
        elif order in ("rollback", "cancel") and not self._undo_again(said):
            self._end(RunStatus.CANCELLED, said, undo=True)

    def _being_undone(self, step: str) -> bool:
        """Whether somebody was faster, and the run is being undone: only an undo is tried again then."""
        if any(record.status is StepStatus.COMPENSATION_FAILED for record in self.visit.board.records.values()):
            return bool(step) and self.visit.board.status(step) is not StepStatus.COMPENSATION_FAILED
        undone = (StepStatus.COMPENSATING, StepStatus.COMPENSATED)
        return bool(self.ending and self.ending.get("compensate")) or any(
            record.status in undone for record in self.visit.board.records.values()
        )

    def _forget(self) -> None:
        """The run was called off past its graph, and the rows say how. What may have happened is asked about anew.

        An answer that nobody took by then covers nothing; left as it is, it would be a reason to move the run for ever.
        """
        for approval_id in self.approvals:
            self.visit.session.stage_void(self.visit.task, approval_id)
        self.frontier, self.approvals, self.planning = {}, {}, None
        for record in self._standing(StepStatus.IN_DOUBT):
            self._ask_about_doubt(record.step, record.reason)

    def _retry(self, record: StepRecord | None, said: str) -> None:
        if record is not None and record.status is StepStatus.FAILED and self._planned(record.step):
            self._reopen(said)
            self._ask_no_more(record.step)
            self._try_anew(record, said)
        elif record is not None and record.status is StepStatus.COMPENSATION_FAILED:
            self._undo_again(said, only=record.step)

    def _skip(self, step: str, said: str) -> None:
        plan = self.visit.board.plan
        if plan is None or step not in plan.by_id or self.visit.board.status(step) not in SKIPPABLE:
            return
        record = self.visit.board.record(step)
        if record.status is StepStatus.FAILED:
            self._reopen(said)
        self._ask_no_more(step)
        self._leave_frontier(step)
        self._note(record.to(StepStatus.SKIPPED, reason=said, label="skipped"))

    def _ask_no_more(self, step: str) -> None:
        """Take back what is asked about a step: an operator has said."""
        for approval_id, data in list(self.approvals.items()):
            if data["step"] == step:
                self.visit.session.stage_void(self.visit.task, approval_id)
                del self.approvals[approval_id]

    def _reopen(self, said: str) -> None:
        """The run goes on: what its end kept from being begun is begun after all."""
        self.ending = None
        for record in self._standing(StepStatus.CANCELLED):
            again = record.generation + (record.failure is not None)
            fresh = {"key": None, "fingerprint": None, "approval": None, "failure": None, "wake_at": None}
            self._note(self._give_back(record).to(StepStatus.PENDING, generation=again, reason=said, **fresh))

    def _undo_again(self, said: str, *, only: str | None = None) -> bool:
        """Try the undos that failed once more, as new calls; whether there are any."""
        stuck = [
            record
            for record in self.visit.board.records.values()
            if record.status is StepStatus.COMPENSATION_FAILED and only in (None, record.step)
        ]
        for record in stuck:
            again = record.undo_generation + 1
            self._note(being_undone(record, undo_generation=again, undo_approval=None, failure=None, reason=said))
        if stuck:
            self._end(RunStatus.FAILED, said, undo=True)
        return bool(stuck)

    def _standing(self, status: StepStatus) -> list[StepRecord]:
        """The steps of the plan in force that stand so, in its order."""
        plan = self.visit.board.plan
        return (
            [self.visit.board.record(step.id) for step in plan.steps if self.visit.board.status(step.id) is status]
            if plan
            else []
        )


_GOING_ON = ("resume", "escalate", "retry", "skip")
_PAST = {
    "resume": "recovered",
    "rollback": "rolled back",
    "cancel": "cancelled",
    "escalate": "escalated",
    "retry": "tried again",
    "skip": "skipped",
}
