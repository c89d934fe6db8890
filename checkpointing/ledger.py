"""The ledger of effects: the intent before the call, the result after it, by idempotency key.

Invariant: no call is made before its intent is committed under the owner's epoch, and a key never
serves two different calls. The ledger is the truth; a checkpoint is only a position.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg import Error
from psycopg.types.json import Json
from pydantic import JsonValue
from pydantic_core import to_json

from gatepost.checkpointing import foretold
from gatepost.checkpointing.commits import PAUSE_SECONDS, RETRY_SECONDS, UNWRITABLE
from gatepost.checkpointing.pool import Connection, Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import one_of
from gatepost.checkpointing.session import Foretold, RunSession
from gatepost.checkpointing.together import Together
from gatepost.state import crash
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.errors import DatabaseUnavailable, InvalidValue, LostRun, UnknownEffect
from gatepost.state.ids import EffectKey
from gatepost.state.status import EFFECT_TRANSITIONS, EffectState, advance
from gatepost.state.step import Failure


@dataclass(frozen=True, slots=True)
class Intent:
    """One effect that is about to be attempted."""

    key: str
    step: str
    tool: str
    tool_version: str
    effect: EffectClass
    on_doubt: OnDoubt
    fingerprint: str
    arguments: JsonValue
    approval: str | None
    purpose: str = "run"
    generation: int = 0
    call_path: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An effect as the ledger has it."""

    key: str
    state: EffectState
    fingerprint: str
    attempts: int
    arguments: JsonValue
    result: JsonValue
    failure: Failure | None
    intended_at: datetime
    attempted_at: datetime
    """When the last attempt was announced."""
    now: datetime
    """Database time when this was read."""
    epoch: int
    """Of the owner who wrote it last."""
    cleared: bool
    """Whether every attempt so far certainly did nothing."""
    not_before: datetime | None
    """When the next one may be made, where one was to wait."""
    fresh: bool
    """Whether this call wrote the intent; otherwise an earlier one did."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction in which an effect happens and is recorded."""

    connection: Connection
    _under: Mapping[str, Any]

    async def record(self, result: JsonValue) -> None:
        """Write down, as the last thing in the transaction, what the effect returned.

        Raises:
            LostRun: another owner has the run.
            InvalidValue: the effect is no longer open.
        """
        cursor = await self.connection.execute(query("effect.succeed"), {**self._under, "result": Json(result)})
        if not cursor.rowcount:
            raise InvalidValue(f"effect {self._under['key']} is settled already; this transaction is rolled back.")


class Ledger:
    """The table of effects.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._together: Together[Mapping[str, Any], Entry] = Together(self._intend)

    async def intend(self, session: RunSession, intent: Intent) -> Entry:
        """Commit an intent, or find what is recorded under its key.

        Raises:
            LostRun: another owner has the run.
        """
        session.check()
        undo = "undo." if intent.purpose == "compensate" else ""
        row = row_of(session, intent)
        if (told := foretold.taken(session, row)) is not None:
            entry = _fresh(told)
        else:
            crash.here(f"{undo}intent.before")
            entry = await self._announced(session, row)
        crash.here(f"{undo}intent.after")
        return entry

    async def _announced(self, session: RunSession, row: Mapping[str, Any]) -> Entry:
        """Commit an intent; where no answer came, repeat it. What bears our epoch then is what we wrote ourselves."""
        first = row["key"] not in session.announced
        session.announced.add(row["key"])
        deadline = time.monotonic() + RETRY_SECONDS
        try:
            return await self._together.ask(row)
        except DatabaseUnavailable as error:
            if not error.passing or not first:
                raise
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            session.check()
            try:
                entry = await self._together.ask(row)
            except DatabaseUnavailable as unavailable:
                if not unavailable.passing or time.monotonic() > deadline:
                    raise
            else:
                return replace(entry, fresh=entry.fresh or entry.epoch == session.epoch)

    async def _intend(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Entry | Exception]:
        """Several runs' intents in one commit; where that fails, each by itself, so that only the guilty one fails."""
        held = {(row["run_id"], row["epoch"]): {"run_id": row["run_id"], "epoch": row["epoch"]} for row in rows}
        try:
            params = {"held": to_json(list(held.values())).decode(), "intents": to_json(rows).decode()}
            async with self._pools.connection() as connection:
                found = await (await connection.execute(query("effect.intend"), params)).fetchall()
        except (LostRun, DatabaseUnavailable, Error, *UNWRITABLE) as error:
            if len(rows) == 1:
                return [error]
            if isinstance(error, DatabaseUnavailable) and error.passing:
                raise  # nobody knows whether they were written: each looks for itself
            return [given for row in rows for given in await self._intend([row])]
        entries = {row["key"]: _entry(row) for row in found}
        return [entries[row["key"]] for row in rows]

    async def withdraw(self, session: RunSession) -> None:
        """Take back the intents that were committed beforehand and whose calls are not made (now).

        Raises:
            LostRun: another owner has the run.
        """
        session.check()
        async with self._pools.connection() as connection:
            await foretold.withdraw(connection, session)

    async def again(self, session: RunSession, key: str, *, within: timedelta | None = None) -> Entry | None:
        """Announce another attempt under a key, before it is made.

        Args:
            session: the held run.
            key: of the effect.
            within: how long after the intent another attempt is allowed; None is for ever.

        Returns:
            The effect; None when it is too late, or the effect is no longer open.

        Raises:
            LostRun: another owner has the run.
        """
        session.check()
        params = {"run_id": session.run.run_id, "key": key, "epoch": session.epoch, "within": within}
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("effect.again"), params)).fetchone()
        return None if row is None else _entry(row)

    @asynccontextmanager
    async def transaction(self, session: RunSession, key: str) -> AsyncIterator[Transaction]:
        """A transaction of the caller's own SQL, which commits with the result of the effect or not at all.

        The fence comes last: a lock on the run's row would stop the heartbeat for as long as the SQL takes.

        Raises:
            LostRun: another owner has the run; everything is rolled back.
        """
        session.check()
        async with self._pools.transaction() as connection:
            yield Transaction(connection, {"run_id": session.run.run_id, "epoch": session.epoch, "key": key})

    async def pause(self, session: RunSession, key: str, failure: Failure, *, wait: timedelta, certain: bool) -> None:
        """Write down, before a wait that may die, how long it is.

        Args:
            session: the held run.
            key: of the effect.
            failure: of the last attempt.
            wait: until the next one.
            certain: whether every attempt so far certainly did nothing.

        Raises:
            LostRun: another owner has the run.
        """
        session.check()
        under = {"run_id": session.run.run_id, "key": key, "epoch": session.epoch}
        params = {**under, "failure": Json(failure.plain()), "wait": wait, "certain": certain}
        async with self._pools.connection() as connection:
            await connection.execute(query("effect.pause"), params)

    def finish(
        self,
        session: RunSession,
        task: str,
        entry: Entry,
        state: EffectState,
        *,
        result: JsonValue = None,
        failure: Failure | None = None,
    ) -> None:
        """Stage what became of an effect; it commits with the step's outcome."""
        advance(EFFECT_TRANSITIONS, entry.state, state)
        session.stage_effect(
            task,
            key=entry.key,
            state=state,
            result=result if state is EffectState.SUCCEEDED else None,
            failure=failure,
        )

    async def get(self, key: str) -> Entry | None:
        """What the ledger has under a key."""
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("effect.get"), {"key": key})).fetchone()
        return None if row is None else _entry(row)

    async def find(self, prefix: str, tenant: str) -> EffectKey:
        """The one effect whose key starts with `prefix`.

        Raises:
            UnknownEffect: none does.
            CallerMistake: several do.
        """
        async with self._pools.connection() as connection:
            cursor = await connection.execute(query("effect.find"), {"prefix": prefix, "tenant": tenant})
            found = [row["key"] for row in await cursor.fetchall()]
        return EffectKey(one_of(found, prefix=prefix, what="effect", unknown=UnknownEffect))

    async def page(
        self, tenant: str, *, states: Sequence[EffectState] | None = None, run_id: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """A page of effects as their rows are, newest first."""
        params = {
            "tenant": tenant,
            "states": [str(state) for state in states] if states else None,
            "run_id": run_id,
            "limit": limit,
        }
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("effect.page"), params)).fetchall()

    async def row(self, key: str, tenant: str) -> dict[str, Any]:
        """One effect as its row is, with its run's status and owner, and the last `question` about it.

        Raises:
            UnknownEffect: the tenant has no such effect.
        """
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("effect.one"), {"key": key, "tenant": tenant})).fetchone()
        if row is None:
            raise UnknownEffect(f"there is no effect {key!r}. `gatepost effect list` shows those there are.")
        return row

    async def settle(
        self,
        key: str,
        tenant: str,
        state: EffectState,
        *,
        result: JsonValue,
        failure: Failure | None,
        actor: str,
        reason: str,
    ) -> bool:
        """Write down what somebody found out about an effect in doubt of a run that has ended.

        Returns:
            Whether it was; else it is known already, or its run has not ended.
        """
        params = {
            "key": key,
            "tenant": tenant,
            "state": state,
            "result": Json(result) if state is EffectState.SUCCEEDED else None,
            "failure": None if failure is None else Json(failure.plain()),
            "actor": actor,
            "reason": reason,
        }
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("effect.settle"), params)).fetchone() is not None


def row_of(session: RunSession, intent: Intent) -> dict[str, Any]:
    """An intent as its row is written, under the session's epoch."""
    run = session.run
    return {
        "key": intent.key,
        "run_id": run.run_id,
        "root_run_id": run.root_run_id,
        "tenant": run.tenant,
        "step_id": intent.step,
        "call_path": intent.call_path,
        "purpose": intent.purpose,
        "generation": intent.generation,
        "tool": intent.tool,
        "tool_version": intent.tool_version,
        "effect_class": intent.effect,
        "on_doubt": intent.on_doubt,
        "fingerprint": intent.fingerprint,
        "arguments": intent.arguments,
        "approval_id": intent.approval,
        "epoch": session.epoch,
    }


def _fresh(told: Foretold) -> Entry:
    times = dict.fromkeys(("intended_at", "attempted_at", "now"), told.at)
    known = {"state": "intended", "attempts": 1, "result": None, "failure": None, "cleared": False, "not_before": None}
    return _entry({**told.row, **known, **times, "fresh": True})


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        key=row["key"],
        state=EffectState(row["state"]),
        fingerprint=row["fingerprint"],
        attempts=row["attempts"],
        arguments=row["arguments"],
        result=row["result"],
        failure=None if row["failure"] is None else Failure.model_validate(row["failure"]),
        intended_at=row["intended_at"],
        attempted_at=row["attempted_at"],
        now=row["now"],
        epoch=row["epoch"],
        cleared=row["cleared"],
        not_before=row["not_before"],
        fresh=row["fresh"],
    )
