"""Doubt: a call whose end nobody saw becomes a question to a person, and the answer settles it.

Invariant: no clock and no retry turns doubt into "try again". It is settled by a look-up that the
tool declares (`nodes.protocol`) or here, by a named person.
"""

from __future__ import annotations

from pydantic import JsonValue

from gatepost.nodes.visit import Visit
from gatepost.state.approval import ApprovalRequest, Decision
from gatepost.state.canonical import digest_of
from gatepost.state.ids import new_approval_id
from gatepost.state.status import EffectState, StepStatus
from gatepost.state.step import Failure, StepRecord


def question(visit: Visit, record: StepRecord) -> ApprovalRequest:
    """Ask whether the effect of a step happened."""
    run = visit.session.run
    digest = digest_of(run.tenant, run.run_id, record.step, record.key, "doubt")
    tool = visit.tool(record.tool)
    return ApprovalRequest(
        id=new_approval_id(digest_of(digest, visit.session.seq + 1)),
        kind="doubt",
        run=run.run_id,
        step=record.step,
        tool=record.tool,
        args={"result": None},
        effect=tool.effect,
        digest=digest,
        reasons=(record.reason,),
        plan_version=record.plan_version,
        requested_by=run.requested_by,
        args_schema={"type": "object", "properties": {"result": dict(tool.result.json_schema())}},
        allowed=("approve", "edit", "reject"),
    )


def settle(visit: Visit, record: StepRecord, decision: Decision) -> StepRecord:
    """What a person found out: it happened (perhaps with a result), or it did not."""
    happened = decision.type != "reject"
    result: JsonValue = (decision.args or {}).get("result")
    reason = f"{decision.by} found out: it {'happened' if happened else 'did not happen'}"
    failure = None if happened else Failure(kind="in_doubt", message=reason)
    visit.session.stage_effect(
        visit.task,
        key=record.key,
        state=EffectState.SUCCEEDED if happened else EffectState.FAILED,
        result=result if happened else None,
        failure=failure,
    )
    status = StepStatus.SUCCEEDED if happened else StepStatus.FAILED
    return record.to(status, output=result, failure=failure, reason=reason, label="ok" if happened else "in_doubt")
