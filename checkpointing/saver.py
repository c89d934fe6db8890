"""The checkpointer: LangGraph's Postgres saver, with the run's rows in the checkpoint's transaction.

Invariant: for a held run, a superstep commits once. Its rows, its transition and its checkpoint
are one transaction under the owner's epoch; writes of finished tasks wait for it, or for a short
timer when a slower sibling is still running, and those a checkpoint supersedes are never written.
For a thread that is no held run it is an ordinary LangGraph saver.

One async body serves both doors: the sync methods that LangGraph defines run it on the bridge.
Unlike LangGraph's, it has no lock around the pool, and it never builds unknown types from msgpack.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.base import id as uuid6_clock
from langgraph.checkpoint.postgres.base import BasePostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import TASKS
from psycopg import AsyncCursor, Capabilities, Error
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from gatepost.checkpointing.bridge import Bridge
from gatepost.checkpointing.pool import Connection, Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.session import SESSION_KEY, Finished, RunSession
from gatepost.checkpointing.threads import ThreadSaver
from gatepost.state.errors import DatabaseUnavailable, LostRun

FLUSH_SECONDS = 0.02
"""How long a finished branch waits for its siblings before it is written by itself."""
_BRANCH = "branch:to:"
_UUID6 = 6


class GatepostSaver(ThreadSaver):
    """A LangGraph checkpoint saver on our pools; see the module's invariant.

    Args:
        pools: connections as the application role.
        bridge: where the sync methods run.
    """

    def __init__(self, pools: Pools, bridge: Bridge) -> None:
        # Not AsyncPostgresSaver.__init__: it takes a running loop and a lock for the whole pool.
        BasePostgresSaver.__init__(self, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        self.pools = pools
        self.bridge = bridge
        self.pipe = None
        self.supports_pipeline = Capabilities().has_pipeline()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:  # type: ignore[override]
        """Where LangGraph's sync methods run the async ones."""
        return self.bridge.loop

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        scope = self.pools.batch() if pipeline else self.pools.connection()
        async with scope as connection, connection.cursor(binary=True) as cursor:
            yield cursor

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's; the next id minted here is later than the loaded one, whatever the clock says."""
        found = await super().aget_tuple(config)
        if found is not None:
            _stay_behind(found.checkpoint["id"])
        return found

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep a finished task's writes for the superstep's own transaction; control writes go at once."""
        session = session_of(config)
        if session is None:
            await super().aput_writes(config, writes, task_id, task_path)
        elif any(channel in WRITES_IDX_MAP for channel, _ in writes):
            await self._commit(session, {task_id: Finished(config, writes, task_path)})
        else:
            session.finished[task_id] = Finished(config, writes, task_path)
            if session.flush_timer is None:
                session.flush_timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._start_flush, session)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Commit a superstep: the run's rows, its transition and its checkpoint in one transaction."""
        session = session_of(config)
        if session is None:
            return await super().aput(config, checkpoint, metadata, new_versions)
        async with session.flush_lock:
            _stop_timer(session)
            session.check()
            tasks = session.staging()
            async with self.pools.batch() as connection:
                fence = await self._fence(connection, session, seq=session.seq + 1)
                await _write_rows(connection, session, tasks)
                await self._write_transition(connection, session, checkpoint, metadata)
                stored = await self._write_checkpoint(connection, session, config, checkpoint, metadata, new_versions)
            session.seq += 1
            session.now = (await fence.fetchone() or {})["now"]
            session.committed(tasks)
            session.finished.clear()
        return stored

    async def settle(self, session: RunSession) -> None:
        """Write what finished tasks left when the engine stopped in the middle of a superstep."""
        _stop_timer(session)
        await self._flush(session)

    def _start_flush(self, session: RunSession) -> None:
        session.flush_task = asyncio.get_running_loop().create_task(self._flush(session))

    async def _flush(self, session: RunSession) -> None:
        """Write what has finished while siblings still run: a crash must not lose a booked result."""
        async with session.flush_lock:
            session.flush_timer = None
            ready = dict(session.finished)
            if not ready or session.lost:
                return
            try:
                await self._write_finished(session, ready)
            except (DatabaseUnavailable, Error):
                return  # nothing is lost yet: the superstep's own transaction carries it
            except LostRun as error:
                session.lost = str(error)
            for task_id in ready:
                session.finished.pop(task_id, None)

    async def _commit(self, session: RunSession, finished: dict[str, Finished]) -> None:
        async with session.flush_lock:
            session.check()
            await self._write_finished(session, finished)

    async def _write_finished(self, session: RunSession, finished: dict[str, Finished]) -> None:
        async with self.pools.batch() as connection:
            await self._fence(connection, session)
            await _write_rows(connection, session, list(finished))
            async with connection.cursor(binary=True) as cursor:
                for task_id, task in finished.items():
                    control = all(channel in WRITES_IDX_MAP for channel, _ in task.writes)
                    await cursor.executemany(
                        self.UPSERT_CHECKPOINT_WRITES_SQL if control else self.INSERT_CHECKPOINT_WRITES_SQL,
                        self._dump_writes(
                            task.config["configurable"]["thread_id"],
                            task.config["configurable"]["checkpoint_ns"],
                            task.config["configurable"]["checkpoint_id"],
                            task_id,
                            task.path,
                            task.writes,
                        ),
                    )
        session.committed(list(finished))

    async def _fence(self, connection: Connection, session: RunSession, *, seq: int | None = None) -> Any:
        """Take the run's row under our epoch; with a transition number, move the run on as well."""
        moving = seq is not None
        return await connection.execute(
            query("run.fence"),
            {
                "run_id": session.run.run_id,
                "epoch": session.epoch,
                "seq": seq,
                "status": session.status if moving else None,
                "reason": session.reason if moving else None,
                "plan_version": session.board.plan.version if moving and session.board.plan else None,
            },
        )

    async def _write_transition(
        self, connection: Connection, session: RunSession, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> None:
        await connection.execute(
            query("run.transition"),
            {
                "run_id": session.run.run_id,
                "seq": session.seq + 1,
                "source": metadata["source"],
                "nodes": session.take_nodes() or ["input" if metadata["source"] == "input" else "START"],
                "next": next_nodes(checkpoint),
                "status": session.status,
                "reason": session.reason,
                "actor": session.actor,
                "epoch": session.epoch,
                "checkpoint_id": checkpoint["id"],
            },
        )

    async def _write_checkpoint(
        self,
        connection: Connection,
        session: RunSession,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        place = config["configurable"]
        thread_id, namespace = place["thread_id"], place["checkpoint_ns"]
        inline, blobs = _split(checkpoint["channel_values"])
        versions = {channel: version for channel, version in new_versions.items() if channel in blobs}
        stored = {**get_serializable_checkpoint_metadata(config, metadata), "seq": session.seq + 1}
        async with connection.cursor(binary=True) as cursor:
            if versions:
                rows = self._dump_blobs(thread_id, namespace, blobs, versions)
                await cursor.executemany(self.UPSERT_CHECKPOINT_BLOBS_SQL, rows)
            await cursor.execute(
                self.UPSERT_CHECKPOINTS_SQL,
                (
                    thread_id,
                    namespace,
                    checkpoint["id"],
                    place.get("checkpoint_id"),
                    Jsonb({**checkpoint, "channel_values": inline}),
                    Jsonb(stored),
                ),
            )
        return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint["id"]}}


def session_of(config: RunnableConfig) -> RunSession | None:
    """The held run that a config belongs to, if the doors put one there."""
    found = config.get("configurable", {}).get(SESSION_KEY)
    return found if isinstance(found, RunSession) else None


def next_nodes(checkpoint: Checkpoint) -> list[str]:
    """The nodes that the next superstep runs, read off a checkpoint; parallel ones appear once for each task."""
    values = checkpoint["channel_values"]
    branches = sorted(name.removeprefix(_BRANCH) for name in values if name.startswith(_BRANCH))
    return [*branches, *(send.node for send in values.get(TASKS) or [])]


async def _write_rows(connection: Connection, session: RunSession, tasks: Sequence[str]) -> None:
    for row in session.rows(tasks):
        await connection.execute(query(row.query), row.params)


def _split(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """LangGraph keeps primitives inside the checkpoint and everything else as blobs."""
    inline = {name: value for name, value in values.items() if value is None or isinstance(value, str | int | float)}
    return inline, {name: value for name, value in values.items() if name not in inline}


def _stop_timer(session: RunSession) -> None:
    if session.flush_timer is not None:
        session.flush_timer.cancel()
        session.flush_timer = None


def _stay_behind(checkpoint_id: str) -> None:
    """Make LangGraph's id clock run on from a loaded id: a slow clock must not order a child before its parent."""
    try:
        loaded = uuid6_clock.UUID(checkpoint_id)
    except ValueError:
        return
    known: int | None = uuid6_clock._last_v6_timestamp  # noqa: SLF001 (there is no public way; tests/integration hold it)
    if loaded.version == _UUID6 and (known is None or known < loaded.time):
        uuid6_clock._last_v6_timestamp = loaded.time  # type: ignore[assignment]  # noqa: SLF001
