"""The approval node: reads what people have answered, and pauses only while nobody has. The run pauses in front of it
while a step waits for a time, too; then it leads back to the gate, which looks at the time.

Invariant: it has no effects and trusts nothing but the rows. The value that LangGraph resumes it
with is never an answer; answers are committed before the engine is entered, so a crash between
decision and resume heals on any later entry.
"""

from __future__ import annotations

from typing import Any

from langgraph.types import interrupt

from gatepost.checkpointing.answers import Standing
from gatepost.nodes.rejudging import looked_at_again, outdated
from gatepost.nodes.visit import Visit
from gatepost.state.approval import ApprovalRequest, Decision
from gatepost.state.channels import RunState
from gatepost.state.errors import InvalidDecision
from gatepost.state.status import ApprovalStatus, RunStatus, StepStatus


async def approval(state: RunState, visit: Visit) -> dict[str, Any]:
    """One visit: hand answers to the gate, or pause. Questions that another policy asked go back to the gate."""
    asked = state.get("approvals", {})
    if answers := await _answers(visit, asked):
        return _tell(visit, answers)
    if stale := outdated(visit, asked):
        visit.session.move(RunStatus.RUNNING)  # as in `_tell`
        told = await looked_at_again(state, visit, stale)
        answers = await _answers(visit, asked)
        return _tell(visit, answers) if answers else {"signals": told}
    if any(entry["status"] == StepStatus.WAITING for entry in state.get("frontier", {}).values()):
        return {"signals": []}  # somebody came because it was time; the gate looks at that, and leads back here
    oldest = ApprovalRequest.model_validate(next(iter(asked.values())))
    interrupt(oldest.payload(), response_schema=Decision)
    if answers := await _answers(visit, asked):
        return _tell(visit, answers)
    raise InvalidDecision(
        "the run was resumed with a value, but no answer is recorded. Answer through the graph's own doors: "
        "graph.invoke(Command(resume=result['approval'].approve(by=…)), config)."
    )


async def _answers(visit: Visit, asked: dict[str, Any]) -> list[Standing]:
    standing = await visit.equipment.approvals.standing(visit.session.run.run_id, list(asked))
    return [found for found in standing.values() if found.status is not ApprovalStatus.OPEN]


def _tell(visit: Visit, answers: list[Standing]) -> dict[str, Any]:
    for answer in answers:
        if answer.status is ApprovalStatus.VOID:  # taken back: whoever dies before the gate sees to it, a mover goes on
            visit.session.move(RunStatus.RUNNING)
        elif answer.status is ApprovalStatus.DECIDED:
            visit.session.stage_taken(visit.task, answer.approval)
    return {
        "signals": [_signal(answer) for answer in answers],
        "approvals": dict.fromkeys((answer.approval for answer in answers), None),
    }


def _signal(answer: Standing) -> dict[str, Any]:
    decision = answer.decision.plain() if answer.decision else None
    return {
        "kind": "answer",
        "approval": answer.approval,
        "about": answer.request.kind,
        "purpose": answer.request.purpose,
        "effect_key": answer.request.effect_key,
        "args": answer.request.args,
        "undo": answer.request.undo,
        "step": answer.step,
        "status": answer.status.value,
        "timed_out": answer.timed_out,
        "decision": decision,
        "facts": answer.request.facts,
        "digest": answer.decided_digest,
    }
