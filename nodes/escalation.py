"""Escalation: a step that failed for good becomes a question to a person: try it again, or let it fail?

Invariant: what is tried again is a new call under a new key (the generation rises by a named
person's act and by nothing else), and only after a definite failure.
"""

from __future__ import annotations

from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Visit
from gatepost.nodes.workflow import takes_responses
from gatepost.state.approval import ApprovalRequest, DecisionType
from gatepost.state.canonical import digest_of
from gatepost.state.ids import new_approval_id
from gatepost.state.status import StepStatus
from gatepost.state.step import StepRecord


def question(visit: Visit, record: StepRecord, *, tool: AnyTool) -> ApprovalRequest:
    """Ask what is to be done about a step that failed."""
    run = visit.session.run
    digest = digest_of(run.tenant, run.run_id, record.step, record.generation, "failure")
    allowed: tuple[DecisionType, ...] = ("approve", "reject")
    return ApprovalRequest(
        id=new_approval_id(digest_of(digest, visit.session.seq + 1)),
        kind="failure",
        run=run.run_id,
        step=record.step,
        tool=tool.name,
        args={},
        effect=tool.effect,
        digest=digest,
        reasons=(record.reason,),
        plan_version=record.plan_version,
        requested_by=run.requested_by,
        allowed=(*allowed, "respond") if takes_responses(visit.workflow.strategy) else allowed,
    )


def anew(record: StepRecord, *, reason: str) -> StepRecord:
    """The record of a failed step that is done anew, under the next generation of its key; nothing is counted yet."""
    fresh = {"failure": None, "output": None, "label": "", "counted": False}
    return record.to(StepStatus.READY, generation=record.generation + 1, reason=reason, **fresh)
