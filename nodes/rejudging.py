"""Rejudging: an open question that was asked under another policy, or of others, is looked at again, even if nobody
answers it: whether a step may run, or may be undone.

Invariant: a policy that lets the action run takes the question back by compare-and-set, before anything follows from
it: a no that came in between is heard, and nothing runs. What the policy now forbids, or still asks, the gate sees to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gatepost.nodes.draft import Draft
from gatepost.nodes.policy import Judgement, Verdict
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Visit
from gatepost.state.approval import ApprovalRequest
from gatepost.state.ballot import Vote
from gatepost.state.channels import RunState
from gatepost.state.gate import Terms
from gatepost.state.status import StepStatus


def outdated(visit: Visit, asked: Mapping[str, Any]) -> list[ApprovalRequest]:
    """The open questions that another policy asked than the one in force here, or another gate."""
    found = [ApprovalRequest.model_validate(data) for data in asked.values()]
    return [request for request in found if is_outdated(visit, request)]


def is_outdated(visit: Visit, request: ApprovalRequest) -> bool:
    """Whether a question is about an action that is still to be done, and was asked under another policy or gate."""
    if request.kind != "action" or request.policy_version in ("", visit.policy.asked_under):
        return False
    record = visit.board.record(request.step)
    if request.purpose == "compensate":
        stands = record.status is StepStatus.COMPENSATING and record.undo_approval == request.id
        return stands and _tool(visit, request).name == request.tool
    return record.status is StepStatus.BLOCKED and record.approval == request.id


def judged_now(draft: Draft, request: ApprovalRequest) -> Judgement:
    """What the policy says by now about what a question asks."""
    visit, tool = draft.visit, _tool(draft.visit, request)
    if request.purpose == "compensate":
        return visit.judge_undo(request.step, tool, request.args, spent=draft.spent)
    return draft.judged(visit.board.step(request.step), tool, request.args)


def _tool(visit: Visit, request: ApprovalRequest) -> AnyTool:
    """What would be called; by now nothing may undo the step, and the step's own tool stands for it."""
    tool = visit.tool(visit.board.record(request.step).tool)
    return tool.compensate or tool if request.purpose == "compensate" else tool


async def looked_at_again(state: RunState, visit: Visit, stale: list[ApprovalRequest]) -> list[dict[str, Any]]:
    """Take back what needs no answer any more; of the others, what the gate is to be told."""
    draft, told = Draft(state, visit), []
    approvals = visit.equipment.approvals
    for request in stale:
        judgement = judged_now(draft, request)
        asked_for = request.purpose == "run" and visit.board.demands(visit.board.step(request.step))
        if judgement.verdict is Verdict.RUN and not asked_for:
            reason = f"policy {judgement.version} lets {request.tool} run unattended"
            await approvals.withdraw(visit.session, request.id, reason)
        why = _others_decide(visit, request, await approvals.votes(request.id))
        told.append({"kind": "policy", "approval": request.id, "reopen": why})
    return told


def _others_decide(visit: Visit, request: ApprovalRequest, votes: Sequence[Vote]) -> str:
    """Why whoever answered so far is not who is asked by now; empty: they are."""
    gate = visit.workflow.gate(request.step if request.purpose == "run" else None, _tool(visit, request))
    if _asks(gate.terms()) != _asks(request.terms):
        return "who must answer has changed"
    for vote in votes:
        for person in dict.fromkeys((vote.voter.by, vote.voter.counted_as)):
            if not _may_decide(visit, request, person, vote.voter.roles):
                return f"who may answer has changed: {person} may not any more"
    return ""


def _asks(terms: Terms) -> Terms:
    """Of a gate, what says who must answer and until when; when people are reminded binds nobody."""
    return terms.model_copy(update={"remind_seconds": None})


def _may_decide(visit: Visit, request: ApprovalRequest, person: str, roles: tuple[str, ...]) -> bool:
    run = visit.session.run
    judgement = visit.policy.may_decide(
        principal=person,
        requester=request.requested_by,
        tenant=run.tenant,
        workflow=run.workflow,
        step=request.step,
        tool=request.tool,
        roles=roles,
        effect=request.effect,
    )
    return judgement.verdict is Verdict.RUN
