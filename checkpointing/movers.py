"""Movers: how somebody finds the runs that nobody moves, takes them, and is told of new ones.

Invariant: a run is claimed by one mover at a time, in one transaction with its lease, and never while
another owner's lease lasts. The bell (LISTEN) only shortens the wait: whatever it misses is found by
the next look, because a claim reads the table and trusts no message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from gatepost.checkpointing.address import Address
from gatepost.checkpointing.policies import by_place
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import Runs, owner_name
from gatepost.state.errors import UnknownRun

PRESENT = 7453577708793328243  # the bytes of "gpmovers" read as one number
"""An advisory lock that every listening mover shares, so that anybody can see whether there is one."""
SUSPECT = 2
"""After so many attempts in a row that ended at one transition, a run is moved alone."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
_LISTENER: dict[str, Any] = {
    "application_name": "gatepost worker",
    "connect_timeout": 5,
    # It sends nothing, so only the kernel can find out that the other side is gone.
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


class Movers:
    """What a mover asks of the database.

    Args:
        pools: connections.
        runs: whose lease and patience hold for what is claimed.
    """

    def __init__(self, pools: Pools, runs: Runs) -> None:
        self._pools = pools
        self._runs = runs

    async def claim(
        self,
        *,
        workflows: Collection[str],
        graph_version: str,
        slots: int,
        tenants: Collection[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Take runs that nobody holds: queued ones, due ones, and what dead owners left.

        A run at whose transition attempts have ended again and again comes by itself; see `is_suspect`.

        Args:
            workflows: those that can be moved here.
            graph_version: the one that can be moved here.
            slots: at most so many.
            tenants: only theirs; None: everybody's.

        Returns:
            Their rows, for `Runs.hold(…, claimed=row)`; the lease runs from before the question was asked.
        """
        params = {
            "workflows": list(workflows),
            "graph_version": graph_version,
            "slots": slots,
            "tenants": None if tenants is None else list(tenants),
            "suspect": SUSPECT,
            "owner": owner_name(),
            "ttl": self._runs.lease.ttl,
            "patience": self._runs.patience,
            "run_id": None,
        }
        asked = time.monotonic()
        async with self._pools.batch() as connection:
            for chore in ("mover.obey", "mover.ring", "limit.sweep", "mover.answered", "mover.strand"):
                await connection.execute(query(chore), params)
            claimed = await connection.execute(query("mover.claim"), params)
        rows = await claimed.fetchall()
        rows.sort(key=lambda row: (-row["priority"], row["created_at"], row["run_id"]))
        return [{**row, "asked": asked} for row in rows]

    async def judge_anew(
        self, sets: Mapping[tuple[str, str], str], *, graph_version: str, slots: int, tried: Collection[str]
    ) -> list[dict[str, Any]]:
        """Take runs that nobody holds, and whose open questions another policy asked than the one in force.

        Args:
            sets: by workflow and tenant, the versions that judge here; see `PolicyVersions.enforce`.
            graph_version: the one that can be moved here.
            slots: at most so many.
            tried: runs that are left alone.

        Returns:
            Their rows, for `Runs.hold(…, claimed=row)`. They stay blocked or waiting.
        """
        params = {
            **by_place(sets),
            "graph_version": graph_version,
            "slots": slots,
            "tried": list(tried),
            "owner": owner_name(),
            "ttl": self._runs.lease.ttl,
        }
        asked = time.monotonic()
        async with self._pools.connection() as connection:
            rows = await (await connection.execute(query("mover.judge_anew"), params)).fetchall()
        return [{**row, "asked": asked} for row in rows]

    async def due_in(self) -> timedelta | None:
        """How long until the next timer rings; None where there is none. Negative: one is due, and not ours."""
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("mover.due"))).fetchone()
        left: timedelta | None = row["left"] if row else None
        return left

    async def why(self, run_id: str, tenant: str) -> dict[str, Any]:
        """Who moves a run next (`kind`, `until`, `detail` of gatepost.next_mover), and what explains it.

        Raises:
            UnknownRun: the tenant has no such run.
        """
        params = {"run_id": run_id, "tenant": tenant, "key": PRESENT}
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("mover.why"), params)).fetchone()
        if row is None:
            raise UnknownRun(f"there is no run {run_id!r}. `gatepost run list` shows the runs there are.")
        return row


def is_suspect(row: Mapping[str, Any]) -> bool:
    """Whether a claimed run may be what ended its owners: it is moved alone, so that it ends nobody else."""
    return bool(row["setbacks"] >= SUSPECT)


class Bell:
    """Rings when a run was queued, on a connection of its own that is made again when it breaks.

    For those who move none, it also rings when an owner lets go of a run.

    Args:
        address: where the database is. A pooler between that shares connections would swallow the bell.
        ring: called for each message, and after each time when messages may have been missed.
        mover: whether who listens moves runs, and shows so to everybody who asks.
    """

    def __init__(self, address: Address, ring: Callable[[], None], *, mover: bool = True) -> None:
        self._address = address
        self._ring = ring
        self._mover = mover

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Listen while the block runs."""
        listening = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _listen(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            with suppress(psycopg.Error, OSError):
                async with await self._connected() as connection:
                    pause = FIRST_PAUSE_SECONDS
                    self._ring()
                    async for _ in connection.notifies():
                        self._ring()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _connected(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(
            make_conninfo(self._address.app, **_LISTENER), autocommit=True, prepare_threshold=None
        )
        try:
            if self._mover:
                await connection.execute(query("mover.present"), {"key": PRESENT})
            else:
                await connection.execute(query("mover.watch"))
            await connection.execute(query("mover.listen"))
        except BaseException:
            await connection.close()
            raise
        return connection
