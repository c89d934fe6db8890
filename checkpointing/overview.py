"""Overviews: runs and questions of a tenant as people look through them, page by page.

Read-only, by keyset: a page begins after a place in the order, so it costs the same wherever it is and
nothing is shown twice when rows come in meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gatepost.checkpointing.answers import as_shown
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query

LANES = 4_000
"""Step records that a drawing takes; a longer run shows its newest."""


class Overview:
    """Reads pages.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def runs(
        self,
        tenant: str,
        *,
        status: str | None = None,
        workflow: str | None = None,
        search: str | None = None,
        after: tuple[int, datetime, str] | None = None,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """Runs with who moves each next; those that need somebody first. `after`: `(rank, created_at, run_id)`."""
        rank, created_at, run_id = after or (None, None, None)
        return await self._rows(
            "overview.runs",
            tenant=tenant,
            status=status,
            workflow=workflow,
            search=search,
            rank=rank,
            created_at=created_at,
            run_id=run_id,
            limit=limit,
        )

    async def approvals(
        self,
        tenant: str,
        *,
        status: str | None = "open",
        run_id: str | None = None,
        workflow: str | None = None,
        after: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """Approvals, oldest first. `after`: `(opened_at, approval_id)`."""
        opened_at, approval = after or (None, None)
        rows = await self._rows(
            "overview.approvals",
            tenant=tenant,
            status=status,
            run_id=run_id,
            workflow=workflow,
            opened_at=opened_at,
            after=approval,
            limit=limit,
        )
        return [as_shown(row) for row in rows]

    async def stamp(self, tenant: str) -> tuple[int, str]:
        """How many questions are open, and a text that changes whenever one is opened or closed."""
        (row,) = await self._rows("overview.stamp", tenant=tenant)
        return row["open"], f"{row['open']}-{row['changed']}"

    async def lanes(self, run_id: str, *, limit: int = LANES) -> list[dict[str, Any]]:
        """The newest step records of a run, in order, without inputs and outputs."""
        return await self._rows("overview.lanes", run_id=run_id, limit=limit)

    async def steps(self, run_id: str, *, limit: int = 500) -> list[dict[str, Any]]:
        """Where each step stands, the last moved first, without inputs and outputs."""
        return await self._rows("overview.steps", run_id=run_id, limit=limit)

    async def visits(self, run_id: str) -> Mapping[str, int]:
        """How often each node of the graph ran."""
        return {row["node"]: row["visits"] for row in await self._rows("overview.visits", run_id=run_id)}

    async def owners(self, run_id: str) -> list[dict[str, Any]]:
        """When the run was taken over: the first transition under each epoch."""
        return await self._rows("overview.owners", run_id=run_id)

    async def now(self) -> datetime:
        """The database's time."""
        (row,) = await self._rows("overview.moment")
        moment: datetime = row["now"]
        return moment

    async def _rows(self, name: str, **params: Any) -> list[dict[str, Any]]:
        async with self._pools.connection() as connection:
            return await (await connection.execute(query(name), params)).fetchall()
