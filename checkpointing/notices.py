"""Notices in Postgres: the outbox. What has to be said is there from the transaction that made it so.

Invariant: triggers on the table of approvals write a notice, so no road past this code forgets one, and a transaction
that is rolled back leaves none. One sender has a notice at a time, until its lease is over; what it has told whom is
on record before it goes on to the next, so a sender that dies repeats one message at most. Times are the database's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import one_of
from gatepost.state.errors import CallerMistake, NotFound
from gatepost.state.notice import Notice, notice_in
from gatepost.state.status import NOTICE_TRANSITIONS, NoticeState, advance

LEASE = timedelta(seconds=60)
"""How long one message may take before its sender counts as dead."""
PAUSE = timedelta(seconds=5)
"""Before the second attempt; then twice as long each time, an hour at most."""
PATIENCE = 15
"""Attempts; together they last about six hours."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A notice that one sender has."""

    notice: Notice
    attempts: int
    """This one included: what fences the sender."""
    told: frozenset[str]
    """Addresses that have it already, by name."""
    reason: str
    """Why the attempt before failed."""


@dataclass(frozen=True, slots=True)
class Notices:
    """The table of notices."""

    pools: Pools
    lease: timedelta = LEASE
    pause: timedelta = PAUSE
    patience: int = PATIENCE

    async def claim(self, *, slots: int, tenants: Collection[str] | None = None) -> list[Taken]:
        """Take notices that are due; those that have ended one sender after another are given up.

        Args:
            slots: at most so many.
            tenants: only theirs; None: everybody's.
        """
        params = {"slots": slots, "lease": self.lease, "tenants": None if tenants is None else list(tenants)}
        async with self.pools.connection() as connection:
            rows = await (await connection.execute(query("notice.claim"), params)).fetchall()
        return [one for row in rows if (one := await self._readable(row)) is not None]

    async def _readable(self, row: Mapping[str, Any]) -> Taken | None:
        why = row["reason"] or "whoever was to send it ended without a word"
        try:
            one = Taken(notice_in(row), row["attempts"], frozenset(row["told"]), row["reason"])
            if one.attempts <= self.patience:
                return one
        except ValidationError:
            why = "this release cannot read what is asked; another one wrote it"
        said = f"given up after {min(row['attempts'], self.patience)} attempts: {why}"
        await self._settle(row["notice_id"], row["attempts"], NoticeState.DEAD, said)
        return None

    async def people(self, notice: Notice) -> frozenset[str]:
        """Who holds a role that is asked, or answers in such a person's place."""
        params = {
            "tenant": notice.tenant,
            "roles": list(notice.roles),
            "workflow": notice.workflow,
            "tool": notice.request.tool,
        }
        async with self.pools.connection() as connection:
            rows = await (await connection.execute(query("notice.people"), params)).fetchall()
        return frozenset(row["principal"] for row in rows)

    async def told(self, taken: Taken, address: str) -> None:
        """One address has it."""
        params = {"notice_id": taken.notice.id, "address": address, "attempts": taken.attempts, "lease": self.lease}
        async with self.pools.connection() as connection:
            await connection.execute(query("notice.told"), params)

    async def settle(self, taken: Taken, state: NoticeState, reason: str = "") -> None:
        """Nothing more is to be done about it; void where another sender has it by now."""
        await self._settle(taken.notice.id, taken.attempts, state, reason)

    async def _settle(self, notice: str, attempts: int, state: NoticeState, reason: str) -> None:
        advance(NOTICE_TRANSITIONS, NoticeState.PENDING, state)
        params = {"notice_id": notice, "attempts": attempts, "state": state, "reason": reason}
        async with self.pools.connection() as connection:
            await connection.execute(query("notice.settle"), params)

    async def failed(self, taken: Taken, reason: str) -> None:
        """Somebody could not be told: once more, later; or given up."""
        if taken.attempts >= self.patience:
            await self.settle(taken, NoticeState.DEAD, f"given up after {taken.attempts} attempts: {reason}")
            return
        params = {"notice_id": taken.notice.id, "attempts": taken.attempts, "reason": reason, "pause": self.pause}
        async with self.pools.connection() as connection:
            await connection.execute(query("notice.later"), params)

    async def due_in(self) -> timedelta | None:
        """How long until the next one is due; None: there is none. Negative: it is due."""
        async with self.pools.connection() as connection:
            row = await (await connection.execute(query("notice.due"))).fetchone()
        left: timedelta | None = row["left"] if row else None
        return left

    async def list(self, tenant: str, *, everything: bool = True, limit: int = 50) -> list[dict[str, Any]]:
        """A page of a tenant's notices, the newest first; all, or those that were not delivered (yet)."""
        params = {"tenant": tenant, "everything": everything, "limit": limit}
        async with self.pools.connection() as connection:
            return await (await connection.execute(query("notice.list"), params)).fetchall()

    async def retry(self, notice: str | None, tenant: str) -> Sequence[str]:
        """Send again, at once, what could not be delivered: one notice, or all of a tenant; gives their ids.

        Raises:
            NotFound: there is no such notice.
            CallerMistake: several ids start so, or it is none of those.
        """
        async with self.pools.connection() as connection:
            one = None
            if notice is not None:
                cursor = await connection.execute(query("notice.find"), {"prefix": notice, "tenant": tenant})
                found = [row["notice_id"] for row in await cursor.fetchall()]
                one = one_of(found, prefix=notice, what="notice", unknown=NotFound)
            cursor = await connection.execute(query("notice.retry"), {"notice_id": one, "tenant": tenant})
            again = [row["notice_id"] for row in await cursor.fetchall()]
        if one is not None and not again:
            raise CallerMistake(f"notice {one} did not fail, so it is not sent again. `gatepost notice list --all`")
        return again

    async def dead(self, tenant: str | None = None) -> dict[str, tuple[int, str]]:
        """How many notices nobody could deliver, and why the newest of them, by tenant.

        Args:
            tenant: only of this one; None: of all.
        """
        async with self.pools.connection() as connection:
            rows = await (await connection.execute(query("notice.dead"), {"tenant": tenant})).fetchall()
        return {row["tenant"]: (row["dead"], row["reason"] or "") for row in rows}
