"""The compensator: undoes what succeeded, one step a visit, in reverse order of need.

Invariant: an undo is an effect like any other, with its own key (purpose `compensate`) in the same
ledger, so a compensator that was killed goes on where it was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import JsonValue

from gatepost.checkpointing.ledger import Intent
from gatepost.nodes.protocol import Outcome, carry_out
from gatepost.nodes.tool import AnyTool, EffectContext, InvalidArguments
from gatepost.nodes.visit import Visit
from gatepost.state.channels import RunState
from gatepost.state.effect import EffectClass, fingerprint_of, key_of
from gatepost.state.errors import InvalidValue
from gatepost.state.status import EffectState, RunStatus, StepStatus
from gatepost.state.step import Failure, StepRecord


async def compensator(state: RunState, visit: Visit) -> dict[str, Any]:
    """One visit: undo the last step that can be undone, or say that none is left."""
    ending = dict(state.get("ending") or {})
    record = next_undo(visit)
    if record is None:
        undone = any(found.status is StepStatus.COMPENSATED for found in visit.board.records.values())
        stuck = [found.step for found in visit.board.records.values() if found.status is StepStatus.COMPENSATION_FAILED]
        if stuck:
            reason = f"{ending['reason']}; could not undo {', '.join(stuck)}"
            ending.update(status=RunStatus.COMPENSATION_FAILED.value, reason=reason)
        elif undone:
            ending["status"] = RunStatus.COMPENSATED.value
        return {"ending": {**ending, "compensate": False}}
    return {"ending": ending, "counters": await _undo(visit, record)}


def next_undo(visit: Visit) -> StepRecord | None:
    """The succeeded step that has an undo and that nothing still done depends on: the last that came to its end.

    Not only steps of the plan in force: what an earlier version did was done all the same.
    """
    for record in reversed(visit.board.records.values()):
        tool = visit.tool(record.tool)
        if record.status in (StepStatus.SUCCEEDED, StepStatus.COMPENSATING) and tool.compensate is not None:
            return record
    return None


async def _undo(visit: Visit, record: StepRecord) -> dict[str, int]:
    undo: AnyTool | None = visit.tool(record.tool).compensate
    assert undo is not None
    entry = await visit.equipment.ledger.get(record.key or "")
    try:
        args = undo.normalise(entry.arguments if entry and isinstance(entry.arguments, dict) else {})
    except (InvalidArguments, InvalidValue) as error:
        failure = Failure(kind="validation", message=str(error))
        outcome = Outcome(EffectState.FAILED, failure=failure)
    else:
        outcome = await _call(visit, record, undo, args)
    if outcome.state is EffectState.SUCCEEDED:
        visit.session.stage_step(visit.task, record.to(StepStatus.COMPENSATING, StepStatus.COMPENSATED))
        return {"compensated": 1}
    reason = outcome.failure.message if outcome.failure else "nobody knows whether it was undone"
    failed = record.to(StepStatus.COMPENSATING, StepStatus.COMPENSATION_FAILED, reason=reason, failure=outcome.failure)
    visit.session.stage_step(visit.task, failed)
    return {"compensation_failed": 1}


async def _call(visit: Visit, record: StepRecord, undo: AnyTool, args: dict[str, JsonValue]) -> Outcome:
    run = visit.session.run
    key = key_of(tenant=run.tenant, root_run=run.root_run_id, step=record.step, purpose="compensate")
    return await carry_out(
        visit,
        undo,
        args,
        context=EffectContext(
            idempotency_key=key,
            run_id=run.run_id,
            step_id=record.step,
            tenant=run.tenant,
            now=datetime.fromisoformat(record.now) if record.now else visit.session.now,
            seed=int(key[4:16], 16),
        ),
        intent=Intent(
            key=key,
            step=record.step,
            tool=undo.name,
            tool_version=undo.version,
            effect=EffectClass(undo.effect),
            on_doubt=undo.on_doubt,
            fingerprint=fingerprint_of(undo.name, args),
            arguments=args,
            approval=record.approval,
            purpose="compensate",
        ),
    )
