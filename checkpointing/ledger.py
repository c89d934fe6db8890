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
from datetime import timedelta
from typing import Any

from psycopg import Error
from psycopg.types.json import Json
from pydantic import JsonValue
from pydantic_core import to_json

from gatepost.checkpointing import foretold
from gatepost.checkpointing.commits import PAUSE_SECONDS, RETRY_SECONDS, UNWRITABLE
from gatepost.checkpointing.effect_rows import Entry, Intent, entry_of, foretold_entry, row_of
from gatepost.checkpointing.pool import Connection, Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.session import RunSession
from gatepost.checkpointing.together import Together
from gatepost.state import crash
from gatepost.state.errors import DatabaseUnavailable, InvalidValue, LostRun
from gatepost.state.status import EFFECT_TRANSITIONS, EffectState, advance
from gatepost.state.step import Failure


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
            entry = foretold_entry(told)
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
        entries = {row["key"]: entry_of(row) for row in found}
        return [entries[row["key"]] for row in rows]

    async def withdraw(self, session: RunSession, key: str) -> None:
        """Take back an intent that was committed beforehand and whose call is not made; the others are left.

        Raises:
            LostRun: another owner has the run.
        """
        session.check()
        async with self._pools.connection() as connection:
            await foretold.withdraw(connection, session, [key])

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
        return None if row is None else entry_of(row)

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
        return None if row is None else entry_of(row)
