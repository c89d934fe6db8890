"""Foretelling: a step's intent travels in the commit that dispatches the step, where that can do no harm.

It saves a commit on the way of every such step. What it costs: a process that dies between that commit and the
call leaves an intent for a call that nobody made. So it is done only for tools that are sent again under the same
key on any doubt, by themselves and for ever. Somebody is asked about one only where it is not sent again (the run is
called off, or the policy forbids it by then), or where that is refused. An owner that stops in order before the
call takes the intent back (`RunSession.foretold`, `GatepostSaver.settle`).

Invariant: nothing else changes. The intent is committed before the call, under the owner's epoch, and the executor
checks the step's authority right before it calls.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from gatepost.checkpointing.effect_rows import Intent, row_of
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Visit
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.plan import Step
from gatepost.state.step import StepRecord


def foretell(visit: Visit, step: Step, tool: AnyTool, args: Mapping[str, JsonValue], record: StepRecord) -> None:
    """Stage the intent of a step that this visit dispatches, if its tool allows it.

    Args:
        visit: the gate's, or that of the executor that goes on to the step.
        step: as planned.
        tool: the step's.
        args: as they were judged.
        record: of the dispatch, with the effect's key.
    """
    if record.approval is None and not step.relies_on and _harmless(tool) and _original(visit):
        visit.session.stage_intent(visit.task, row_of(visit.session, intent_of(step, tool, args, record)))


def intent_of(step: Step, tool: AnyTool, args: Mapping[str, JsonValue], record: StepRecord) -> Intent:
    """What the ledger is told before the call: of the arguments whose fingerprint the record has."""
    assert record.key is not None
    assert record.fingerprint is not None
    return Intent(
        key=record.key,
        step=step.id,
        tool=tool.name,
        tool_version=tool.version,
        effect=tool.effect,
        on_doubt=tool.on_doubt,
        fingerprint=record.fingerprint,
        arguments=dict(args),
        approval=record.approval,
        generation=record.generation,
    )


def _harmless(tool: AnyTool) -> bool:
    """Whether an intent without a call is settled by a call, whenever somebody comes to it.

    A provider may be known to have a bad time; a window and a time limit run from the intent.
    """
    timed = tool.window is not None or tool.step_timeout is not None
    kind = tool.effect is not EffectClass.READ and tool.on_doubt is OnDoubt.RETRY
    return kind and not timed and tool.provider is None


def _original(visit: Visit) -> bool:
    """Whether the run calls the world: a replay does not, and a fork may find its call made by the run it came from."""
    session = visit.session
    return visit.equipment.stand_in is None and session.run.parent_run_id is None and session.ordered is None
