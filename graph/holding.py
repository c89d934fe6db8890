"""Holding: a run is written down, its lease is taken, and the engine moves it while it is held.

Invariant: the engine is entered only under the lease of a run that this graph version may move, and
what the run has staged is settled before the lease is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_async_callback_manager_for_config
from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import StateUpdate

from gatepost.checkpointing.open import Checkpointer
from gatepost.checkpointing.runs import Admission, ended, said
from gatepost.checkpointing.session import SESSION_KEY, RunSession
from gatepost.graph import door
from gatepost.graph.context import RunContext
from gatepost.nodes.circumstances import facts_of
from gatepost.nodes.visit import Equipment
from gatepost.state.canonical import digest_of
from gatepost.state.errors import CallerMistake, UnknownVersion
from gatepost.state.status import RUN_FINAL, RunStatus
from gatepost.state.watch import Act, carried, watched

_OPERATOR = "operator"
_BEFORE_THE_GATE = "planner"
"""The node as which an operator speaks: it leads to the gate and nowhere else."""


class HoldingGraph(CompiledStateGraph[Any, RunContext, Any, Any]):
    """The part of the compiled graph that admits and holds runs."""

    equipment: Equipment
    saver: Checkpointer
    version: str

    async def _admit(
        self, entry: door.Entry, start: door.Start, who: RunContext, *, priority: int, kept: timedelta | None
    ) -> None:
        workflow = self.equipment.catalog.for_goal(start.goal)
        run_input = workflow.checked_input(start.input)
        await self.saver.runs.admit(
            Admission(
                run_id=entry.run_id,
                tenant=who.tenant,
                requested_by=who.actor,
                goal=start.goal,
                workflow=workflow.name,
                graph_version=self.version,
                input=run_input,
                fingerprint=digest_of(workflow.name, run_input),
                priority=priority,
                kept=kept,
                traceparent=carried(self.equipment.watchers, entry.run_id, who.tenant, workflow.name),
            )
        )

    @asynccontextmanager
    async def _held(
        self, entry: door.Entry, who: RunContext, claimed: Mapping[str, Any] | None = None
    ) -> AsyncIterator[RunSession | None]:
        """The run's lease; None when nothing is to be moved: it has ended."""
        runs = self.saver.runs
        row = claimed or await runs.get(entry.run_id, who.tenant)
        if ended(row):
            yield None
            return
        self._same_graph(row)
        if row["status"] in (RunStatus.BLOCKED, RunStatus.WAITING):
            await self.saver.approvals.carry_out_limits(entry.run_id)
        layers = self.equipment.policy.layers(workflow=row["workflow"], tenant=row["tenant"])
        await self.saver.policies.remember(layers.versions())
        try:
            held = runs.hold(entry.run_id, who.tenant, actor=who.actor, claimed=claimed)
            session = await held.__aenter__()
        except CallerMistake:
            if not ended(await runs.get(entry.run_id, who.tenant)):
                raise
            yield None  # it ended while we waited for it
            return
        session.trail.policy = self.equipment.catalog.named(row["workflow"]).checkpoints
        try:
            with _watched(self.equipment, session):
                await self.saver.entries.note(session, facts_of(self.equipment, row["workflow"], who.tenant))
                if session.instructed:
                    await self._instruct(entry, session)
                async with _committed(session):
                    yield session
                unmoved = session.seq == session.run.seq and session.run.status is RunStatus.RUNNING
                if claimed is not None and unmoved:
                    session.trouble = "it found nothing to do"
        except GraphDrained:
            raise
        except Exception as error:
            if claimed is not None:
                session.trouble = said(error)
            raise
        finally:
            await asyncio.shield(self._let_go(held, session))

    def _engine(
        self, entry: door.Entry, who: RunContext, session: RunSession | None, options: Mapping[str, Any]
    ) -> Any:
        """What the engine streams while it moves a held run, until it ends, waits, or is told to stop."""
        control = options.get("control") or RunControl()
        if session is not None:
            session.stop = control.request_drain
            session.hear(session.ordered)
            session.ahead = not self._heard(entry.config, options)
        asked: dict[str, Any] = {**options, "context": who, "durability": "sync", "control": control}
        return super().astream(_engine_input(session), _engine_config(entry, session), **asked)

    def _heard(self, config: RunnableConfig, options: Mapping[str, Any]) -> bool:
        """Whether somebody is told of supersteps while the run is moved: who streams, prints, or has callbacks."""
        printed = options.get("print_mode") or options.get("debug") or self.debug
        streamed = options.get("stream_mode") != []
        return bool(streamed or printed or get_async_callback_manager_for_config(config).handlers)

    async def _instruct(self, entry: door.Entry, session: RunSession) -> None:
        """Hand the gate what an operator has said, in a superstep of its own; the next one is the gate's."""
        said = await self.saver.orders.untaken(session.run.run_id)
        session.enter("operator", _OPERATOR)
        for instruction in said:
            session.stage_heard(_OPERATOR, instruction["number"])
        await super().abulk_update_state(_engine_config(entry, session), [[told(said)]])
        session.instructed = False

    def _same_graph(self, row: Mapping[str, Any]) -> None:
        self.equipment.catalog.named(row["workflow"])
        if row["graph_version"] != self.version:
            raise UnknownVersion(
                f"run {row['run_id']} was started under graph version {row['graph_version']}; this release has "
                f"{self.version}. Finish it with the release that started it; nothing was changed."
            )

    async def _let_go(self, held: AbstractAsyncContextManager[RunSession], session: RunSession) -> None:
        try:
            await self.saver.settle(session)
        finally:
            await held.__aexit__(None, None, None)


@asynccontextmanager
async def _committed(session: RunSession) -> AsyncIterator[None]:
    """Whoever leaves the block in order, or drained, has committed all that was done in it; otherwise it is raised."""
    try:
        yield
    except GraphDrained:
        await session.durable()
        raise
    finally:
        await session.answered()
    await session.durable()


@contextmanager
def _watched(equipment: Equipment, session: RunSession) -> Iterator[None]:
    """Tell whoever watches how long a run is held, and how it is left."""
    act = Act("run", session.run, session.run.workflow, {"epoch": session.epoch, "actor": session.actor})
    with watched(equipment.watchers, act, inside=False):
        session.act = act if equipment.watchers else None
        try:
            yield
        except (GraphDrained, GeneratorExit):
            act.error = "drained"
            raise
        finally:
            act.outcome = session.status.value
            act.facts["transitions"] = session.seq - session.run.seq
            if session.status in RUN_FINAL and session.run.created_at is not None:
                act.facts["age_seconds"] = (session.now - session.run.created_at).total_seconds()


def told(instructions: Sequence[Mapping[str, Any]]) -> StateUpdate:
    """What tells the gate of instructions."""
    return StateUpdate({"signals": [_signal(said) for said in instructions]}, _BEFORE_THE_GATE, None)


def _signal(instruction: Mapping[str, Any]) -> dict[str, Any]:
    order, by, why = instruction["kind"], instruction["actor"], instruction["reason"]
    return {"kind": "operator", "order": order, "by": by, "why": why, **instruction["data"]}


def _engine_input(session: RunSession | None) -> Any:
    """The first entry into a run starts it, whichever call that is; every later one resumes."""
    if session is None or session.seq > 0:
        return None
    return {"goal": session.run.goal, "input": session.run.input}


def _engine_config(entry: door.Entry, session: RunSession | None) -> RunnableConfig:
    held = {} if session is None else {SESSION_KEY: session}
    return cast("RunnableConfig", {**entry.config, "configurable": {**entry.config["configurable"], **held}})
