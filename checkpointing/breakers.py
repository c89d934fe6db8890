"""Circuit breakers in Postgres: what all workers know of a provider that has a bad time.

Invariant: while a breaker is open nobody calls; when its time is over one call is let through to
see, and what it sees decides for all. The pattern is Nygard's ("Release It!", 2007); the state is
one row for each tenant and provider, and its clock is the database's.
"""

from __future__ import annotations

from datetime import timedelta

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.state.step import Failure

OPEN_AFTER = 5
"""Failures in a row."""
OPEN_FOR = timedelta(seconds=30)
"""Unless the provider says how long."""
_LOOK_AGAIN = timedelta(seconds=1)


class Breakers:
    """The table of breakers.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def enter(self, tenant: str, provider: str, *, probe: timedelta) -> Passage:
        """Ask whether a call may be made now.

        Args:
            tenant: who calls.
            provider: who is called.
            probe: how long a call may take that is let through to see.
        """
        params = {"tenant": tenant, "provider": provider, "probe": probe}
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("breaker.enter"), params)).fetchone()
        if row is None:
            return Passage()
        if row["open_until"] is None or row["probing"]:
            return Passage(troubled=True)
        left: timedelta = row["open_until"] - row["now"]
        return Passage(troubled=True, wait=max(left, _LOOK_AGAIN), why=row["reason"])

    async def failed(self, tenant: str, provider: str, failure: Failure) -> None:
        """Take note of a failure of the provider."""
        asked = failure.retry_after if failure.kind == "throttled" else None
        params = {
            "tenant": tenant,
            "provider": provider,
            "reason": failure.message,
            "asked": None if asked is None else timedelta(seconds=asked),
            "open_after": OPEN_AFTER,
            "open_for": OPEN_FOR,
        }
        async with self._pools.connection() as connection:
            await connection.execute(query("breaker.failed"), params)

    async def answered(self, tenant: str, provider: str) -> None:
        """The provider is well: it answered, whatever it said."""
        async with self._pools.connection() as connection:
            await connection.execute(query("breaker.answered"), {"tenant": tenant, "provider": provider})


class Passage:
    """Whether a call may be made.

    Args:
        troubled: the provider had a bad time, so that a good answer is worth writing down.
        wait: until somebody may ask again; None: go.
        why: the last failure.
    """

    __slots__ = ("troubled", "wait", "why")

    def __init__(self, *, troubled: bool = False, wait: timedelta | None = None, why: str = "") -> None:
        self.troubled = troubled
        self.wait = wait
        self.why = why
