"""The effect protocol: intent before the call, result after it, and no second call on a guess.

Invariant: a call with an effect is made only after its intent is committed under our epoch; an
attempt whose end nobody saw is resolved the way its tool declares, never by a clock alone. What
comes out is state, never an exception: only a lost run and our own bugs raise.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from gatepost.checkpointing.effect_rows import Entry, Intent
from gatepost.nodes.attempts import Attempts
from gatepost.nodes.forked import in_a_fork
from gatepost.nodes.outcome import Outcome, failed, recorded, unknown
from gatepost.nodes.tool import AnyTool, EffectContext
from gatepost.nodes.visit import Visit
from gatepost.state.effect import EffectClass
from gatepost.state.status import EffectState
from gatepost.state.step import Failure
from gatepost.state.watch import Act, current, watched


async def carry_out(
    visit: Visit,
    tool: AnyTool,
    args: Mapping[str, JsonValue],
    *,
    context: EffectContext,
    intent: Intent,
    attempts: int = 0,
) -> Outcome:
    """Run one call through the protocol and stage what became of it.

    Args:
        visit: the held run.
        tool: what is called.
        args: plain, as they were judged.
        context: told to the tool.
        intent: as the ledger has it.
        attempts: of a read, those made before it waited; an effect's are in the ledger.

    Raises:
        LostRun: another owner has the run; nothing is recorded.
    """
    await visit.session.durable()
    if visit.equipment.stand_in is not None:
        return await visit.equipment.stand_in.carried_out(visit, tool, intent)
    if not (watchers := visit.equipment.watchers):
        return await _carry_out(visit, tool, args, context=context, intent=intent, attempts=attempts)
    facts = {"step": intent.step, "key": intent.key, "effect": tool.effect, "approval": intent.approval}
    act = Act("step", visit.session.run, intent.step, facts, parent=visit.session.act)
    with watched(watchers, act):
        outcome = await _carry_out(visit, tool, args, context=context, intent=intent, attempts=attempts)
        act.outcome = act.outcome or ("parked" if outcome.wake_at is not None else outcome.state.value)
        act.error = outcome.failure.kind if outcome.failure else ""
        return outcome


async def _carry_out(
    visit: Visit,
    tool: AnyTool,
    args: Mapping[str, JsonValue],
    *,
    context: EffectContext,
    intent: Intent,
    attempts: int,
) -> Outcome:
    if (ended := await in_a_fork(visit, tool, intent)) is not None:
        return ended
    call = Attempts(visit, tool, args, context=context, attempts=attempts)
    if tool.effect is EffectClass.READ:
        return await call.let_through() or await call.run()
    known = tool.provider is None or await visit.equipment.ledger.get(intent.key) is not None
    if not known and (closed := await call.let_through()) is not None:
        return closed
    entry = await visit.equipment.ledger.intend(visit.session, intent)
    if entry.fingerprint != intent.fingerprint:
        return _told("conflict", _refused(entry))
    if entry.state is not EffectState.INTENDED:
        return _told("replayed", recorded(tool, entry))
    outcome = await call.run(entry)
    return outcome if outcome.wake_at is not None else _book(visit, entry, outcome)


async def refuse(visit: Visit, key: str | None, why: str) -> Outcome:
    """The outcome of a call that may not be made (any more).

    An earlier attempt may have been cut off while it was still allowed: then "nothing was called" would be a guess.
    """
    await visit.session.durable()
    if visit.equipment.stand_in is not None:
        return await visit.equipment.stand_in.refused(visit, key, why)
    if key in visit.session.foretold:
        await visit.equipment.ledger.withdraw(visit.session, key)
    entry = await visit.equipment.ledger.get(key) if key else None
    if entry is None:
        return failed(Failure(kind="policy_denied", message=f"{why}. Nothing was called."))
    if entry.state is not EffectState.INTENDED:
        return Outcome(entry.state, result=entry.result, failure=entry.failure)
    if entry.cleared:
        return _book(visit, entry, failed(Failure(kind="policy_denied", message=f"{why}. No attempt did anything.")))
    message = f"{why}, but an earlier attempt was cut off after it was announced (key {entry.key})"
    return _book(visit, entry, unknown(Failure(kind="in_doubt", message=message)))


def _told(how: str, outcome: Outcome) -> Outcome:
    """The outcome of a step for which nothing was called, and why."""
    if (act := current()) is not None:
        act.outcome = how
    return outcome


def _refused(entry: Entry) -> Outcome:
    message = (
        f"key {entry.key} is recorded for a call with other arguments; nothing was sent. "
        "Another action is another step."
    )
    return failed(Failure(kind="policy_denied", message=message))


def _book(visit: Visit, entry: Entry, outcome: Outcome) -> Outcome:
    visit.equipment.ledger.finish(
        visit.session, visit.task, entry, outcome.state, result=outcome.result, failure=outcome.failure
    )
    return outcome
