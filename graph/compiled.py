"""The compiled graph: an ordinary LangGraph graph whose doors lead past the lease and the decision.

Every way into the engine comes through `astream` (invoke, ainvoke, batch and stream_events all end
there), so that is the one place where a call is checked, the run admitted and held, and a decision
committed. The sync methods are the async ones on the bridge.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import StateSnapshot

from gatepost.checkpointing.approvals import Recorded
from gatepost.checkpointing.open import Checkpointer
from gatepost.checkpointing.runs import Admission, ended, said
from gatepost.checkpointing.session import SESSION_KEY, RunSession
from gatepost.graph import door, view
from gatepost.graph.clerk import GraphClerk
from gatepost.graph.context import RunContext, who_acts
from gatepost.graph.resolution import resolve
from gatepost.nodes.visit import Equipment
from gatepost.state.approval import Decision, decision_of
from gatepost.state.canonical import digest_of
from gatepost.state.errors import CallerMistake, DoorClosed, InvalidValue, RunOwned, UnknownRun, UnknownVersion
from gatepost.state.ids import RunId, run_id_of
from gatepost.state.status import RunStatus

PRIORITIES = range(-32_768, 32_768)
_INVOKED = "gatepost_invoked"
"""Set by `ainvoke`: chunks pass as they are, and the joined view comes once, at the end."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How a claimed run was left."""

    status: RunStatus
    reason: str
    transitions: int
    """How far it was moved."""
    drained: bool
    """Whether it was stopped on its way."""


class GatepostGraph(CompiledStateGraph[Any, RunContext, Any, Any]):
    """What `build_graph` returns. Use it as any compiled graph; what differs is refused with a reason."""

    equipment: Equipment
    saver: Checkpointer
    version: str

    @classmethod
    def adopt(
        cls,
        compiled: CompiledStateGraph[Any, Any, Any, Any],
        *,
        equipment: Equipment,
        saver: Checkpointer,
        version: str,
    ) -> GatepostGraph:
        """Take over what LangGraph compiled."""
        graph = cls.__new__(cls)
        vars(graph).update(vars(compiled))
        graph.equipment, graph.saver, graph.version = equipment, saver, version
        return graph

    def copy(self, update: dict[str, Any] | None = None) -> GatepostGraph:
        """As LangGraph's, keeping what is ours (`with_config` comes through here)."""
        twin = copy.copy(self)
        vars(twin).update(update or {})
        return twin

    # the one way in

    async def astream(
        self,
        input: Any,  # noqa: A002 (LangGraph's name)
        config: RunnableConfig | None = None,
        *,
        context: RunContext | None = None,
        interrupt_before: Any = None,
        durability: str | None = None,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """Check the call, admit and hold the run, commit a decision, then let the engine go on.

        Raises:
            CallerMistake: refused, with the reason and the way to do it; nothing was changed.
            RunOwned: another owner moves the run.
            LostRun: another owner took the run over while this one moved it.
        """
        invoked = options.pop(_INVOKED, False)
        if self.checkpointer is not self.saver or "checkpoint_during" in options:
            raise DoorClosed("another checkpointer, or checkpoint_during, would run effects that are not written down.")
        door.durable(durability)
        # In a context of its own: inside another graph's node, LangChain would mix that graph's config in.
        config = Context().run(lambda: ensure_config(merge_configs(self.config, config)))
        entry = door.admit(input, config)
        who = who_acts(context)
        recorded = await self._prepare(entry, who)
        options["interrupt_before"] = door.gates(interrupt_before)
        again, moved = True, recorded is not None
        while again:
            session, paused = None, False
            try:
                async with self._held(entry, who) as session:
                    if session is None and await self._called_off(entry, who):
                        break
                    async with aclosing(self._engine(entry, who, session, options)) as chunks:
                        async for chunk in chunks:
                            yield chunk if invoked else await self._shown(chunk, session)
                    paused = session is not None and session.status is RunStatus.BLOCKED
            except RunOwned:
                if not moved:
                    raise
                break  # what was asked of us is recorded, and the owner goes on from it: the engine is not ours
            except GraphDrained:
                if session is None or session.ordered is None:
                    raise
            # An answer that came while the engine was pausing left the run queued: it is ours to go on, or a mover's.
            again = moved = session is not None and paused and session.status is RunStatus.QUEUED
        if invoked:
            yield await self._result(entry, recorded, who, version=options.get("version", "v1"))

    async def ainvoke(
        self,
        input: Any,  # noqa: A002 (LangGraph's name)
        config: RunnableConfig | None = None,
        **options: Any,
    ) -> Any:
        """Run until the graph ends or waits for a person; returns the joined view of the run."""
        if options.get("stream_mode", "values") == "values" and options.get("output_keys") is None:
            options[_INVOKED] = True
        return await super().ainvoke(input, config, **options)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:  # noqa: A002
        """As `ainvoke`, for sync callers, inside a running event loop or not."""
        return self.saver.bridge.run(self.ainvoke(input, config, **options))

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:  # noqa: A002
        """As `astream`, for sync callers, inside a running event loop or not."""
        return self.saver.bridge.iterate(self.astream(input, config, **options))

    # movers

    async def aadmit(
        self,
        input: Any,  # noqa: A002 (as in LangGraph's own doors)
        config: RunnableConfig | None = None,
        *,
        context: RunContext | None = None,
        priority: int = 0,
    ) -> RunId:
        """Write a run down for a worker to move. When this returns it is durable; the same run again changes nothing.

        Args:
            input: the goal and its input, as for `invoke`.
            config: with the run's id as `thread_id`, or without one.
            context: who asks for it.
            priority: workers take the highest first, and of equal ones the oldest.

        Returns:
            The run's id.

        Raises:
            CallerMistake: refused, with the reason; nothing was written.
        """
        entry = door.admit(input, ensure_config(merge_configs(self.config, config)))
        if not isinstance(entry.asked, door.Start):
            raise InvalidValue("a run is admitted with a goal. To go on with one that there is, use invoke(None, …).")
        if priority not in PRIORITIES:
            raise InvalidValue(f"the priority {priority} is none: it lies from {PRIORITIES[0]} to {PRIORITIES[-1]}.")
        await self._admit(entry, entry.asked, who_acts(context), priority=priority, kept=None)
        return entry.run_id

    def admit(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> RunId:  # noqa: A002
        """As `aadmit`, for sync callers."""
        return self.saver.bridge.run(self.aadmit(input, config, **options))

    async def amove(
        self, claimed: Mapping[str, Any], *, context: RunContext | None = None, control: RunControl | None = None
    ) -> Moved:
        """Move a run that `Movers.claim` took until it ends or waits, and let go of it.

        Args:
            claimed: its row.
            context: who moves it; the tenant is the row's.
            control: `request_drain()` on it stops the run at the next superstep.

        Raises:
            LostRun: another owner took the run over.
            Exception: what the engine raised; the run is queued again, a little later, until movers give it up.
        """
        who = replace(who_acts(context), tenant=claimed["tenant"])
        entry = door.admit(None, ensure_config(merge_configs(self.config, _place(claimed["run_id"]))))
        options: dict[str, Any] = {"interrupt_before": door.gates(None), "stream_mode": [], "control": control}
        session, drained = None, False
        with suppress(GraphDrained):
            drained = True
            async with self._held(entry, who, claimed) as session:
                async with aclosing(self._engine(entry, who, session, options)) as chunks:
                    async for _ in chunks:
                        pass
                drained = False
        assert session is not None
        return Moved(session.status, session.reason, transitions=session.seq - session.run.seq, drained=drained)

    # decisions

    async def adecide(
        self,
        decision: Decision,
        *,
        run_id: str | None = None,
        context: RunContext | None = None,
        going_on: bool = False,
    ) -> Recorded:
        """Record an answer without moving the run.

        Args:
            decision: the answer, addressed to an approval.
            run_id: the run it must belong to, if that is known.
            context: for whom; the answer itself says by whom.
            going_on: the caller goes on with the run itself; workers leave it alone for a lease's time.

        Raises:
            CallerMistake: unknown, not allowed, malformed, too late, or decided otherwise.
        """
        decision, who = decision_of(decision), who_acts(context)
        row = await self.saver.approvals.get(decision.approval, who.tenant)
        if run_id is not None and row["run_id"] != run_id:
            raise DoorClosed(
                f"approval {decision.approval} belongs to run {row['run_id']}, not to {run_id}. Answer it there."
            )
        run = await self.saver.runs.get(row["run_id"], who.tenant)
        clerk = GraphClerk(self.equipment, tenant=who.tenant, workflow=run["workflow"])
        kept = self.saver.runs.lease.ttl if going_on else None
        return await self.saver.approvals.decide(decision, tenant=who.tenant, clerk=clerk, kept=kept)

    def decide(self, decision: Decision, **options: Any) -> Recorded:
        """As `adecide`, for sync callers."""
        return self.saver.bridge.run(self.adecide(decision, **options))

    async def aresolve(self, effect: str, *, context: RunContext | None = None, **found: Any) -> Recorded | None:
        """Say of an effect in doubt what happened, without moving the run; see `graph.resolution.resolve`."""
        return await resolve(self.saver, self.equipment, effect, tenant=who_acts(context).tenant, **found)

    def resolve(self, effect: str, **options: Any) -> Recorded | None:
        """As `aresolve`, for sync callers."""
        return self.saver.bridge.run(self.aresolve(effect, **options))

    # reading

    async def aget_state(
        self, config: RunnableConfig, *, subgraphs: bool = False, context: RunContext | None = None
    ) -> StateSnapshot:
        """The state as of now, or as of the checkpoint in the config, with plan and steps joined in.

        A run of another tenant reads as one that does not exist: an empty snapshot, as LangGraph's.
        """
        row = await self._may_read(config, context)
        if row is None:
            return view.nothing(merge_configs(self.config, config))
        snapshot = await super().aget_state(config, subgraphs=subgraphs)
        if config.get("configurable", {}).get("checkpoint_id"):
            return await self._joined(snapshot, seq=view.seq_of(snapshot))
        return view.as_ordered(await self._joined(snapshot, seq=None), row)

    def get_state(
        self, config: RunnableConfig, *, subgraphs: bool = False, context: RunContext | None = None
    ) -> StateSnapshot:
        """As `aget_state`, for sync callers."""
        return self.saver.bridge.run(self.aget_state(config, subgraphs=subgraphs, context=context))

    async def aget_state_history(
        self, config: RunnableConfig, *, context: RunContext | None = None, **options: Any
    ) -> AsyncIterator[StateSnapshot]:
        """The checkpoints, newest first, each with plan and steps as they were then. Pass `limit`.

        A run of another tenant has none, as one that does not exist.
        """
        if await self._may_read(config, context) is None:
            return
        async for snapshot in super().aget_state_history(config, **options):
            yield await self._joined(snapshot, seq=view.seq_of(snapshot))

    def get_state_history(
        self, config: RunnableConfig, *, context: RunContext | None = None, **options: Any
    ) -> Iterator[StateSnapshot]:
        """As `aget_state_history`, for sync callers."""
        return self.saver.bridge.iterate(self.aget_state_history(config, context=context, **options))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """How Jupyter shows the graph: as mermaid text. LangGraph's own posts the graph to a public web service."""
        drawn = self.get_graph().draw_mermaid()
        return {"text/plain": repr(self), "text/markdown": f"```mermaid\n{drawn}\n```"}

    # refused

    async def abulk_update_state(self, *_: Any, **__: Any) -> RunnableConfig:
        """Refused: it would change the run past the gate (`aupdate_state` comes through here).

        Raises:
            DoorClosed: always.
        """
        raise DoorClosed(
            "update_state would change the run's state past the gate. Answer its approval with an edit, "
            "or ask for a new plan with respond()."
        )

    def bulk_update_state(self, *_: Any, **__: Any) -> RunnableConfig:
        """Refused, as `abulk_update_state`.

        Raises:
            DoorClosed: always.
        """
        return self.saver.bridge.run(self.abulk_update_state())

    # how

    async def _may_read(self, config: RunnableConfig, context: RunContext | None) -> Mapping[str, Any] | None:
        """The row of the run in the config, if it is the tenant's. Where none is named, LangGraph says so."""
        place = merge_configs(self.config, config).get("configurable") or {}
        if "thread_id" not in place:
            return {}
        try:
            return await self.saver.runs.get(run_id_of(place["thread_id"]), who_acts(context).tenant)
        except (UnknownRun, InvalidValue):
            return None

    async def _called_off(self, entry: door.Entry, who: RunContext) -> bool:
        """Whether a run ended outside its graph, which would still go on."""
        row = await self.saver.runs.get(entry.run_id, who.tenant)
        return RunStatus(row["status"]) is RunStatus.CANCELLED

    async def _prepare(self, entry: door.Entry, who: RunContext) -> Recorded | None:
        if isinstance(entry.asked, door.Start):
            await self._admit(entry, entry.asked, who, priority=0, kept=self.saver.runs.lease.ttl)
        elif isinstance(entry.asked, Decision):
            return await self.adecide(entry.asked, run_id=entry.run_id, context=who, going_on=True)
        return None

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
            yield session
            if claimed is not None and session.seq == session.run.seq:
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
        asked: dict[str, Any] = {**options, "context": who, "durability": "sync", "control": control}
        return super().astream(_engine_input(session), _engine_config(entry, session), **asked)

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

    async def _result(self, entry: door.Entry, recorded: Recorded | None, who: RunContext, *, version: str) -> Any:
        snapshot = await self.aget_state({"configurable": {"thread_id": entry.run_id}}, context=who)
        values = {**snapshot.values, "decision": recorded.plain()} if recorded else snapshot.values
        if version == "v2":
            return {"type": "values", "ns": (), "data": values, "interrupts": ()}
        return ("values", values)

    async def _shown(self, chunk: Any, session: RunSession | None) -> Any:
        if isinstance(chunk, dict) and chunk.get("type") == "values" and "data" in chunk:  # version="v2"
            return {**chunk, "data": await self._shown(chunk["data"], session)}
        values = chunk[-1] if isinstance(chunk, tuple) and chunk else chunk
        if not view.is_run_state(values):
            return chunk
        if session is None:
            shown = await view.as_of(self.saver.history, values, seq=None)
        else:
            shown = view.joined(values, session.board)
        return (*chunk[:-1], shown) if isinstance(chunk, tuple) else shown

    async def _joined(self, snapshot: StateSnapshot, *, seq: int | None) -> StateSnapshot:
        if not view.is_run_state(snapshot.values):
            return snapshot
        return snapshot._replace(values=await view.as_of(self.saver.history, snapshot.values, seq=seq))


def _place(run_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": run_id}}


def _engine_input(session: RunSession | None) -> Any:
    """The first entry into a run starts it, whichever call that is; every later one resumes."""
    if session is None or session.seq > 0:
        return None
    return {"goal": session.run.goal, "input": session.run.input}


def _engine_config(entry: door.Entry, session: RunSession | None) -> RunnableConfig:
    held = {} if session is None else {SESSION_KEY: session}
    return cast("RunnableConfig", {**entry.config, "configurable": {**entry.config["configurable"], **held}})
