"""Moving: runs written down for workers, moved by them, and answered without being moved.

Invariant: what a caller is told is durable before the caller is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from gatepost.checkpointing.answers import Recorded, request_in
from gatepost.checkpointing.links import Link
from gatepost.checkpointing.run_row import RunRow
from gatepost.graph import door
from gatepost.graph.clerk import GraphClerk
from gatepost.graph.context import RunContext, who_acts
from gatepost.graph.holding import HoldingGraph
from gatepost.graph.resolution import resolve
from gatepost.state.answer_shapes import Answers, decisions
from gatepost.state.approval import Decision, decision_of
from gatepost.state.errors import DoorClosed, InvalidValue
from gatepost.state.ids import RunId
from gatepost.state.status import RunStatus
from gatepost.state.watch import Act, watched

PRIORITIES = range(-32_768, 32_768)
MOST_ASKED = 10_000
"""Questions of one run that can be open at once."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How a claimed run was left."""

    status: RunStatus
    reason: str
    transitions: int
    """How far it was moved."""
    drained: bool
    """Whether it was stopped on its way."""


class MovingGraph(HoldingGraph):
    """The part of the compiled graph for those who do not wait for the run."""

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

    async def adecide(
        self,
        decision: Decision,
        *,
        run_id: str | None = None,
        context: RunContext | None = None,
        going_on: bool = False,
        link: Link | None = None,
    ) -> Recorded:
        """Record an answer without moving the run.

        Args:
            decision: the answer, addressed to an approval.
            run_id: the run it must belong to, if that is known.
            context: for whom; the answer itself says by whom.
            going_on: the caller goes on with the run itself; workers leave it alone for a lease's time.
            link: the link that it came by, which answers no more than once.

        Raises:
            CallerMistake: unknown, not allowed, malformed, too late, or decided otherwise.
        """
        who = who_acts(context)
        (recorded,) = await self._record([decision_of(decision)], run_id, who, going_on=going_on, link=link)
        return recorded

    async def aanswer(
        self, answers: Answers, *, run_id: str, context: RunContext | None = None, going_on: bool = False
    ) -> Sequence[Recorded]:
        """Record what arrived in one of the shapes of `state.answer_shapes`: all of it, or none; as `adecide`."""
        who = who_acts(context)
        approvals = self.saver.approvals
        asked = await approvals.list(who.tenant, run_id=run_id, limit=MOST_ASKED)
        so_far = await approvals.list(who.tenant, run_id=run_id, status=None, limit=2)
        requests = [request_in(row) for row in asked]
        said = decisions(answers, open_now=requests, asked_so_far=len(so_far), by=who.principal)
        return await self._record(said, run_id, who, going_on=going_on)

    async def _record(
        self,
        said: Sequence[Decision],
        run_id: str | None,
        who: RunContext,
        *,
        going_on: bool,
        link: Link | None = None,
    ) -> Sequence[Recorded]:
        workflow = ""
        for decision in said:
            row = await self.saver.approvals.get(decision.approval, who.tenant)
            workflow = row["workflow"]
            if run_id is not None and row["run_id"] != run_id:
                raise DoorClosed(
                    f"approval {decision.approval} belongs to run {row['run_id']}, not to {run_id}. Answer it there."
                )
        clerk = GraphClerk(self.equipment, tenant=who.tenant, workflow=workflow)
        kept = self.saver.runs.lease.ttl if going_on else None
        if self.equipment.watchers and said:
            return await self._decide_watched(said, who, clerk, kept, link)
        return await self.saver.approvals.decide_all(said, tenant=who.tenant, clerk=clerk, kept=kept, link=link)

    async def _decide_watched(
        self,
        said: Sequence[Decision],
        who: RunContext,
        clerk: GraphClerk,
        kept: timedelta | None,
        link: Link | None,
    ) -> Sequence[Recorded]:
        row = await self.saver.approvals.get(said[0].approval, who.tenant)
        run = RunRow.of(await self.saver.runs.get(row["run_id"], who.tenant))
        facts: dict[str, Any] = {"approvals": [one.approval for one in said], "opened_at": row["opened_at"]}
        act = Act("decision", run, row["request"]["tool"], facts)
        with watched(self.equipment.watchers, act):
            recorded = await self.saver.approvals.decide_all(said, tenant=who.tenant, clerk=clerk, kept=kept, link=link)
            act.outcome = "repeated" if all(one.repeated for one in recorded) else said[0].type
            facts["policies"] = recorded[0].request.policies
            facts["wait_seconds"] = max(0.0, (recorded[0].at - row["opened_at"]).total_seconds())
        return recorded

    def decide(self, decision: Decision, **options: Any) -> Recorded:
        """As `adecide`, for sync callers."""
        return self.saver.bridge.run(self.adecide(decision, **options))

    async def aresolve(self, effect: str, *, context: RunContext | None = None, **found: Any) -> Recorded | None:
        """Say of an effect in doubt what happened, without moving the run; see `graph.resolution.resolve`."""
        return await resolve(self.saver, self.equipment, effect, tenant=who_acts(context).tenant, **found)

    def resolve(self, effect: str, **options: Any) -> Recorded | None:
        """As `aresolve`, for sync callers."""
        return self.saver.bridge.run(self.aresolve(effect, **options))


def _place(run_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": run_id}}
