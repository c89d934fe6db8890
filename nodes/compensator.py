"""The compensator: undoes what succeeded, one step a visit, the last that came to its end first.

Invariant: an undo is an action like any other: judged by the policy, run under an authority that
covers exactly it, and an effect with its own key (purpose `compensate`) in the same ledger. So a
compensator that was killed goes on where it was, and an undo whose end nobody saw asks a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from gatepost.checkpointing.answers import Standing
from gatepost.checkpointing.effect_rows import Entry, Intent
from gatepost.nodes import doubt
from gatepost.nodes.impact import previewed
from gatepost.nodes.outcome import Outcome, entry, failed, waits
from gatepost.nodes.policy import Judgement, Verdict
from gatepost.nodes.protocol import carry_out, refuse
from gatepost.nodes.spending import SPENT
from gatepost.nodes.tool import AnyTool, EffectContext, InvalidArguments, Undone
from gatepost.nodes.visit import Visit
from gatepost.state.approval import ApprovalRequest, digest_of_action, digest_of_undo
from gatepost.state.canonical import digest_of
from gatepost.state.channels import RunState
from gatepost.state.effect import fingerprint_of, key_of
from gatepost.state.errors import InvalidValue
from gatepost.state.ids import EffectKey, new_approval_id
from gatepost.state.status import ApprovalStatus, EffectState, RunStatus, StepStatus
from gatepost.state.step import Failure, StepRecord

_TO_UNDO = (StepStatus.SUCCEEDED, StepStatus.COMPENSATING)


async def compensator(state: RunState, visit: Visit) -> dict[str, Any]:
    """One visit: undo the last step that can be undone, ask about it, or say that none is left."""
    ending = dict(state.get("ending") or {})
    record = next_undo(visit)
    if record is None:
        return {"ending": _finished(visit, ending)}
    return await _undo(visit, record, spent=state.get("counters", {}).get(SPENT, 0))


def next_undo(visit: Visit) -> StepRecord | None:
    """The succeeded step that has an undo and that nothing still done depends on: the last that came to its end.

    Not only steps of the plan in force: what an earlier version did was done all the same.
    """
    for record in reversed(visit.board.records.values()):
        if record.status in _TO_UNDO and visit.tool(record.tool).compensate is not None:
            return record
    return None


def undo_key(visit: Visit, record: StepRecord) -> EffectKey:
    """The idempotency key of the undo of a step."""
    run = visit.session.run
    return key_of(
        tenant=run.tenant,
        root_run=run.root_run_id,
        step=record.step,
        purpose="compensate",
        generation=record.undo_generation,
    )


def undone(record: StepRecord, outcome: Outcome, *, reason: str = "") -> StepRecord:
    """The record of a step whose undo came to an end."""
    started = being_undone(record)
    if outcome.state is EffectState.SUCCEEDED:
        return started.to(StepStatus.COMPENSATED, reason=reason)
    why = reason or (outcome.failure.message if outcome.failure else "it could not be undone")
    return started.to(StepStatus.COMPENSATION_FAILED, reason=why, failure=outcome.failure)


def being_undone(record: StepRecord, **changes: object) -> StepRecord:
    """The record of a step whose undo is under way."""
    if record.status is StepStatus.COMPENSATING:
        return record.model_copy(update=changes)
    return record.to(StepStatus.COMPENSATING, **changes)


def _finished(visit: Visit, ending: dict[str, Any]) -> dict[str, Any]:
    records = visit.board.records.values()
    if stuck := [found.step for found in records if found.status is StepStatus.COMPENSATION_FAILED]:
        reason = f"{ending['reason']}; could not undo {', '.join(stuck)}"
        ending.update(status=RunStatus.COMPENSATION_FAILED.value, reason=reason)
    elif any(found.status is StepStatus.COMPENSATED for found in records):
        ending["status"] = RunStatus.COMPENSATED.value
    return {**ending, "compensate": False}


@dataclass(frozen=True, slots=True)
class _Undo:
    """One undo, with the exact arguments it would be called with."""

    record: StepRecord
    tool: AnyTool
    """The tool that undoes."""
    undone: Entry
    args: dict[str, JsonValue]

    @property
    def digest(self) -> str:
        return digest_of_undo(key=self.undone.key, tool=self.tool.name, args=self.args, effect=self.tool.effect)


async def _undo(visit: Visit, record: StepRecord, *, spent: int) -> dict[str, Any]:
    try:
        undo = await _prepared(visit, record)
    except (InvalidArguments, InvalidValue) as error:
        return _settle(visit, record, failed(Failure(kind="validation", message=str(error))))
    judgement = visit.judge_undo(record.step, undo.tool, undo.args, spent=spent)
    if judgement.verdict is Verdict.FORBID:
        why = f"the policy forbids to undo it ({', '.join(judgement.policies)})"
        outcome = await refuse(visit, undo_key(visit, record), why)
    else:
        approval = None if judgement.verdict is Verdict.RUN else await _approval(visit, undo)
        if approval is None and judgement.verdict is Verdict.ASK:
            return _ask(visit, undo, judgement)
        outcome = await _call(visit, undo, approval=approval)
    if outcome.wake_at is not None:
        waiting = being_undone(record, wake_at=outcome.wake_at.isoformat(), reason=waits(outcome))
        visit.session.stage_step(visit.task, waiting)
        return {"frontier": {record.step: {**entry(outcome), "undo": True}}}
    if outcome.state is EffectState.IN_DOUBT:
        return _find_out(visit, undo, outcome)
    return _settle(visit, record, outcome)


async def _prepared(visit: Visit, record: StepRecord) -> _Undo:
    tool = visit.tool(record.tool)
    entry = await visit.equipment.ledger.get(record.key or "")
    if entry is None or entry.state is not EffectState.SUCCEEDED or not isinstance(entry.arguments, dict):
        raise InvalidValue(f"the ledger has no effect of step {record.step!r} that could be undone (key {record.key})")
    assert tool.compensate is not None
    args = tool.undo_arguments(entry.arguments)
    begun = await visit.equipment.ledger.get(undo_key(visit, record))
    if begun is not None and isinstance(begun.arguments, dict):
        args = tool.compensate.pinned(begun.arguments, args)
    return _Undo(record=record, tool=tool.compensate, undone=entry, args=args)


async def _approval(visit: Visit, undo: _Undo) -> str | None:
    """The approval that authorises this undo: the one it was asked for, or that of the step, which named its undo."""
    record = undo.record
    asked = [approval for approval in (record.undo_approval, record.approval) if approval]
    found = await visit.equipment.approvals.standing(visit.session.run.run_id, asked)
    own, given = found.get(record.undo_approval or ""), found.get(record.approval or "")
    if own is not None and _yes(own) and own.decided_digest == undo.digest:
        return own.approval
    if given is not None and _yes(given) and _names(visit, given, undo):
        return given.approval
    return None


def _yes(standing: Standing) -> bool:
    return (
        standing.status is ApprovalStatus.DECIDED
        and standing.decision is not None
        and standing.decision.type in ("approve", "edit")
        and standing.enough
        and not standing.act_too_late
    )


def _names(visit: Visit, standing: Standing, undo: _Undo) -> bool:
    """Whether the approval of a step covers this undo of it."""
    run, record = visit.session.run, undo.record
    digest = digest_of_action(
        tenant=run.tenant,
        run=run.run_id,
        step=record.step,
        tool=record.tool,
        args=undo.undone.arguments,
        effect=visit.tool(record.tool).effect,
        evidence=standing.request.evidence,
        undo=undo.tool.name,
    )
    return standing.step == record.step and standing.decided_digest == digest


def _ask(visit: Visit, undo: _Undo, judgement: Judgement) -> dict[str, Any]:
    """Ask a person whether it may be undone."""
    run = visit.session.run
    request = ApprovalRequest(
        id=new_approval_id(digest_of(undo.digest, visit.session.seq + 1)),
        purpose="compensate",
        run=run.run_id,
        step=undo.record.step,
        tool=undo.tool.name,
        undoes=undo.record.tool,
        args=undo.args,
        effect=undo.tool.effect,
        digest=undo.digest,
        reasons=judgement.reasons,
        policies=judgement.policies,
        policy_version=visit.policy.asked_under,
        plan_version=undo.record.plan_version,
        requested_by=run.requested_by,
        args_schema=undo.tool.schema(),
        allowed=("approve", "reject"),
        **visit.workflow.gate(None, undo.tool).opened(visit.session.now),
    )
    return _open(visit, undo.record, request, undo_approval=request.id)


def _find_out(visit: Visit, undo: _Undo, outcome: Outcome) -> dict[str, Any]:
    """Ask a person whether it was undone."""
    why = outcome.failure.message if outcome.failure else "nobody saw how it ended"
    request = doubt.question(
        visit, undo.record, tool=undo.tool, key=undo_key(visit, undo.record), why=why, undoes=undo.record.tool
    )
    return _open(visit, undo.record, request)


def _open(visit: Visit, record: StepRecord, request: ApprovalRequest, **changes: object) -> dict[str, Any]:
    request = previewed(request, visit.board, visit.tools)
    visit.session.stage_approval(visit.task, request)
    visit.session.stage_step(visit.task, being_undone(record, reason="; ".join(request.reasons), **changes))
    return {"approvals": {request.id: request.plain()}}


async def _call(visit: Visit, undo: _Undo, *, approval: str | None) -> Outcome:
    run, record, tool = visit.session.run, undo.record, undo.tool
    key = undo_key(visit, record)
    assert isinstance(undo.undone.arguments, dict)
    return await carry_out(
        visit,
        tool,
        undo.args,
        context=EffectContext(
            idempotency_key=key,
            run_id=run.run_id,
            step_id=record.step,
            tenant=run.tenant,
            now=datetime.fromisoformat(record.now) if record.now else visit.session.now,
            seed=int(key[4:16], 16),
            undoes=Undone(key=undo.undone.key, arguments=undo.undone.arguments, result=undo.undone.result),
        ),
        intent=Intent(
            key=key,
            step=record.step,
            tool=tool.name,
            tool_version=tool.version,
            effect=tool.effect,
            on_doubt=tool.on_doubt,
            fingerprint=fingerprint_of(tool.name, undo.args),
            arguments=undo.args,
            approval=approval,
            purpose="compensate",
            generation=record.undo_generation,
        ),
    )


def _settle(visit: Visit, record: StepRecord, outcome: Outcome) -> dict[str, Any]:
    found = undone(record, outcome)
    visit.session.stage_step(visit.task, found)
    return {"counters": {found.status.value: 1}}
