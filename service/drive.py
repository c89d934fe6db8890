"""Driving a run from outside: enter the graph, and print the log of what is committed as it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.service.log import RunLog
from gatepost.state.approval import ApprovalRequest
from gatepost.state.errors import UnknownRun
from gatepost.state.status import RunStatus

Emit = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands after it was driven."""

    run_id: str
    status: RunStatus
    reason: str
    approvals: tuple[ApprovalRequest, ...]
    saved: tuple[Path, ...] = ()


class Follower:
    """Prints what was committed since it last looked.

    Args:
        graph: where the run is.
        run_id: which.
        context: for whom.
        emit: takes each line.
    """

    def __init__(self, graph: GatepostGraph, run_id: str, context: RunContext, emit: Emit) -> None:
        self._graph = graph
        self._run_id = run_id
        self._tenant = context.tenant
        self._emit = emit
        self._log = RunLog()
        self._seen = -1

    async def catch_up(self) -> None:
        """Take note of the past of a run without printing it."""
        emit, self._emit = self._emit, lambda _: None
        try:
            await self.look()
        except UnknownRun:
            return
        finally:
            self._emit = emit

    async def look(self) -> None:
        """Print what is new."""
        history = self._graph.saver.history
        row = await self._graph.saver.runs.get(self._run_id, self._tenant)
        if self._seen < 0:
            self._emit(self._log.started(self._run_id))
            self._seen = 0
        changes = await history.step_changes(self._run_id, after=self._seen, until=row["seq"])
        version = row["plan_version"]
        reason = (await history.plan(self._run_id, version)).reason if version > 1 else ""
        lines = self._log.steps(change.record for change in changes if change.record.plan_version < version)
        lines += self._log.plan(version, reason)
        lines += self._log.steps(change.record for change in changes if change.record.plan_version >= version)
        self._seen = row["seq"]
        for line in lines:
            self._emit(line)

    async def end(self, artifacts: Path | None) -> tuple[Path, ...]:
        """Print how it ended and what it left, and save that."""
        row = await self._graph.saver.runs.get(self._run_id, self._tenant)
        saved = []
        if row["finished_at"] is not None:
            for found in await self._graph.saver.history.artifacts(self._run_id):
                self._emit(self._log.artifact(found["name"]))
                if artifacts is not None:
                    saved.append(_save(artifacts / self._run_id, found))
        for line in self._log.ended(self._run_id, RunStatus(row["status"]), row["reason"]):
            self._emit(line)
        return tuple(saved)


async def drive(
    graph: GatepostGraph,
    given: Mapping[str, Any] | None,
    run_id: str,
    *,
    context: RunContext,
    emit: Emit,
    artifacts: Path | None,
) -> Standing:
    """Start or continue a run until it ends or waits, printing its log.

    Args:
        graph: built on the run's database.
        given: the goal and input to start with; None to go on.
        run_id: the run.
        context: who acts.
        emit: takes each line of the log.
        artifacts: the folder to save artifacts under; None saves none.
    """
    follower = Follower(graph, run_id, context, emit)
    await follower.catch_up()
    config: Any = {"configurable": {"thread_id": run_id}}
    async for _ in graph.astream(given, config, context=context, stream_mode="updates"):
        await follower.look()
    await follower.look()
    saved = await follower.end(artifacts)
    values = (await graph.aget_state(config)).values
    row = await graph.saver.runs.get(run_id, context.tenant)
    return Standing(
        run_id=run_id,
        status=RunStatus(row["status"]),
        reason=row["reason"],
        approvals=tuple(values.get("approvals") or ()),
        saved=saved,
    )


def _save(folder: Path, artifact: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / Path(artifact["name"]).name
    path.write_text(artifact["content"])
    return path
