"""Health: what an operator asks of a database before blaming anything else. Read-only."""

from __future__ import annotations

from typing import Any

from gatepost.checkpointing.movers import PRESENT
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query


class Health:
    """Answers about the server and about what waits on it.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def server(self) -> dict[str, Any]:
        """Version, role, time and size of the database, and how many movers listen."""
        (row,) = await self._rows("health.server", key=PRESENT)
        return row

    async def runs(self, tenant: str | None = None) -> list[dict[str, Any]]:
        """How many runs are under way, which wait for a mover, which only an operator moves, and which nobody does.

        Args:
            tenant: only of this one; None: a row for each that has any.
        """
        return await self._rows("health.runs", tenant=tenant)

    async def waiting(self, tenant: str | None = None) -> list[dict[str, Any]]:
        """Open approvals, and the keys of effects in doubt; as `runs`."""
        return await self._rows("health.waiting", tenant=tenant)

    async def _rows(self, name: str, **params: Any) -> list[dict[str, Any]]:
        async with self._pools.connection() as connection:
            return await (await connection.execute(query(name), params)).fetchall()
