"""Doubt: a call whose end nobody saw becomes a question to a person, and the answer settles it.

Invariant: no clock and no retry turns doubt into "try again". It is settled by a look-up that the
tool declares (`nodes.reconcile`) or here, by a named person; what the person says it returned is
checked like any other result.
"""

from __future__ import annotations

from gatepost.nodes.outcome import Outcome, failed, succeeded
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Visit
from gatepost.state.approval import ApprovalRequest, Decision
from gatepost.state.canonical import digest_of
from gatepost.state.ids import new_approval_id
from gatepost.state.status import EffectState
from gatepost.state.step import Failure, StepRecord


def question(
    visit: Visit, record: StepRecord, *, tool: AnyTool, key: str | None, why: str, undoes: str | None = None
) -> ApprovalRequest:
    """Ask whether an effect of a step happened: the step's own, or with `undoes` that of its undo."""
    run = visit.session.run
    digest = digest_of(run.tenant, run.run_id, record.step, key, "doubt")
    return ApprovalRequest(
        id=new_approval_id(digest_of(digest, visit.session.seq + 1)),
        kind="doubt",
        purpose="compensate" if undoes else "run",
        run=run.run_id,
        step=record.step,
        tool=tool.name,
        undoes=undoes,
        effect_key=key,
        args={"result": None},
        effect=tool.effect,
        digest=digest,
        reasons=(why,),
        plan_version=record.plan_version,
        requested_by=run.requested_by,
        args_schema={"type": "object", "properties": {"result": dict(tool.result.json_schema())}},
        allowed=("edit", "reject"),
    )


def found_out(decision: Decision, *, tool: AnyTool) -> Outcome:
    """What a person found out: it happened, with a result, or it did not.

    Raises:
        InvalidResult: the result is not what the tool declares.
        InvalidValue: not storable.
    """
    if decision.type == "reject":
        return failed(Failure(kind="in_doubt", message=said(decision)))
    result = (decision.args or {}).get("result")
    if result is None and to_undo(decision):
        return Outcome(EffectState.SUCCEEDED)  # what nobody knows, and nobody needs: it is taken back
    return succeeded(tool, result)


def to_undo(decision: Decision) -> bool:
    """Whether what happened is to be undone."""
    return (decision.args or {}).get("undo") is True


def said(decision: Decision) -> str:
    """Who found out what."""
    what = "it did not happen" if decision.type == "reject" else "it happened"
    return f"{decision.by} found out: {what}" + (f" ({decision.comment})" if decision.comment else "")


def book(visit: Visit, key: str | None, outcome: Outcome) -> None:
    """Stage what is known now of the effect."""
    happened = outcome.failure is None
    visit.session.stage_effect(
        visit.task,
        key=key,
        state=outcome.state,
        result=outcome.result if happened else None,
        failure=outcome.failure,
    )
