"""Hearing: what people answered, what steps asked for and what the planner said, and what follows from each.

Invariant: an answer moves the step that it is about and no other, once, and only while the step
still stands where it was asked about. A no is heard before a yes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.nodes import doubt
from gatepost.nodes.compensator import being_undone, undone
from gatepost.nodes.draft import dispatched
from gatepost.nodes.escalation import anew
from gatepost.nodes.outcome import failed, settled
from gatepost.nodes.policy import Verdict
from gatepost.nodes.replanning import Replanning
from gatepost.nodes.tool import InvalidResult
from gatepost.state.approval import Decision
from gatepost.state.errors import InvalidValue
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import Failure, StepRecord


class Hearing(Replanning):
    """The part of a visit that listens."""

    def hear(self) -> None:
        """Act on what people answered, what steps asked for and what the planner said; the noes first."""
        signals = sorted(self.state.get("signals", []), key=_noes_first)
        for signal in signals:
            kind = signal["kind"]
            if kind == "answer":
                self._hear_answer(signal)
            elif kind == "policy":
                self.looked_at[signal["approval"]] = signal["reopen"]
            elif kind == "replan":
                self._replan("step", signal["step"], signal["text"])
            elif kind == "planned":
                self._reconcile()
            elif kind == "refused":
                self._take_back(signal["step"])
            elif kind == "exhausted":
                self._exhausted()

    def _hear_answer(self, signal: Mapping[str, Any]) -> None:
        self.approvals.pop(signal["approval"], None)
        step_id = signal["step"]
        record = self.visit.board.record(step_id)
        if signal["decision"] is None:
            if signal.get("timed_out"):
                self._hear_silence(record, signal)
            return
        decision = Decision.model_validate(signal["decision"])
        if signal.get("purpose") == "compensate":
            self._hear_about_undo(record, decision, about=signal["about"], key=signal["effect_key"])
        elif signal["about"] == "doubt":
            self._hear_about_doubt(record, decision)
        elif signal["about"] == "failure":
            self._hear_about_failure(record, decision)
        elif record.status is not StepStatus.BLOCKED or record.approval != decision.approval:
            return
        elif decision.type == "reject":
            self._note(record.to(StepStatus.CANCELLED, reason=_said("rejected", decision)))
            self.frontier.pop(step_id, None)
            self._end(RunStatus.REJECTED, f"{step_id} {_said('rejected', decision)}")
        elif decision.type == "respond":
            self._note(record.to(StepStatus.PENDING, approval=None, reason=_said("answered", decision)))
            self.frontier.pop(step_id, None)
            self._replan("approval", decision.by, decision.comment)
        else:
            names = ("approval", "facts", "digest", "undo", "args")
            self._release(record, decision, {name: signal[name] for name in names if name in signal})

    def _hear_silence(self, record: StepRecord, signal: Mapping[str, Any]) -> None:
        """Nobody answered in the time that the gate gives, and there is nobody left to ask: that is a no."""
        why = "nobody answered in time"
        if signal.get("purpose") == "compensate":
            if record.status is StepStatus.COMPENSATING:
                self._undone(undone(record, failed(Failure(kind="policy_denied", message=f"may it be undone? {why}"))))
        elif record.status is StepStatus.BLOCKED and record.approval == signal["approval"]:
            self._note(record.to(StepStatus.CANCELLED, reason=why))
            self.frontier.pop(record.step, None)
            self._end(RunStatus.REJECTED, f"{record.step}: {why}")

    def _release(self, record: StepRecord, decision: Decision, answer: Mapping[str, Any]) -> None:
        """An approved or edited step runs, unless the run has ended or the policy now forbids it.

        It runs with the arguments that the person saw: a later version of the tool fills nothing into them.
        """
        step_id = record.step
        if self.ending is not None:
            self._note(record.to(StepStatus.CANCELLED, reason="the run ended before it"))
            self.frontier.pop(step_id, None)
            return
        step = self.visit.board.step(step_id)
        tool = self.visit.tool(step.tool)
        if self._wait_for_facts(record, step, decision=decision.plain(), **answer):
            return
        args = self._arguments(record, step, tool, edited=decision.args, asked=answer.get("args"))
        if args is None:
            return
        if decision.type == "approve" and "digest" in answer:
            digest = self.visit.digest(step, tool, args, undo=answer.get("undo"))
            if digest != answer["digest"]:  # another release asked, whose tool took something else
                self._note(record.to(StepStatus.PENDING, approval=None, reason="it would do something else by now"))
                self.frontier.pop(step_id, None)
                return
        judgement = self.judged(step, tool, args)
        if judgement.verdict is Verdict.FORBID:
            self._forbid(record, judgement)
            return
        self._run(
            record, tool, args, judgement, approval=decision.approval, reason=_said(_PAST[decision.type], decision)
        )

    def _take_back(self, step_id: str) -> None:
        """A dispatch that the gate did not make: the step stands where its record says, not on the frontier."""
        self.frontier.pop(step_id, None)
        for approval_id, data in self.approvals.items():
            if data["step"] == step_id:
                status = self.visit.board.status(step_id)
                self.frontier[step_id] = {"status": status.value, "approval": approval_id}

    def _hear_about_doubt(self, record: StepRecord, decision: Decision) -> None:
        if record.status is not StepStatus.IN_DOUBT:
            return
        tool = self.visit.tool(record.tool)
        try:
            outcome = doubt.found_out(decision, tool=tool)
        except (InvalidResult, InvalidValue) as error:
            self._ask_about_doubt(record.step, f"{record.reason}. The answer of {decision.by} cannot be used: {error}")
            return
        doubt.book(self.visit, record.key, outcome)
        found = self._settle_cost(settled(record, outcome, tool=tool, reason=doubt.said(decision)))
        self._note(found)
        self.frontier.pop(record.step, None)
        if found.status is StepStatus.FAILED:
            if self._planned(record.step):
                self._react(found)
        elif doubt.to_undo(decision):
            self._end(RunStatus.FAILED, f"{decision.by} had {record.step} undone", undo=True)
        elif outcome.finding is not None and outcome.finding.replan:
            self._replan("step", record.step, outcome.finding.replan)

    def _hear_about_undo(self, record: StepRecord, decision: Decision, *, about: str, key: str | None) -> None:
        """Whether a step may be undone, or whether it was. Where it was not, it is done anew: nobody took that back."""
        if record.status is not StepStatus.COMPENSATING:
            return
        if about == "action":
            if decision.type == "reject":
                why = f"to undo it was {_said('rejected', decision)}"
                self._undone(undone(record, failed(Failure(kind="policy_denied", message=why))))
            return
        tool = self.visit.tool(record.tool).compensate
        assert tool is not None
        try:
            outcome = doubt.found_out(decision, tool=tool)
        except (InvalidResult, InvalidValue):
            return
        doubt.book(self.visit, key, outcome)
        if outcome.failure is None:
            self._undone(undone(record, outcome, reason=doubt.said(decision)))
        else:
            anew = record.undo_generation + 1
            self._note(being_undone(record, undo_generation=anew, reason=doubt.said(decision)))

    def _hear_about_failure(self, record: StepRecord, decision: Decision) -> None:
        """A step that failed is tried again as a new call, or it fails, or there is another plan."""
        asked_last = self.frontier.get(record.step, {}).get("approval")
        if record.status is not StepStatus.FAILED or self.ending is not None or asked_last != decision.approval:
            return
        self.frontier.pop(record.step, None)
        if decision.type == "respond":
            self._replan("approval", decision.by, decision.comment)
        elif decision.type == "approve":
            self._try_anew(record, _said("tried again", decision))
        else:
            self._let_fail(record, by=_said("left so", decision))

    def _try_anew(self, record: StepRecord, reason: str) -> None:
        """Under the authority that it had; where it had none that still stands, it is judged as any other step."""
        ready = anew(record, reason=reason)
        denied = record.failure is not None and record.failure.kind == "policy_denied"
        if record.approval is None or denied:
            self._judge(ready.model_copy(update={"approval": None}), self.visit.board.step(record.step))
            return
        if self._wait_for_facts(ready, self.visit.board.step(record.step)):
            return
        now = self.visit.session.now.isoformat()
        running = ready.to(StepStatus.RUNNING, key=self._key(ready), now=now, **self._spend(ready.cost))
        self._note(running)
        self.frontier[record.step] = dispatched(running, now)

    def _planned(self, step: str) -> bool:
        """Whether the plan in force has the step."""
        plan = self.visit.board.plan
        return plan is not None and step in plan.by_id

    def _let_fail(self, record: StepRecord, *, by: str = "nobody was asked any more") -> None:
        self._end(RunStatus.FAILED, f"step {record.step} failed: {record.reason} ({by})")

    def _undone(self, record: StepRecord) -> None:
        self._note(record)
        self.counters[record.status.value] = self.counters.get(record.status.value, 0) + 1


_PAST = {"approve": "approved", "edit": "edited"}


def _noes_first(signal: Mapping[str, Any]) -> bool:
    decision = signal.get("decision") or {}
    return decision.get("type") != "reject" and not signal.get("timed_out")


def _said(what: str, decision: Decision) -> str:
    return f"{what} by {decision.by}" + (f": {decision.comment}" if decision.comment else "")
