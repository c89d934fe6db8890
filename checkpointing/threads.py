"""Whole threads: copying one, and deleting what some engine runs wrote.

LangGraph's contract has these two; its Postgres saver leaves them out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query


class ThreadSaver(AsyncPostgresSaver):
    """A saver that also copies threads and deletes by run id."""

    pools: Pools

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy every checkpoint, value and pending write of a thread under another id, all or nothing."""
        params = {"source": source_thread_id, "target": target_thread_id}
        async with self.pools.batch() as connection:
            for part in ("checkpoints", "blobs", "writes"):
                await connection.execute(query(f"thread.copy_{part}"), params)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints and writes that these LangGraph run ids (one for each entry) made."""
        async with self.pools.batch() as connection:
            for part in ("writes", "checkpoints"):
                await connection.execute(query(f"thread.delete_{part}_of_runs"), {"run_ids": list(run_ids)})

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `acopy_thread`, for sync callers."""
        asyncio.run_coroutine_threadsafe(self.acopy_thread(source_thread_id, target_thread_id), self.loop).result()

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `adelete_for_runs`, for sync callers."""
        asyncio.run_coroutine_threadsafe(self.adelete_for_runs(run_ids), self.loop).result()
