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
from contextlib import asynccontextmanager, suppress
from datetime import datetime
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
from langgraph.checkpoint.postgres.base import BasePostgresSaver
from langgraph.checkpoint.serde.types import TASKS
from psycopg import AsyncCursor, Capabilities, Error
from psycopg.rows import DictRow
from psycopg.types.json import Json

from gatepost.checkpointing import foretold
from gatepost.checkpointing.bridge import Bridge
from gatepost.checkpointing.clock import Asked
from gatepost.checkpointing.commits import Blob, Commits, Superstep
from gatepost.checkpointing.places import PlaceSaver, stay_behind
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.serde import Serde
from gatepost.checkpointing.session import SESSION_KEY, Finished, RunSession
from gatepost.checkpointing.trail import Trail
from gatepost.state import crash
from gatepost.state.errors import DatabaseUnavailable, LostRun, NotHeld
from gatepost.state.status import RunStatus

FLUSH_SECONDS = 0.02
"""How long a finished branch waits for its siblings before it is written by itself."""
TURNS = 3
"""Turns of the event loop in which a commit that need not wait for others is sent."""
_PLACE = {"checkpoint_ns": ""}
_BRANCH = "branch:to:"


class GatepostSaver(PlaceSaver):
    """A LangGraph checkpoint saver on our pools; see the module's invariant.

    Args:
        pools: connections as the application role.
        bridge: where the sync methods run.
    """

    def __init__(self, pools: Pools, bridge: Bridge) -> None:
        # Not AsyncPostgresSaver.__init__: it takes a running loop and a lock for the whole pool.
        BasePostgresSaver.__init__(self, serde=Serde())
        self.pools = pools
        self.bridge = bridge
        self._commits = Commits(pools)
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
        session = _written_for(config)
        if found is not None:
            stay_behind(found.checkpoint["id"])
            if session is not None:
                await self._resume_trail(session, found)
        return found

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep a finished task's writes for the superstep's own transaction; control writes go at once."""
        session = _written_for(config)
        if session is None:
            await super().aput_writes(config, writes, task_id, task_path)
        elif any(channel in WRITES_IDX_MAP for channel, _ in writes):
            await self._commit(session, {task_id: Finished(config, writes, task_path)})
        else:
            session.finished[task_id] = Finished(config, writes, task_path)
            if session.flush_by is None and session.stands_alone(task_id):
                session.flush_by = asyncio.get_running_loop().time() + FLUSH_SECONDS
                if session.flush_timer is None:
                    self._flush_later(session)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Commit a superstep: the run's rows, its transition and its checkpoint in one transaction."""
        session = _written_for(config)
        if session is None:
            await self._is_no_run(config)
            return await super().aput(config, checkpoint, metadata, new_versions)
        await session.durable()
        async with session.flush_lock:
            session.check()
            # With others at work, there is something to do meanwhile; where the time is not known, the commit tells it.
            ahead = session.ahead and self._commits.alone() and session.clock.timely()
            now = session.clock.time() if ahead else None
            superstep = self._superstep(session, config, checkpoint, metadata, new_versions, next_now=now)
            tasks = session.hand_over(superstep.rows.get("intent", ()), now=now)
            session.commits(asyncio.create_task(self._put(session, superstep, tasks)))
        for _ in range(TURNS if ahead else 0):
            await asyncio.sleep(0)
        if not ahead or session.failed:
            await session.durable()
        return {"configurable": {**_PLACE, "thread_id": session.run.run_id, "checkpoint_id": checkpoint["id"]}}

    async def _put(self, session: RunSession, superstep: Superstep, tasks: Sequence[str]) -> None:
        node = superstep.transition["nodes"][0]
        crash.here(f"commit.before.{node}")
        asked = Asked.now()
        try:
            committed = await self._commits.commit(session, superstep)
        except BaseException:
            session.seq -= 1
            raise
        crash.here(f"commit.after.{node}")
        session.clock.tell(committed.at, asked)
        if superstep.transition["next_now"] is None:
            session.now = committed.at
        session.committed(tasks)
        foretold.note(session, superstep, committed)
        if superstep.passed is None:
            session.trail.kept(superstep.place["checkpoint_id"], session.now)
        session.is_committed()

    async def _is_no_run(self, config: RunnableConfig) -> None:
        place = config["configurable"]
        if place.get("checkpoint_ns"):
            return  # a graph that a tool of the run uses
        async with self.pools.connection() as connection:
            row = await (await connection.execute(query("thread.is_run"), place)).fetchone()
        if row is not None and row["yes"]:
            raise NotHeld(
                f"thread {place['thread_id']} is a Gatepost run, and this graph writes its checkpoints without the "
                "run's lease. Give this graph a thread_id of its own; the run is moved by the graph of build_graph()."
            )

    async def settle(self, session: RunSession) -> None:
        """Write what finished tasks left when the engine stopped in the middle of a superstep.

        What was announced beforehand, and not called, is taken back: whoever goes on finds no doubt.
        """
        if session.flush_timer is not None:
            session.flush_timer.cancel()
        await session.answered()
        await self._flush(session)
        if session.foretold and not session.lost:
            with suppress(DatabaseUnavailable, Error, LostRun):  # a doubt, then, that is settled by itself
                async with self.pools.connection() as connection:
                    await foretold.withdraw(connection, session)

    def _flush_later(self, session: RunSession) -> None:
        """Flush when it is time. One timer serves the supersteps that pass meanwhile: most of them are shorter."""
        loop, session.flush_timer = asyncio.get_running_loop(), None
        if session.flush_by is not None and session.flush_by > loop.time():
            session.flush_timer = loop.call_at(session.flush_by, self._flush_later, session)
        elif session.flush_by is not None:
            session.flush_task = loop.create_task(self._flush(session))

    async def _flush(self, session: RunSession) -> None:
        """Write what has finished while siblings still run: a crash must not lose a booked result."""
        async with session.flush_lock:
            session.flush_by = None
            ready = {task: finished for task, finished in session.finished.items() if session.stands_alone(task)}
            if not ready or session.lost or session.committing is not None:
                return  # nothing to write, or it is being written
            try:
                await self._write_finished(session, ready)
            except (DatabaseUnavailable, Error):
                return  # nothing is lost yet: the superstep's own transaction carries it
            except LostRun as error:
                session.lost = str(error)

    async def _commit(self, session: RunSession, finished: dict[str, Finished]) -> None:
        begun = await session.answered()
        async with session.flush_lock:
            session.check()
            if begun:  # the superstep that this belongs to
                await self._write_finished(session, finished)

    async def _write_finished(self, session: RunSession, finished: dict[str, Finished]) -> None:
        session.unforetell(list(finished))
        rows = session.rows(list(finished))
        async with self.pools.batch() as connection:
            await connection.execute(query("run.flush"), {**_under(session), "rows": Json(rows) if rows else None})
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

    def _superstep(
        self,
        session: RunSession,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        *,
        next_now: datetime | None,
    ) -> Superstep:
        following, parts, trail = next_nodes(checkpoint), session.rows(session.staging()), session.trail
        boundary = not following or "approval" in following or session.status is not RunStatus.RUNNING
        kept = trail.keeps(parts, boundary=boundary, now=session.now)
        trail.unsaved.update(new_versions)
        place = {
            "checkpoint_id": checkpoint["id"],
            "parent": trail.newest,
            "metadata": {**get_serializable_checkpoint_metadata(config, metadata), "seq": session.seq + 1},
        }
        transition = {
            "status": session.status,
            "reason": session.reason,
            "plan_version": session.board.plan.version if session.board.plan else None,
            "source": metadata["source"],
            "nodes": session.take_nodes() or ["input" if metadata["source"] == "input" else "START"],
            "next": following,
            "actor": session.actor,
            "checkpoint_id": checkpoint["id"] if kept else None,
            "next_now": next_now,
        }
        values, blobs, passed = self._kept(checkpoint, trail) if kept else self._passed(checkpoint)
        return Superstep(
            **_under(session),
            transition=transition,
            rows=parts,
            place={**place, "checkpoint": values},
            blobs=blobs,
            passed=passed,
        )

    def _kept(self, checkpoint: Checkpoint, trail: Trail) -> tuple[dict[str, Any], list[Blob], None]:
        """A checkpoint as LangGraph's tables hold it: small values inside, the others as blobs by version."""
        inline, blobs = _split(checkpoint["channel_values"])
        versions = checkpoint["channel_versions"]
        dumped = [
            Blob(channel, str(versions[channel]), *self.serde.dumps_typed(blobs[channel]))
            for channel in trail.unsaved
            if channel in blobs
        ]
        return {**checkpoint, "channel_values": inline}, dumped, None

    def _passed(self, checkpoint: Checkpoint) -> tuple[dict[str, Any], list[Blob], Blob]:
        """A place as gatepost.position holds it: all values together."""
        bare = {name: value for name, value in checkpoint.items() if name != "channel_values"}
        return bare, [], Blob("", "", *self.serde.dumps_typed(checkpoint["channel_values"]))

    async def _resume_trail(self, session: RunSession, found: CheckpointTuple) -> None:
        trail = session.trail
        if await self._is_position(found):
            parent = found.parent_config
            trail.newest = parent["configurable"]["checkpoint_id"] if parent else None
            trail.unsaved.update(found.checkpoint["channel_versions"])
        else:
            trail.newest = found.checkpoint["id"]


def session_of(config: RunnableConfig) -> RunSession | None:
    """The held run that a config belongs to, if the doors put one there."""
    found = config.get("configurable", {}).get(SESSION_KEY)
    return found if isinstance(found, RunSession) else None


def _written_for(config: RunnableConfig) -> RunSession | None:
    """The held run whose superstep this is; a graph that a tool runs has a namespace, and is no superstep of ours."""
    return None if config.get("configurable", {}).get("checkpoint_ns") else session_of(config)


def next_nodes(checkpoint: Checkpoint) -> list[str]:
    """The nodes that the next superstep runs, read off a checkpoint; parallel ones appear once for each task."""
    values = checkpoint["channel_values"]
    branches = sorted(name.removeprefix(_BRANCH) for name in values if name.startswith(_BRANCH))
    return [*branches, *(send.node for send in values.get(TASKS) or [])]


def _under(session: RunSession) -> dict[str, Any]:
    return {"run_id": session.run.run_id, "epoch": session.epoch, "seq": session.seq + 1}


def _split(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """LangGraph keeps primitives inside the checkpoint and everything else as blobs."""
    inline = {name: value for name, value in values.items() if value is None or isinstance(value, str | int | float)}
    return inline, {name: value for name, value in values.items() if name not in inline}
