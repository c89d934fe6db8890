"""The compiled graph: an ordinary LangGraph graph whose doors lead past the lease and the decision.

Every way into the engine comes through `astream` (invoke, ainvoke, batch and stream_events all end
there), so that is the one place where a call is checked, the run admitted and held, and a decision
committed. The sync methods are the async ones on the bridge.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from contextvars import Context
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph

from gatepost.checkpointing.answers import Recorded
from gatepost.checkpointing.open import Checkpointer
from gatepost.checkpointing.session import RunSession
from gatepost.graph import door, rewind, view
from gatepost.graph.context import RunContext, who_acts
from gatepost.graph.moving import MovingGraph
from gatepost.graph.operating import OperatingGraph
from gatepost.graph.reading import ReadingGraph
from gatepost.nodes.visit import Equipment
from gatepost.state.answer_shapes import Answers
from gatepost.state.approval import Decision
from gatepost.state.errors import DoorClosed, RunOnHold, RunOwned
from gatepost.state.status import RunStatus

_INVOKED = "gatepost_invoked"
"""Set by `ainvoke`: chunks pass as they are, and the joined view comes once, at the end."""


class GatepostGraph(MovingGraph, ReadingGraph, OperatingGraph):
    """What `build_graph` returns. Use it as any compiled graph; what differs is refused with a reason."""

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
            RunOnHold: an operator stopped the run.
            LostRun: another owner took the run over while this one moved it.
        """
        invoked = options.pop(_INVOKED, False)
        options |= {"stream_mode": []} if invoked else {}  # who waits for the end looks at nothing before it
        if self.checkpointer is not self.saver or "checkpoint_during" in options:
            raise DoorClosed("another checkpointer, or checkpoint_during, would run effects that are not written down.")
        door.durable(durability)
        # In a context of its own: inside another graph's node, LangChain would mix that graph's config in.
        config = Context().run(lambda: ensure_config(merge_configs(self.config, config)))
        entry = door.admit(input, config)
        who = who_acts(context)
        recorded = await self._prepare(entry, who)
        options["interrupt_before"] = door.gates(interrupt_before)
        # A yes that needs others beside it moves nothing.
        again, moved = not recorded or any(one.decided for one in recorded), bool(recorded)
        while again:
            session, paused = None, False
            try:
                async with self._held(entry, who) as session:
                    if session is None and await self._called_off(entry, who):
                        break
                    async with aclosing(self._engine(entry, who, session, options)) as chunks:
                        async for chunk in chunks:
                            yield chunk if invoked else await self._shown(chunk, session)
                    paused = session is not None and session.status in (RunStatus.BLOCKED, RunStatus.WAITING)
            except (RunOwned, RunOnHold):
                if not moved:
                    raise
                break  # what was asked of us is recorded; the owner goes on from it, or whoever takes it once released
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

    async def _called_off(self, entry: door.Entry, who: RunContext) -> bool:
        """Whether a run ended outside its graph, which would still go on."""
        row = await self.saver.runs.get(entry.run_id, who.tenant)
        return RunStatus(row["status"]) is RunStatus.CANCELLED

    async def _prepare(self, entry: door.Entry, who: RunContext) -> Sequence[Recorded]:
        """Admit the run, or record what was answered."""
        match entry.asked:
            case door.Start():
                await self._admit(entry, entry.asked, who, priority=0, kept=self.saver.runs.lease.ttl)
            case Decision():
                return [await self.adecide(entry.asked, run_id=entry.run_id, context=who, going_on=True)]
            case Answers():
                return await self.aanswer(entry.asked, run_id=entry.run_id, context=who, going_on=True)
        return []

    async def _result(self, entry: door.Entry, recorded: Sequence[Recorded], who: RunContext, *, version: str) -> Any:
        snapshot = await self.aget_state({"configurable": {"thread_id": entry.run_id}}, context=who)
        told: dict[str, Any] = {"decision": recorded[-1].plain()} if recorded else {}
        if len(recorded) > 1:
            told["decisions"] = [one.plain() for one in recorded]
        values = {**snapshot.values, **told}
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
            shown = await rewind.as_of(self.saver.history, values, seq=None)
        else:
            shown = view.joined(values, session.board)
        return (*chunk[:-1], shown) if isinstance(chunk, tuple) else shown
