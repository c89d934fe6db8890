"""The effect protocol: intent before the call, result after it, and no second call on a guess.

Invariant: a call with an effect is made only after its intent is committed under our epoch; an
attempt whose end nobody saw is resolved the way its tool declares, never by a clock alone. What
comes out is state, never an exception: only a lost run and our own bugs raise.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import anyio
from pydantic import JsonValue

from gatepost.checkpointing.ledger import Entry, Intent
from gatepost.nodes.failure import RETRIED, classify
from gatepost.nodes.outcome import Outcome, failed, recorded, succeeded, unknown
from gatepost.nodes.tool import AnyTool, EffectContext, Retry
from gatepost.nodes.visit import Visit
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.errors import LostRun
from gatepost.state.status import EffectState
from gatepost.state.step import Failure

LONGEST_PAUSE_SECONDS = 60.0
"""Whatever is waited for longer than this is not waited for here: the wait would hold the run's lease all the time."""
_SLICE_SECONDS = 1.0
"""How often a wait looks whether the run is still ours, and what the database's clock says."""


async def carry_out(
    visit: Visit, tool: AnyTool, args: Mapping[str, JsonValue], *, context: EffectContext, intent: Intent
) -> Outcome:
    """Run one call through the protocol and stage what became of it.

    Raises:
        LostRun: another owner has the run; nothing is recorded.
    """
    if tool.effect is EffectClass.READ:
        return await _Call(visit, tool, args, context=context, entry=None).run()
    entry = await visit.equipment.ledger.intend(visit.session, intent)
    if entry.fingerprint != intent.fingerprint:
        return _refused(entry)
    if entry.state is not EffectState.INTENDED:
        return recorded(tool, entry)
    outcome = await _Call(visit, tool, args, context=context, entry=entry).run()
    return _book(visit, entry, outcome)


async def refuse(visit: Visit, key: str | None, why: str) -> Outcome:
    """The outcome of a call that may not be made (any more).

    An earlier attempt may have been cut off while it was still allowed: then "nothing was called" would be a guess.
    """
    entry = await visit.equipment.ledger.get(key) if key else None
    if entry is None:
        return failed(Failure(kind="policy_denied", message=f"{why}. Nothing was called."))
    if entry.state is not EffectState.INTENDED:
        return Outcome(entry.state, result=entry.result, failure=entry.failure)
    message = f"{why}, but an earlier attempt was cut off after it was announced (key {entry.key})"
    return _book(visit, entry, unknown(Failure(kind="in_doubt", message=message)))


class _Call:
    """One call, attempted until it is known how it ended, or until somebody else has to find out.

    Args:
        entry: its row in the ledger; None for a read, which has none.
    """

    def __init__(
        self,
        visit: Visit,
        tool: AnyTool,
        args: Mapping[str, JsonValue],
        *,
        context: EffectContext,
        entry: Entry | None,
    ) -> None:
        self._visit = visit
        self._tool = tool
        self._args = args
        self._context = context
        self._entry = entry
        self._doubt = None if entry is None or entry.fresh else _cut_off(tool, entry)
        """An attempt whose end nobody saw, this one's or an earlier one's: a later "no" does not speak for it."""

    async def run(self) -> Outcome:
        """Attempt it, and again where that may help and may not harm."""
        if self._doubt is not None and (known := await self._resolve(again=True) or await self._announce()):
            return known
        attempt = 0
        while True:
            attempt += 1
            self._visit.session.check()
            try:
                return succeeded(self._tool, await self._tool.call(replace(self._context, attempt=attempt), self._args))
            except LostRun:
                raise
            except Exception as error:  # noqa: BLE001 (a tool may raise anything; it becomes state)
                failure, certain = classify(error)
            if not certain and self._entry is not None:
                self._doubt = failure
            pause = pause_seconds(self._tool.retry, attempt, failure, random.Random(self._context.seed + attempt))
            again = failure.kind in RETRIED and attempt < self._tool.retry.attempts and pause <= LONGEST_PAUSE_SECONDS
            if self._doubt is not None and (known := await self._resolve(again=again)):
                return known
            if not again:
                return failed(failure)
            await self._pause(pause)
            if known := await self._announce():
                return known

    async def _resolve(self, *, again: bool) -> Outcome | None:
        """What became of an attempt whose end nobody saw; None: it did no harm to go on."""
        assert self._doubt is not None
        match self._tool.on_doubt:
            case OnDoubt.RETRY if again:
                return None
            case OnDoubt.LOOKUP:
                return await self._look_up()
            case _:
                return unknown(self._doubt)

    async def _look_up(self) -> Outcome | None:
        """Ask the provider: a yes counts at once, a no only when the last request can no longer arrive."""
        assert self._tool.settle is not None
        entry = await self._read()
        arrives_until = entry.attempted_at + self._tool.timeout + self._tool.settle
        found = await self._ask()
        if isinstance(found, Outcome):
            return found
        left = (arrives_until - entry.now).total_seconds()
        if left > LONGEST_PAUSE_SECONDS:
            return unknown(
                Failure(
                    kind="in_doubt",
                    message=f"a look-up of {self._tool.name} found nothing, which proves nothing before "
                    f"{arrives_until.isoformat(timespec='seconds')}: the request may still arrive (key {entry.key})",
                )
            )
        if left > 0:
            await self._until(arrives_until)
            found = await self._ask()
        if found is None:
            self._doubt = None  # it did not happen, and will not
            return None
        return found if isinstance(found, Outcome) else unknown(found)

    async def _ask(self) -> Outcome | Failure | None:
        """What the look-up found: the result; None for nothing; a failure where it could not be asked."""
        try:
            found = await self._tool.look_up(self._context, self._args)
            return None if found is None else succeeded(self._tool, found)
        except LostRun:
            raise
        except Exception as error:  # noqa: BLE001 (a tool may raise anything; it becomes state)
            failure, _ = classify(error)
            return failure.model_copy(update={"message": f"the look-up failed: {failure.message}"})

    async def _announce(self) -> Outcome | None:
        """Count another attempt before it is made; an outcome where none may be made any more."""
        if self._entry is None:
            return None
        window = self._tool.window
        within = None if window is None or self._doubt is None else window - self._tool.timeout
        entry = await self._visit.equipment.ledger.again(self._visit.session, self._entry.key, within=within)
        if entry is not None:
            return None
        entry = await self._read()
        if entry.state is not EffectState.INTENDED:
            return recorded(self._tool, entry)
        return unknown(
            Failure(
                kind="in_doubt",
                message=f"{self._tool.name} was first called at {entry.intended_at.isoformat(timespec='seconds')}, and "
                f"its provider remembers a key for {window} only: another call could be another effect "
                f"(key {entry.key})",
            )
        )

    async def _read(self) -> Entry:
        assert self._entry is not None
        entry = await self._visit.equipment.ledger.get(self._entry.key)
        assert entry is not None
        return entry

    async def _until(self, moment: datetime) -> None:
        """Wait until the database's clock says so; the heartbeat keeps the lease meanwhile."""
        while (left := (moment - (await self._read()).now).total_seconds()) > 0:
            await self._pause(min(left, _SLICE_SECONDS))

    async def _pause(self, seconds: float) -> None:
        while seconds > 0:
            await anyio.sleep(min(seconds, _SLICE_SECONDS))
            self._visit.session.check()
            seconds -= _SLICE_SECONDS


def pause_seconds(retry: Retry, attempt: int, failure: Failure, dice: random.Random) -> float:
    """How long to wait before the next attempt: what the provider asks, else doubled each time with jitter."""
    if failure.retry_after is not None:
        return failure.retry_after
    longest: float = min(retry.longest.total_seconds(), retry.first.total_seconds() * 2 ** min(attempt - 1, 60))
    return longest * dice.uniform(0.5, 1.0)


def _cut_off(tool: AnyTool, entry: Entry) -> Failure:
    return Failure(
        kind="in_doubt",
        message=f"an earlier attempt of {tool.name} was cut off after it was announced (key {entry.key})",
    )


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
