"""Driving a run from outside: enter the graph, and print the log of what is committed as it goes.

Invariant: a line is printed for what is read back from committed rows and for nothing else. So the
same `Follower` shows a run that this process moves and one that another process moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from gatepost.checkpointing.answers import request_in
from gatepost.checkpointing.books import Books
from gatepost.checkpointing.history import StepChange
from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.service.log import OPERATOR, Committed, RunLog
from gatepost.state.approval import ApprovalRequest
from gatepost.state.errors import UnknownRun
from gatepost.state.status import ApprovalStatus, RunStatus

Emit = Callable[[str], None]
PAGE = 500


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a run stands after it was driven."""

    run_id: str
    status: RunStatus
    reason: str
    approvals: tuple[ApprovalRequest, ...]
    """The open ones, oldest first."""
    artifacts: tuple[Mapping[str, Any], ...]
    """Every version of what it left, oldest first; empty while it goes on."""
    moved: bool
    """Whether anything was committed meanwhile."""
    fork_effects: str | None
    """Of a fork: `reuse`, `dry-run` or `fire`; None: it is no fork."""


class Follower:
    """Prints what was committed since it last looked.

    Args:
        books: where the run is.
        run_id: which.
        tenant: whose it must be.
        emit: takes each line.
    """

    def __init__(self, books: Books, run_id: str, tenant: str, emit: Emit) -> None:
        self._books = books
        self._run_id = run_id
        self._tenant = tenant
        self._emit = emit
        self._log = RunLog(run_id)
        self._plan = 0
        self.seen = 0

    async def catch_up(self) -> None:
        """Take note of the past of a run, if it has one, without printing it."""
        try:
            row = await self._books.runs.get(self._run_id, self._tenant)
        except UnknownRun:
            return
        changes = await self._books.history.steps(self._run_id, seq=row["seq"])
        self._log.skip(change.record for change in changes)
        self.seen, self._plan = row["seq"], row["plan_version"]

    async def look(self) -> None:
        """Print what is new."""
        history = self._books.history
        while rows := await history.transitions(self._run_id, after=self.seen, limit=PAGE):
            until = rows[-1]["seq"]
            changes = await history.step_changes(self._run_id, after=self.seen, until=until)
            news = Committed(
                transitions=rows,
                changes=changes,
                artifacts=await self._artifacts(rows),
                plans=await self._plans(rows),
                answers=await self._answers(changes),
                told=await self._told(rows),
            )
            self.seen = until
            for line in self._log.lines(news):
                self._emit(line)

    async def _told(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        spoken = [row["seq"] for row in rows if OPERATOR in row["nodes"]]
        return await self._books.history.told(self._run_id, spoken) if spoken else []

    async def _artifacts(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if not any("finalizer" in row["nodes"] for row in rows):
            return []
        return await self._books.history.artifacts(self._run_id)

    async def _plans(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
        if not any("planner" in row["nodes"] for row in rows):
            return []
        newest = (await self._books.runs.get(self._run_id, self._tenant))["plan_version"]
        # A run that somebody else moves may be further than these rows: what is newer belongs to the next ones.
        made = min(newest, self._plan + sum("planner" in row["nodes"] for row in rows))
        versions = range(self._plan + 1, made + 1)
        self._plan = made
        return [(version, (await self._books.history.plan(self._run_id, version)).reason) for version in versions]

    async def _answers(self, changes: Sequence[StepChange]) -> dict[str, str]:
        if not (asked := self._log.asked(changes)):
            return {}
        standing = await self._books.approvals.standing(self._run_id, asked)
        return {
            approval: found.decision.type
            for approval, found in standing.items()
            if found.decision is not None and found.status is ApprovalStatus.DECIDED
        }


async def drive(
    graph: GatepostGraph,
    given: Mapping[str, Any] | None,
    run_id: str,
    *,
    context: RunContext,
    emit: Emit,
    busy: Emit,
) -> Whereabouts:
    """Start or continue a run until it ends or waits, printing its log.

    Args:
        graph: built on the run's database.
        given: the goal and input to start with; None to go on.
        run_id: the run.
        context: who acts.
        emit: takes each line of the log.
        busy: is told what is under way: a step, or a node between steps.
    """
    follower = Follower(graph.saver, run_id, context.tenant, emit)
    await follower.catch_up()
    before = follower.seen
    config: Any = {"configurable": {"thread_id": run_id}}
    # Of LangGraph's modes only "tasks" speaks when a superstep begins, which is when the last one is committed.
    stream = cast("Any", graph.astream(given, config, context=context, stream_mode="tasks"))
    async with aclosing(stream) as tasks:
        async for task in tasks:
            if "input" in task:
                await follower.look()
                busy(_under_way(task))
    await follower.look()
    return await _whereabouts(graph.saver, run_id, context.tenant, moved=follower.seen > before)


async def _whereabouts(books: Books, run_id: str, tenant: str, *, moved: bool) -> Whereabouts:
    row = await books.runs.get(run_id, tenant)
    asked = await books.approvals.list(tenant, run_id=run_id) if row["finished_at"] is None else []
    left = await books.history.artifacts(run_id) if row["finished_at"] is not None else []
    return Whereabouts(
        run_id=run_id,
        status=RunStatus(row["status"]),
        reason=row["reason"],
        approvals=tuple(request_in(found) for found in asked),
        artifacts=tuple(left),
        moved=moved,
        fork_effects=row["fork_effects"],
    )


def _under_way(task: Mapping[str, Any]) -> str:
    given = task["input"]
    step = given.get("step") if isinstance(given, Mapping) else None
    return str(step or task["name"])
