"""The effect protocol: intent before the call, result after it, and no second call on a guess.

Invariant: a call with an effect is made only after its intent is committed under our epoch; an
intent found without a result is resolved the way its tool declares, never by a clock. What comes
out is state, never an exception: only a lost run and our own bugs raise.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

import anyio
from pydantic import JsonValue

from gatepost.checkpointing.ledger import Entry, Intent
from gatepost.nodes.failure import RETRIED, classify
from gatepost.nodes.tool import AnyTool, EffectContext, Finding, Retry
from gatepost.nodes.visit import Visit
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.errors import GatepostError, LostRun
from gatepost.state.status import EffectState
from gatepost.state.step import Failure

LONGEST_PAUSE_SECONDS = 60.0
"""A provider that asks for a longer wait fails the step: the wait would hold the run's lease all the time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an effect ended."""

    state: EffectState
    result: JsonValue = None
    finding: Finding | None = None
    failure: Failure | None = None


async def carry_out(
    visit: Visit, tool: AnyTool, args: Mapping[str, JsonValue], *, context: EffectContext, intent: Intent
) -> Outcome:
    """Run one call through the protocol and stage what became of it.

    Raises:
        LostRun: another owner has the run; nothing is recorded.
    """
    if tool.effect is EffectClass.READ:
        return await _attempts(visit, tool, args, context=context, entry=None)
    entry = await visit.equipment.ledger.intend(visit.session, intent)
    if entry.fingerprint != intent.fingerprint:
        return _refused(entry)
    if entry.state is not EffectState.INTENDED:
        return _recorded(tool, entry)
    if not entry.fresh:
        known = await _resolve(tool, args, context=context, entry=entry)
        if known is not None:
            return _book(visit, entry, known)
        await visit.equipment.ledger.again(visit.session, entry.key)
    return _book(visit, entry, await _attempts(visit, tool, args, context=context, entry=entry))


async def _resolve(
    tool: AnyTool, args: Mapping[str, JsonValue], *, context: EffectContext, entry: Entry
) -> Outcome | None:
    """What became of a call whose end nobody saw; None: make it again under the same key."""
    if tool.on_doubt is OnDoubt.RETRY:
        return None
    if tool.on_doubt is OnDoubt.LOOKUP:
        try:
            found = await tool.look_up(context, args)
            return None if found is None else _succeeded(tool, found)
        except GatepostError as error:
            return _unknown(Failure(kind="in_doubt", message=f"the look-up failed: {error}"))
        except Exception as error:  # noqa: BLE001 (a tool may raise anything; it becomes state)
            return _unknown(classify(error)[0])
    return _unknown(
        Failure(
            kind="in_doubt",
            message=f"an earlier attempt of {tool.name} was cut off after it was announced (key {entry.key})",
        )
    )


async def _attempts(
    visit: Visit, tool: AnyTool, args: Mapping[str, JsonValue], *, context: EffectContext, entry: Entry | None
) -> Outcome:
    attempt = 0
    while True:
        attempt += 1
        visit.session.check()
        failure, certain = None, True
        try:
            return _succeeded(tool, await tool.call(replace(context, attempt=attempt), args))
        except LostRun:
            raise
        except Exception as error:  # noqa: BLE001 (a tool may raise anything; it becomes state)
            failure, certain = classify(error)
        pause = pause_seconds(tool.retry, attempt, failure, random.Random(context.seed + attempt))
        again = failure.kind in RETRIED and attempt < tool.retry.attempts and pause <= LONGEST_PAUSE_SECONDS
        if entry is not None and not certain and tool.on_doubt is OnDoubt.ASK:
            again = False
        if entry is not None and not certain and tool.on_doubt is OnDoubt.LOOKUP and again:
            known = await _resolve(tool, args, context=context, entry=entry)
            if known is not None:
                return known
        if not again:
            return Outcome(EffectState.FAILED, failure=failure) if certain or entry is None else _unknown(failure)
        await anyio.sleep(pause)
        if entry is not None:
            await visit.equipment.ledger.again(visit.session, entry.key)


def pause_seconds(retry: Retry, attempt: int, failure: Failure, dice: random.Random) -> float:
    """How long to wait before the next attempt: what the provider asks, else doubled each time with jitter."""
    if failure.retry_after is not None:
        return failure.retry_after
    longest: float = min(retry.longest.total_seconds(), retry.first.total_seconds() * 2 ** min(attempt - 1, 60))
    return longest * dice.uniform(0.5, 1.0)


def _succeeded(tool: AnyTool, value: object) -> Outcome:
    plain = tool.checked_result(value)
    return Outcome(EffectState.SUCCEEDED, result=plain, finding=value if isinstance(value, Finding) else None)


def _unknown(failure: Failure) -> Outcome:
    return Outcome(EffectState.IN_DOUBT, failure=failure)


def _recorded(tool: AnyTool, entry: Entry) -> Outcome:
    """An earlier attempt is on record: that is the outcome, and nothing is called."""
    finding = None
    if entry.state is EffectState.SUCCEEDED:
        value = tool.result.validate_python(entry.result)
        finding = value if isinstance(value, Finding) else None
    return Outcome(entry.state, result=entry.result, finding=finding, failure=entry.failure)


def _refused(entry: Entry) -> Outcome:
    return Outcome(
        EffectState.FAILED,
        failure=Failure(
            kind="policy_denied",
            message=f"key {entry.key} is recorded for a call with other arguments; nothing was sent. "
            "Another action is another step.",
        ),
    )


def _book(visit: Visit, entry: Entry, outcome: Outcome) -> Outcome:
    visit.equipment.ledger.finish(
        visit.session, visit.task, entry, outcome.state, result=outcome.result, failure=outcome.failure
    )
    return outcome
