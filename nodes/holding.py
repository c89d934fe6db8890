"""Holding: a step whose facts are too old waits until they have been read again, with the answer that it has.

Invariant: a fact is read again only while no call that rests on it is under way, and nothing that rests on it is
dispatched meanwhile. What an approval covered is compared by its digest when the facts are there: it stands, or the
question is asked anew with the difference. The gate dispatches the reading as any other step, so that it is
retried, parked and recorded, and dies and comes back, as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from gatepost.nodes import facts
from gatepost.nodes.draft import Draft, dispatched
from gatepost.nodes.policy import Verdict
from gatepost.nodes.tool import InvalidArguments
from gatepost.state.approval import ApprovalRequest
from gatepost.state.effect import EffectClass
from gatepost.state.errors import InvalidValue
from gatepost.state.plan import Step
from gatepost.state.reference import Unresolvable
from gatepost.state.status import STEP_SETTLED, StepStatus
from gatepost.state.step import StepRecord

_AHEAD = (StepStatus.PENDING, StepStatus.READY, StepStatus.BLOCKED)
_UNDER_WAY = (StepStatus.RUNNING, StepStatus.WAITING)


def held(**answer: Any) -> dict[str, Any]:
    """The entry of the frontier of a step that waits for its facts.

    Args:
        answer: what it waits with, all of it or nothing: `approval`, its `facts`, the `decision` and the `digest`
            that the decision covers; or, without these two, `why` it is asked anew.
    """
    return {"status": StepStatus.PENDING.value, "held": answer, "read": []}


class Holding(Draft):
    """The part of a visit that sees to facts."""

    def _wait_for_facts(self, record: StepRecord, step: Step, **answer: Any) -> bool:
        """Whether the step has to wait for its facts; if so, they are read again as soon as that is possible."""
        board = self.visit.board
        entry = self.frontier.get(step.id, {})
        entry = entry if "held" in entry else held(**answer)
        away = [need for need in step.needs if board.status(need) not in STEP_SETTLED and board.record(need).again]
        old = [fact for fact in facts.stale(board, step, self.visit.session.now) if fact not in entry["read"]]
        if not away and not old:
            return False
        self.deferred.add(step.id)
        moving = {*away, *old}
        free = [fact for fact in old if not self._in_use(fact) and moving.isdisjoint(board.step(fact).needs)]
        for fact in free:
            self._read_again(board.record(fact), wanted_by=step.id)
        names = ", ".join(dict.fromkeys([*away, *old]))
        if board.status(step.id) is not StepStatus.PENDING:
            self._note(record.to(StepStatus.PENDING, approval=None, reason=f"waits until {names} is read again"))
        self.frontier[step.id] = {**entry, "read": [*entry["read"], *free]}
        return True

    def _in_use(self, fact: str) -> bool:
        """Whether a call that rests on it is under way: its arguments must not change under it."""
        board = self.visit.board
        busy = [step for step, entry in self.frontier.items() if entry["status"] in _UNDER_WAY]
        return any(board.plan and step in board.plan.by_id and fact in board.step(step).needs for step in busy)

    def _read_again(self, record: StepRecord, *, wanted_by: str) -> None:
        """Dispatch a reading anew, under the authority that it has; where it has none by now, it is judged anew.

        It is a call like the first: what it costs counts, and a run that has no budget left for it asks.
        """
        now = self.visit.session.now.isoformat()
        anew = _made_anew(record)
        reason = f"read again: too old for {wanted_by}"
        self._uncount()
        cost = self._cost_again(anew)
        if cost is None:
            self._note(anew.to(StepStatus.PENDING, reason=reason))
            return
        running = anew.to(StepStatus.RUNNING, key=self._key(anew), now=now, reason=reason, **self._spend(cost))
        self._note(running)
        self.frontier[record.step] = dispatched(running, now)

    def _cost_again(self, record: StepRecord) -> int | None:
        """What making a read again costs; None where it is to be judged anew."""
        step = self.visit.board.step(record.step)
        tool = self.visit.tool(step.tool)
        try:
            args = tool.normalise(self.visit.board.arguments(step))
        except (Unresolvable, InvalidArguments, InvalidValue):
            return 0 if record.approval else None
        if record.approval is None and self.judged(step, tool, args).verdict is not Verdict.RUN:
            return None
        return tool.cost_of(args)

    def _take_change(self, record: StepRecord) -> None:
        """A fact changed: open questions that rest on it are asked anew, and reads made of it are made anew."""
        board = self.visit.board
        for approval, data in list(self.approvals.items()):
            request = ApprovalRequest.model_validate(data)
            action = (request.kind, request.purpose) == ("action", "run")
            if action and record.step in board.step(request.step).needs:
                self._ask_anew(approval, request)
        for step in board.plan.steps if board.plan else ():
            made = board.records.get(step.id)
            if record.step in step.needs and made is not None and self._is_fact(step, made):
                self._note(_made_anew(made).to(StepStatus.PENDING, reason=f"made of {record.step}, which changed"))
                self._uncount()

    def _ask_anew(self, approval: str, request: ApprovalRequest) -> None:
        if self._digest(self.visit.board.step(request.step), asked=request.args) == request.digest:
            return
        self.visit.session.stage_void(self.visit.task, approval)
        del self.approvals[approval]
        record = self.visit.board.record(request.step)
        self._note(record.to(StepStatus.PENDING, approval=None, reason="what it relies on changed"))
        self.frontier[request.step] = held(approval=approval, facts=request.facts)

    def _is_fact(self, step: Step, made: StepRecord) -> bool:
        """Whether it is a finished read that something still unfinished rests on, and no call at this moment."""
        if made.status is not StepStatus.SUCCEEDED or self.visit.tool(step.tool).effect is not EffectClass.READ:
            return False
        board = self.visit.board
        waits = any(
            step.id in other.needs and board.status(other.id) in _AHEAD
            for other in (board.plan.steps if board.plan else ())
        )
        return waits and not self._in_use(step.id)

    def _uncount(self) -> None:
        succeeded = StepStatus.SUCCEEDED.value
        self.counters[succeeded] = self.counters.get(succeeded, 0) - 1

    def _leave_frontier(self, step: str) -> None:
        """The step is done with; where it waited for its facts, it does no longer."""
        entry = self.frontier.pop(step, {})
        if "held" in entry:
            self._let_go(entry)

    def _let_go(self, entry: Mapping[str, Any]) -> None:
        """Nothing waits for its facts any more: the answer that it had covers nothing."""
        if approval := entry["held"].get("approval"):
            self.visit.session.stage_void(self.visit.task, approval)

    def _digest(self, step: Step, *, asked: Mapping[str, JsonValue]) -> str | None:
        """Of the action that the step would be now, with the arguments that were asked about if it still has them."""
        tool = self.visit.tool(step.tool)
        try:
            return self.visit.digest(step, tool, tool.pinned(asked, self.visit.board.arguments(step)), undo=tool.undo)
        except (Unresolvable, InvalidArguments, InvalidValue):
            return None


def _made_anew(record: StepRecord) -> StepRecord:
    """The record of a read that is made again: another call, of which nothing is counted yet."""
    return record.model_copy(update={"generation": record.generation + 1, "again": True, "counted": False})
