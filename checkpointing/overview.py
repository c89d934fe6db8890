"""Overviews: runs and questions of a tenant as people look through them, page by page.

Read-only, by keyset: a page begins after a place in the order, so it costs the same wherever it is and
nothing is shown twice when rows come in meanwhile. A page of what people sent or tools were given is limited in bytes
as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gatepost.checkpointing.answers import as_shown
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query

SHOWN = 20_000
"""Characters of an artifact or a receipt that a page shows; the rest is for whoever saves it."""
PAGE_BYTES = 1024 * 1024
"""Of approvals as they are stored, on one page."""


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
        tool: str | None = None,
        after: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> tuple[list[dict[str, Any]], bool]:
        """Approvals, oldest first, of `PAGE_BYTES` together or one; and whether there are more.

        `after`: `(opened_at, approval_id)`.
        """
        opened_at, approval = after or (None, None)
        rows = await self._rows(
            "overview.approvals",
            tenant=tenant,
            status=status,
            run_id=run_id,
            workflow=workflow,
            tool=tool,
            opened_at=opened_at,
            after=approval,
            limit=limit,
            largest=PAGE_BYTES,
        )
        return [as_shown(row) for row in rows], bool(rows) and rows[0]["found"] > len(rows)

    async def questions(self, run_id: str, *, limit: int = 50) -> list[str]:
        """The ids of the questions that a run has open, oldest first."""
        return [row["approval_id"] for row in await self._rows("overview.questions", run_id=run_id, limit=limit)]

    async def stamp(self, tenant: str) -> tuple[int, str]:
        """How many questions are open, and a text that changes whenever one is opened or closed."""
        (row,) = await self._rows("overview.stamp", tenant=tenant)
        return row["open"], f"{row['open']}-{row['changed']}"

    async def asked(self, run_id: str, tenant: str, *, limit: int = 30) -> list[dict[str, Any]]:
        """What a run asked, with the answers: what is open first, then the newest."""
        return await self._rows("overview.asked", run_id=run_id, tenant=tenant, limit=limit)

    async def effects(
        self, run_id: str, *, since: datetime | None, until: datetime | None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The effects announced after one moment and up to another, the newest first; receipts that are short."""
        return await self._rows("overview.effects", run_id=run_id, since=since, until=until, longest=SHOWN, limit=limit)

    async def artifacts(self, run_id: str, *, limit: int = 30) -> list[dict[str, Any]]:
        """The newest artifacts of a run, each with the beginning of its content and its whole `length`."""
        return await self._rows("overview.artifacts", run_id=run_id, longest=SHOWN, limit=limit)

    async def progress(self, run_id: str, *, seq: int | None = None) -> Mapping[str, int]:
        """How many steps stand how, of those that have moved, as of a transition (None: now)."""
        rows = await self._rows("overview.progress", run_id=run_id, seq=seq)
        return {row["status"]: row["steps"] for row in rows}

    async def moved(self, run_id: str, *, after: int, until: int, limit: int) -> tuple[list[str], int]:
        """Steps that moved in the transitions `after < seq <= until`, the last first, and how many there are."""
        rows = await self._rows("overview.moved", run_id=run_id, after=after, until=until, limit=limit)
        return [row["step_id"] for row in rows], rows[0]["moved"] if rows else 0

    async def stood(self, run_id: str, steps: Sequence[str], *, seq: int) -> dict[str, dict[str, Any]]:
        """The records of some steps as of a transition, as they are stored."""
        rows = await self._rows("overview.stood", run_id=run_id, steps=list(steps), seq=seq)
        return {row["step_id"]: {**row["record"], "status": row["status"]} for row in rows}

    async def planned(self, run_id: str, version: int) -> int:
        """How many steps a version of the plan has."""
        rows = await self._rows("overview.planned", run_id=run_id, version=version)
        return rows[0]["steps"] if rows else 0

    async def forks(self, run_id: str, tenant: str, *, limit: int = 20) -> list[dict[str, Any]]:
        """The runs that were forked from one, the newest first."""
        return await self._rows("overview.forks", run_id=run_id, tenant=tenant, limit=limit)

    async def steps(self, run_id: str, *, limit: int = 500) -> list[dict[str, Any]]:
        """Where each step stands, the last moved first, without inputs and outputs."""
        return await self._rows("overview.steps", run_id=run_id, limit=limit)

    async def visits(self, run_id: str) -> Mapping[str, int]:
        """How often each node of the graph ran."""
        return {row["node"]: row["visits"] for row in await self._rows("overview.visits", run_id=run_id)}

    async def now(self) -> datetime:
        """The database's time."""
        (row,) = await self._rows("overview.moment")
        moment: datetime = row["now"]
        return moment

    async def _rows(self, name: str, **params: Any) -> list[dict[str, Any]]:
        async with self._pools.connection() as connection:
            return await (await connection.execute(query(name), params)).fetchall()
