"""Where a run is: its newest checkpoint, or the later place that its policy kept no checkpoint of.

Invariant: a reader gets the place that was committed last, whichever of the two tables holds it.
Long histories are read in pages, by the checkpoint's id, and never whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, get_checkpoint_id
from langgraph.checkpoint.base import id as uuid6_clock

from gatepost.checkpointing.queries import query
from gatepost.checkpointing.threads import ThreadSaver

PAGE = 50
"""Checkpoints read at once when a history is listed."""
_UUID6 = 6


class PlaceSaver(ThreadSaver):
    """A saver that knows the places kept in gatepost.position."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's: the checkpoint in the config, or the newest."""
        found = await super().aget_tuple(config)
        wanted = get_checkpoint_id(config)
        if config["configurable"].get("checkpoint_ns") or (found is not None and wanted):
            return found
        place = await self._position(config["configurable"]["thread_id"])
        if place is None or (wanted and place.checkpoint["id"] != wanted):
            return found
        return place if found is None or _seq(place) > _seq(found) else found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 (LangGraph's name)
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As LangGraph's, newest first, but a page at a time: whoever stops looking has not loaded the rest."""
        left = limit
        if config is None:  # over all threads ids are no keys: a copied thread keeps its own
            async for found in super().alist(None, filter=filter, before=before, limit=limit):
                yield found
            return
        if before is None and filter is None and not get_checkpoint_id(config):
            newest = await self.aget_tuple(config)
            if newest is not None and await self._is_position(newest) and left != 0:
                yield newest
                left = None if left is None else left - 1
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = [found async for found in super().alist(config, filter=filter, before=before, limit=size)]
            for found in page:
                yield found
            if len(page) < size:
                return
            before = page[-1].config
            left = None if left is None else left - len(page)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all that is kept of a thread."""
        await super().adelete_thread(thread_id)
        await self._forget([thread_id])

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As LangGraph's: keep only the newest checkpoint of each thread, or none."""
        await super().aprune(thread_ids, strategy=strategy)
        if strategy == "delete":
            await self._forget(thread_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy every checkpoint, value and pending write of a thread; a place becomes a checkpoint of the copy."""
        await super().acopy_thread(source_thread_id, target_thread_id)
        newest = await self.aget_tuple({"configurable": {"thread_id": source_thread_id, "checkpoint_ns": ""}})
        if newest is None or not await self._is_position(newest):
            return
        parent = newest.parent_config["configurable"]["checkpoint_id"] if newest.parent_config else None
        place = {"thread_id": target_thread_id, "checkpoint_ns": "", "checkpoint_id": parent}
        await self.aput(
            {"configurable": {name: value for name, value in place.items() if value is not None}},
            newest.checkpoint,
            newest.metadata,
            newest.checkpoint["channel_versions"],
        )

    async def _position(self, thread_id: str) -> CheckpointTuple | None:
        async with self.pools.connection() as connection:
            cursor = await connection.execute(query("run.position"), {"run_id": thread_id}, binary=True)
            row = await cursor.fetchone()
            if row is None:
                return None
            writes = await connection.execute(
                query("thread.writes"), {"thread_id": thread_id, "checkpoint_id": row["checkpoint_id"]}, binary=True
            )
            pending = [
                (write["task_id"], write["channel"], self.serde.loads_typed((write["type"], write["blob"])))
                for write in await writes.fetchall()
            ]
        values = self.serde.loads_typed((row["type"], row["channel_values"]))
        parent = row["parent_checkpoint_id"]
        checkpoint = cast("Checkpoint", {**row["checkpoint"], "channel_values": values})
        return CheckpointTuple(
            _place(thread_id, row["checkpoint_id"]),
            checkpoint,
            row["metadata"],
            _place(thread_id, parent) if parent else None,
            pending,
        )

    async def _is_position(self, found: CheckpointTuple) -> bool:
        place = await self._position(found.config["configurable"]["thread_id"])
        return place is not None and place.checkpoint["id"] == found.checkpoint["id"]

    async def _forget(self, thread_ids: Sequence[str]) -> None:
        async with self.pools.connection() as connection:
            await connection.execute(query("run.forget_positions"), {"run_ids": list(thread_ids)})


def _place(thread_id: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}}


def _seq(found: CheckpointTuple) -> int:
    seq = found.metadata.get("seq", 0)
    return seq if isinstance(seq, int) else 0


def stay_behind(checkpoint_id: str) -> None:
    """Make LangGraph's id clock run on from a loaded id: a slow clock must not order a child before its parent."""
    try:
        loaded = uuid6_clock.UUID(checkpoint_id)
    except ValueError:
        return
    known: int | None = uuid6_clock._last_v6_timestamp  # noqa: SLF001 (there is no public way; tests/integration hold it)
    if loaded.version == _UUID6 and (known is None or known < loaded.time):
        uuid6_clock._last_v6_timestamp = loaded.time  # type: ignore[assignment]  # noqa: SLF001
