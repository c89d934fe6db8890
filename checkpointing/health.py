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
        """Version, role, time and size of the database."""
        return await self._row("health.server")

    async def runs(self, tenant: str) -> dict[str, Any]:
        """How many runs are under way, which wait for a mover, which only an operator moves, and which nobody does."""
        return await self._row("health.runs", tenant=tenant, key=PRESENT)

    async def waiting(self, tenant: str) -> dict[str, Any]:
        """Open approvals, and the keys of effects in doubt."""
        return await self._row("health.waiting", tenant=tenant)

    async def _row(self, name: str, **params: Any) -> dict[str, Any]:
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query(name), params)).fetchone()
        assert row is not None
        return row
