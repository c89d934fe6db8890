"""Reading: the state of a run and its checkpoints, with plan and steps joined in.

Invariant: a run of another tenant reads as one that does not exist.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.types import StateSnapshot

from gatepost.checkpointing import places
from gatepost.checkpointing.export import export_lines
from gatepost.graph import view
from gatepost.graph.context import RunContext, who_acts
from gatepost.graph.holding import HoldingGraph
from gatepost.graph.rewind import Rewind, as_of
from gatepost.state.errors import InvalidValue, UnknownRun
from gatepost.state.ids import run_id_of
from gatepost.state.transition import Transition


class ReadingGraph(HoldingGraph):
    """The part of the compiled graph that shows runs."""

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
        return view.as_ordered(await self._asked_now(await self._joined(snapshot, seq=None)), row)

    def get_state(
        self, config: RunnableConfig, *, subgraphs: bool = False, context: RunContext | None = None
    ) -> StateSnapshot:
        """As `aget_state`, for sync callers."""
        return self.saver.bridge.run(self.aget_state(config, subgraphs=subgraphs, context=context))

    async def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 (LangGraph's name)
        before: RunnableConfig | None = None,
        limit: int | None = None,
        context: RunContext | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """The checkpoints, newest first, each with plan and steps as they were then.

        Read page by page as they are asked for: whoever looks at one after the other can look at any number.
        Unchanged plans and step records are the same objects in all of them.
        A run of another tenant has none, as one that does not exist.
        """
        row = await self._may_read(config, context)
        if row is None:
            return
        rewind, left = Rewind(self.saver.history, row.get("run_id", "")), limit
        while left is None or left > 0:
            size = places.PAGE if left is None else min(places.PAGE, left)
            page = super().aget_state_history(config, filter=filter, before=before, limit=size)
            snapshots = [snapshot async for snapshot in page]
            await rewind.reach([seq for seq in map(_place_of, snapshots) if seq is not None])
            for snapshot in snapshots:
                yield await self._rewound(rewind, snapshot)
            if len(snapshots) < size:
                return
            before, left = snapshots[-1].config, None if left is None else left - size

    def get_state_history(
        self, config: RunnableConfig, *, context: RunContext | None = None, **options: Any
    ) -> Iterator[StateSnapshot]:
        """As `aget_state_history`, for sync callers."""
        return self.saver.bridge.iterate(self.aget_state_history(config, context=context, **options))

    async def ahistory(
        self,
        config: RunnableConfig,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
        context: RunContext | None = None,
    ) -> list[Transition]:
        """A page of the run's transitions, in order: who or what caused each, how long it took, and what changed.

        Metadata only, however long the run is. A run of another tenant has none, as one that does not exist.

        Args:
            config: names the run.
            before: the newest ones before this number: pass the first `seq` of a page for the page before it.
            after: instead, the first ones after this number.
            limit: at most so many, up to 1,000.
            context: who reads.

        Raises:
            InvalidValue: both `before` and `after`, or a limit that is none.
        """
        row = await self._may_read(config, context)
        if not row:
            return []
        return await self.saver.history.page(row["run_id"], before=before, after=after, limit=limit)

    def history(self, config: RunnableConfig, **options: Any) -> list[Transition]:
        """As `ahistory`, for sync callers."""
        return self.saver.bridge.run(self.ahistory(config, **options))

    async def aexport(self, config: RunnableConfig, *, context: RunContext | None = None) -> AsyncGenerator[str]:
        """Everything that happened to the run as chained JSON lines, for an audit: see `export_lines`.

        Raises:
            UnknownRun: the tenant has no such run.
        """
        run_id = run_id_of(merge_configs(self.config, config)["configurable"]["thread_id"])
        async with aclosing(export_lines(self.saver.pools, run_id, who_acts(context).tenant)) as lines:
            async for line in lines:
                yield line

    def export(self, config: RunnableConfig, *, context: RunContext | None = None) -> Iterator[str]:
        """As `aexport`, for sync callers."""
        return self.saver.bridge.iterate(self.aexport(config, context=context))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """How Jupyter shows the graph: as mermaid text. LangGraph's own posts the graph to a public web service."""
        drawn = self.get_graph().draw_mermaid()
        return {"text/plain": repr(self), "text/markdown": f"```mermaid\n{drawn}\n```"}

    async def _asked_now(self, snapshot: StateSnapshot) -> StateSnapshot:
        """With the questions as they are asked now: one may have been passed on since the graph last looked."""
        asked = snapshot.values.get("approvals") or [] if view.is_run_state(snapshot.values) else []
        if not any(request.terms.escalate_to for request in asked):
            return snapshot
        ids = [request.id for request in asked]
        found = await self.saver.approvals.standing(snapshot.values["run_id"], ids)
        now = [found[request.id].request if request.id in found else request for request in asked]
        return snapshot._replace(values={**snapshot.values, "approvals": now, "approval": now[0]})

    async def _may_read(self, config: RunnableConfig, context: RunContext | None) -> Mapping[str, Any] | None:
        """The row of the run in the config, if it is the tenant's. Where none is named, LangGraph says so."""
        place = merge_configs(self.config, config).get("configurable") or {}
        if "thread_id" not in place:
            return {}
        try:
            return await self.saver.runs.get(run_id_of(place["thread_id"]), who_acts(context).tenant)
        except (UnknownRun, InvalidValue):
            return None

    async def _rewound(self, rewind: Rewind, snapshot: StateSnapshot) -> StateSnapshot:
        seq = _place_of(snapshot)
        if seq is None:
            return await self._joined(snapshot, seq=None)
        return snapshot._replace(values=await rewind.as_of(snapshot.values, seq=seq))

    async def _joined(self, snapshot: StateSnapshot, *, seq: int | None) -> StateSnapshot:
        if not view.is_run_state(snapshot.values):
            return snapshot
        return snapshot._replace(values=await as_of(self.saver.history, snapshot.values, seq=seq))


def _place_of(snapshot: StateSnapshot) -> int | None:
    """The transition that left this state of a run; None where there is none, or it is no state of a run."""
    return view.seq_of(snapshot) if view.is_run_state(snapshot.values) else None
