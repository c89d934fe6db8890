"""The attempts at one call: made, waited between, and made again where that may help and may not harm.

Invariant: an attempt whose end nobody saw is resolved the way its tool declares before anything
else happens, and a later "no" does not speak for it. Attempts are counted in the ledger, so a crash
resets nothing; a call that takes its process with it again and again is not made for ever.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import JsonValue

from gatepost.checkpointing.effect_rows import Entry
from gatepost.nodes.failure import classify
from gatepost.nodes.outcome import Outcome, failed, parked, recorded, succeeded, unknown
from gatepost.nodes.passage import Provider
from gatepost.nodes.reconcile import Reconciler, reread
from gatepost.nodes.tool import AnyTool, EffectContext
from gatepost.nodes.visit import Visit
from gatepost.nodes.waits import LONGEST_PAUSE_SECONDS, SLICE_SECONDS, Clock, pause, pause_seconds
from gatepost.state import crash
from gatepost.state.effect import OnDoubt
from gatepost.state.errors import LostRun
from gatepost.state.status import EffectState
from gatepost.state.step import Failure
from gatepost.state.watch import Act, current, watched

CUT_OFFS = 3
"""How often a call is made again beyond its declared attempts because its process died in it; then a person looks."""
_NO_TIME = timedelta(0)


class Attempts:
    """The attempts at one call, until it is known how it ended, or until somebody else has to find out.

    Args:
        visit: the held run.
        tool: what is called.
        args: plain, as they were judged.
        context: told to the tool.
        attempts: made before, where no ledger counts them.
    """

    def __init__(
        self,
        visit: Visit,
        tool: AnyTool,
        args: Mapping[str, JsonValue],
        *,
        context: EffectContext,
        attempts: int = 0,
    ) -> None:
        self._visit = visit
        self._tool = tool
        self._args = args
        self._context = context
        self._provider = Provider(visit, tool)
        self._entry: Entry | None = None
        self._made = attempts
        self._number = attempts + 1
        self._begun = visit.session.clock.time()
        self._clock = Clock(self._begun)
        self._reconciler = Reconciler(visit, tool, args, context=context, clock=self._clock)

    async def let_through(self) -> Outcome | None:
        """Wait while nobody calls the provider; an outcome where that is too long to be waited for here."""
        waited = 0.0
        while (closed := await self._provider.closed()) is not None:
            assert closed.retry_after is not None
            if waited + closed.retry_after > LONGEST_PAUSE_SECONDS:
                return self._later(closed.retry_after, closed)
            wait = min(closed.retry_after, SLICE_SECONDS)
            await pause(self._visit.session, wait)
            waited += wait
        return None

    async def run(self, entry: Entry | None = None) -> Outcome:
        """Attempt it until it is known how it ended, or until it has to wait for long.

        Args:
            entry: its row in the ledger; None for a read, which has none.
        """
        if entry is not None:
            self._take_up(entry)
            if not entry.fresh and (known := await self._come_back()):
                return known
        while True:
            self._visit.session.check()
            failure, certain, outcome = await self._watched_attempt()
            await self._provider.answered(failure)
            if failure is None:
                return outcome
            if not certain and self._entry is not None:
                self._reconciler.doubt = failure
            wait = pause_seconds(self._tool.retry, self._number, failure, self._dice())
            reactions = self._visit.reactions(self._tool, failure.kind)
            here = "retry" in reactions and wait <= LONGEST_PAUSE_SECONDS
            left = self._number < self._tool.retry.attempts and self._time_for(wait)
            again = left and (here or "park" in reactions)
            if known := await self._reconciled(again=again):
                return known
            if not again:
                return failed(failure)
            if known := await self._next(wait, failure, here=here):
                return known

    def _take_up(self, entry: Entry) -> None:
        self._entry = entry
        self._number = entry.attempts
        self._clock.set(entry.now)
        self._begun = entry.intended_at
        self._reconciler.take_up(entry)

    def _later(self, seconds: float, failure: Failure) -> Outcome:
        until = self._clock.now() + timedelta(seconds=seconds)
        return parked(failure, until=until, attempts=self._made, doubt=self._reconciler.doubt is not None)

    async def _reconciled(self, *, again: bool) -> Outcome | None:
        """How the call ended, where that was in doubt and is found out; None: it does no harm to go on."""
        if self._reconciler.doubt is None:
            return None
        assert self._entry is not None
        return await self._reconciler.resolve(self._entry.key, again=again, made=self._made)

    @property
    def _ends_at(self) -> datetime | None:
        return None if self._tool.step_timeout is None else self._begun + self._tool.step_timeout

    async def _watched_attempt(self) -> tuple[Failure | None, bool, Outcome]:
        if not (watchers := self._visit.equipment.watchers):
            return await self._attempt()
        facts = {"attempt": self._number, "key": self._context.idempotency_key, "effect": self._tool.effect}
        act = Act("call", self._visit.session.run, self._tool.name, {**facts, "args": self._args}, parent=current())
        with watched(watchers, act):
            failure, certain, outcome = await self._attempt()
            act.outcome, act.facts["result"] = outcome.state.value, outcome.result
            act.error = failure.kind if failure else ""
        return failure, certain, outcome

    async def _attempt(self) -> tuple[Failure | None, bool, Outcome]:
        self._made = self._number
        context = self._context if self._number == 1 else replace(self._context, attempt=self._number)
        left = None if self._ends_at is None else max(_NO_TIME, self._ends_at - self._clock.now())
        undo = "undo." if context.undoes else ""
        crash.here(f"{undo}call.before")
        try:
            if self._entry is not None and self._tool.on_doubt is OnDoubt.TRANSACTION:
                return None, True, await self._transact(context, left)
            outcome = succeeded(self._tool, await self._tool.call(context, self._args, within=left))
        except LostRun:
            raise
        except Exception as error:  # noqa: BLE001 (a tool may raise anything; it becomes state)
            failure, certain = classify(error)
            crash.here(f"{undo}call.failed")
            if self._tool.on_doubt is OnDoubt.TRANSACTION:
                return await self._rolled_back(failure)
            return failure, certain, unknown(failure)
        crash.here(f"{undo}call.after")
        return None, True, outcome

    async def _transact(self, context: EffectContext, left: timedelta | None) -> Outcome:
        """The effect is SQL in our database: it happens with its own result, or not at all."""
        assert self._entry is not None
        undo = "undo." if context.undoes else ""
        async with self._visit.equipment.ledger.transaction(self._visit.session, self._entry.key) as transaction:
            inside = replace(context, connection=transaction.connection)
            outcome = succeeded(self._tool, await self._tool.call(inside, self._args, within=left))
            await transaction.record(outcome.result)
            crash.here(f"{undo}transaction.before")
        crash.here(f"{undo}transaction.after")
        return outcome

    async def _rolled_back(self, failure: Failure) -> tuple[Failure | None, bool, Outcome]:
        """Nothing happened, unless the error came from a COMMIT whose answer was lost: the ledger says."""
        if self._entry is None:
            return failure, True, failed(failure)
        entry = await reread(self._visit, self._entry.key)
        if entry.state is EffectState.INTENDED:
            return failure, True, failed(failure)
        return None, True, recorded(self._tool, entry)

    async def _come_back(self) -> Outcome | None:
        """Go on with a call that an earlier process announced; an outcome where none may be made any more."""
        assert self._entry is not None
        in_time = self._time_for(0)
        if known := await self._reconciled(again=in_time):
            return known
        if not in_time:
            return failed(
                Failure(kind="timeout", message=f"{self._tool.name} did not get done within its step_timeout")
            )
        if self._number >= self._tool.retry.attempts + CUT_OFFS:
            message = (
                f"{self._tool.name} was cut off in each of {self._number} attempts: it may be what ends its process"
            )
            failure = Failure(kind="poison", message=f"{message} (key {self._entry.key})")
            return failed(failure) if self._reconciler.doubt is None else unknown(failure)
        return await self._wait_it_out() or await self.let_through() or await self._announce()

    async def _wait_it_out(self) -> Outcome | None:
        """The rest of a wait that died with its process."""
        assert self._entry is not None
        if self._entry.not_before is None:
            return None
        left = (self._entry.not_before - self._clock.now()).total_seconds()
        if left > LONGEST_PAUSE_SECONDS:
            why = Failure(kind="throttled", message="its last attempt was to be followed by a wait")
            return self._later(left, self._entry.failure or why)
        await pause(self._visit.session, left)
        return None

    async def _next(self, seconds: float, failure: Failure, *, here: bool) -> Outcome | None:
        """Wait, and announce the next attempt. What died in the wait leaves no doubt where there was none."""
        if self._entry is not None:
            wait, certain = timedelta(seconds=seconds), self._reconciler.doubt is None
            ledger = self._visit.equipment.ledger
            await ledger.pause(self._visit.session, self._entry.key, failure, wait=wait, certain=certain)
        crash.here("pause")
        if not here:
            return self._later(seconds, failure)
        await pause(self._visit.session, seconds)
        return await self.let_through() or await self._announce()

    async def _announce(self) -> Outcome | None:
        """Count another attempt before it is made; an outcome where none may be made any more."""
        if self._entry is None:
            self._number += 1
            return None
        window = self._tool.window
        within = None if window is None or self._reconciler.doubt is None else window - self._tool.timeout
        entry = await self._visit.equipment.ledger.again(self._visit.session, self._entry.key, within=within)
        if entry is not None:
            self._number = entry.attempts
            self._clock.set(entry.now)
            return None
        entry = await reread(self._visit, self._entry.key)
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

    def _time_for(self, seconds: float) -> bool:
        return self._ends_at is None or self._clock.now() + timedelta(seconds=seconds) < self._ends_at

    def _dice(self) -> random.Random:
        return random.Random(self._context.seed + self._number)
