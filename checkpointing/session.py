"""A held run: the lease one owner has on it, and the unit of work of its current transition.

Invariant: rows staged by a task are committed in the same transaction as that task's writes or
not at all, always under the owner's epoch. Nodes stage; only the saver commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import JsonValue

from gatepost.checkpointing.clock import Asked, Clock
from gatepost.checkpointing.run_row import RunRow
from gatepost.checkpointing.trail import Trail
from gatepost.state.approval import ApprovalRequest
from gatepost.state.artifact import Artifact
from gatepost.state.board import Board
from gatepost.state.errors import LostRun
from gatepost.state.plan import Plan
from gatepost.state.status import RUN_TRANSITIONS, EffectState, RunStatus, advance
from gatepost.state.step import Failure, StepRecord
from gatepost.state.watch import Act

SESSION_KEY = "__gatepost_session"
"""Where the doors put the session in `configurable`; keys that start with `__` reach no metadata."""


CALLERS = frozenset({"executor", "compensator"})
"""The nodes that call tools. What they learned must not wait for a slow sibling, nor die with the engine."""


class Staged(NamedTuple):
    """A row to be written with the transition: which part of `gatepost.write_rows` writes it, and what."""

    part: str
    row: Mapping[str, Any]


class Foretold(NamedTuple):
    """An intent that was committed with the transition that dispatched its step; the call is yet to be made."""

    row: Mapping[str, Any]
    at: datetime


class Finished(NamedTuple):
    """A task that has returned: what LangGraph wants written for it."""

    config: Any
    writes: Sequence[tuple[str, Any]]
    path: str


@dataclass
class RunSession:
    """One owner's hold on one run, for one entry into the engine."""

    run: RunRow
    owner: str
    epoch: int
    actor: str
    """The principal in whose name the run is moved."""
    board: Board
    now: datetime
    """Database time of the last commit: what tasks of the current superstep see as now. Read off the `clock` instead
    where they did not wait for that commit; its row says so (`next_now`), and a replay tells them the same."""
    seq: int
    """The last transition: committed, or being committed."""
    status: RunStatus
    renewed: float
    """When the lease was last known to be ours, by this process's monotonic clock."""
    lost: str | None = None
    """Why the lease is gone, once it is."""
    reason: str = ""
    act: Act | None = None
    """What watchers are told of this hold."""
    wake_at: datetime | None = None
    """When a run that is left waiting goes on; see `park`."""
    trouble: str | None = None
    """What this attempt failed with, where a mover made it."""
    ordered: str | None = None
    """What an operator wants of the run; letting go of it carries it out."""
    instructed: bool = False
    """Whether an operator has said something that the gate has not been told."""
    stop: Callable[[], None] | None = None
    """Makes the engine stop at the next superstep; from any thread."""
    flush_by: float | None = None
    """When a finished branch that waits for its siblings is written by itself, by the event loop's clock."""
    flush_timer: asyncio.TimerHandle | None = None
    flush_task: asyncio.Task[None] | None = None
    flush_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ahead: bool = False
    """Whether the engine may get the next superstep ready while this one is committed: nobody is told of either."""
    committing: asyncio.Task[None] | None = None
    """The commit of the last superstep: under way, or failed. Nothing is read, told or called before its end."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when that is over. Whoever waits for this goes on a turn of the event loop earlier than by the task."""
    finished: dict[str, Finished] = field(default_factory=dict)
    trail: Trail = field(default_factory=Trail)
    clock: Clock = field(init=False)
    """What this owner takes for database time between two answers."""
    announced: set[str] = field(default_factory=set)
    """Keys of the effects that were announced under this epoch."""
    announcing: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By key: the intents that travel with the last superstep, committed or not."""
    foretold: dict[str, Foretold] = field(default_factory=dict)
    """By key: committed, and not called yet. Whoever calls takes it out; what is left is taken back in the end."""
    foreseen: dict[str, tuple[str, Mapping[str, JsonValue]]] = field(default_factory=dict)
    """By step judged beforehand: fingerprint and arguments, until its turn comes. This owner's; nothing rests on it."""
    _rows: dict[str, list[Staged]] = field(default_factory=dict)
    _nodes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock(self.now, Asked.now(self.renewed))

    def check(self) -> None:
        """Stop here when the lease is known to be lost.

        Raises:
            LostRun: it is.
        """
        if self.lost:
            raise LostRun(f"run {self.run.run_id} is no longer ours: {self.lost}. Nothing was written; this one stops.")

    def commits(self, task: asyncio.Task[None]) -> None:
        """The superstep that was handed over is being committed."""
        self.ended.clear()
        self.flush_by, self.committing = None, task
        task.add_done_callback(self._failed)

    def is_committed(self) -> None:
        """It is; the task that did it has nothing more to do."""
        self.committing = None
        self.ended.set()

    def _failed(self, task: asyncio.Task[None]) -> None:
        if self.committing is task:
            self.ended.set()

    async def durable(self) -> None:
        """Wait until the last superstep is committed.

        Raises:
            LostRun, DatabaseUnavailable: it is not, and the run goes no further here.
        """
        if (commit := self.committing) is not None:
            if not commit.done():
                await self.ended.wait()
            await asyncio.shield(commit)

    async def answered(self) -> bool:
        """Wait until it is known whether the last superstep is committed. Whoever asks has heard why it is not."""
        if self.committing is not None:
            await asyncio.wait([self.committing])
        return not self.failed

    @property
    def failed(self) -> bool:
        """Whether the last superstep could not be committed."""
        task = self.committing
        return task is not None and task.done() and (task.cancelled() or task.exception() is not None)

    def enter(self, node: str, task: str) -> None:
        """Note that a node runs in this superstep."""
        self.check()
        self._nodes[task] = node

    def stands_alone(self, task: str) -> bool:
        """Whether a finished task may be written before its superstep ends: it called the world, and moved no run.

        The others decide for the whole run (its status, its plan): what they staged is true with their
        checkpoint or not at all, and running them again costs nothing.
        """
        return self._nodes.get(task) in CALLERS

    def stage_plan(self, task: str, plan: Plan) -> None:
        """A new plan version, in force from this transition."""
        self.board.adopt(plan)
        self._stage(task, "plan", version=plan.version, plan=plan.plain())

    def stage_step(self, task: str, record: StepRecord) -> None:
        """What became of a step; the last record of a step in a transition counts."""
        self.board.take(record)
        rows = self._rows.setdefault(task, [])
        rows[:] = [staged for staged in rows if staged.part != "step" or staged.row["step_id"] != record.step]
        self._stage(task, "step", step_id=record.step, status=record.status, record=record.plain())

    def stage_approval(self, task: str, request: ApprovalRequest) -> None:
        """A question to a person."""
        self._stage(
            task,
            "approval",
            approval_id=request.id,
            step_id=request.step,
            digest=request.digest,
            request=request.plain(),
            decide_by=request.decide_by,
            act_by=request.act_by,
        )

    def stage_impact(self, task: str, request: ApprovalRequest) -> None:
        """What a yes to an open question would set going, as it is by now."""
        self._stage(task, "impact", approval_id=request.id, impact=list(request.impact))

    def stage_judged(self, task: str, request: ApprovalRequest) -> None:
        """What another policy says of a question that stays open."""
        said = request.model_dump(mode="json", include={"policy_version", "policies", "reasons"})
        self._stage(task, "judged", approval_id=request.id, judged=said)

    def stage_taken(self, task: str, approval: str) -> None:
        """The run has taken the answer to an approval."""
        self._stage(task, "taken", approval_id=approval)

    def stage_void(self, task: str, approval: str) -> None:
        """A question that is no longer asked."""
        self._stage(task, "void", approval_id=approval)

    def stage_heard(self, task: str, number: int) -> None:
        """The gate is told an operator's instruction."""
        self._stage(task, "heard", number=number)

    def stage_artifact(self, task: str, artifact: Artifact) -> None:
        """A version of an output."""
        self._stage(
            task,
            "artifact",
            name=artifact.name,
            version=artifact.version,
            step_id=artifact.step,
            media_type=artifact.media_type,
            content=artifact.content,
            sha256=artifact.sha256,
            parents=list(artifact.parents),
        )

    def stage_effect(
        self, task: str, *, key: str | None, state: EffectState, result: JsonValue, failure: Failure | None
    ) -> None:
        """What became of an effect."""
        told = None if failure is None else failure.plain()
        self._stage(task, "effect", key=key, state=state, result=result, failure=told)

    def stage_intent(self, task: str, row: Mapping[str, Any]) -> None:
        """What is about to be called in the next superstep."""
        self._stage(task, "intent", **row)

    def move(self, status: RunStatus, reason: str = "") -> None:
        """The run's status from this transition on."""
        if status is not self.status:
            self.status = advance(RUN_TRANSITIONS, self.status, status)
        self.reason = reason

    def hear(self, ordered: str | None) -> None:
        """Take note of an operator's order, from any thread: the engine stops at the next superstep."""
        if ordered is not None:
            self.ordered = ordered
            if self.stop is not None:
                self.stop()

    def park(self, until: datetime, reason: str) -> None:
        """Leave the run waiting, from this transition on, for a mover to take up at `until` (database time).

        The timer is written when the owner lets go. An owner that dies before it leaves a run that waits for no
        time, and that movers take up when its lease has run out: whoever enters it must look at the time again.
        """
        self.move(RunStatus.WAITING, reason)
        self.wake_at = until

    def drop(self, task: str) -> None:
        """Forget what a task staged: it raised."""
        self._rows.pop(task, None)

    def rows(self, tasks: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
        """What some tasks staged, by part, for the transaction that commits it."""
        parts: dict[str, list[Mapping[str, Any]]] = {}
        for task in tasks:
            for staged in self._rows.get(task, ()):
                parts.setdefault(staged.part, []).append(staged.row)
        return parts

    def unforetell(self, tasks: Sequence[str], key: str | None = None) -> None:
        """Announce nothing with what tasks staged, or not this one: its turn comes later, or never."""
        for task in tasks:
            if staged := self._rows.get(task):
                staged[:] = [row for row in staged if row.part != "intent" or key not in (None, row.row["key"])]

    def staging(self) -> list[str]:
        """The tasks that staged something not yet committed."""
        return list(self._rows)

    def hand_over(self, announced: Sequence[Mapping[str, Any]], *, now: datetime | None) -> list[str]:
        """The superstep is being committed: the next one goes by it, whether it waits for that or not.

        Args:
            announced: the intents that travel with it.
            now: what the next superstep is told; None: when this one is committed, and nothing before that.

        Returns:
            The tasks whose rows and writes are in it.
        """
        self.seq += 1
        self.announcing = {row["key"]: row for row in announced}
        if now is not None:
            self.now = now
        return [*self._rows, *(task for task in self.finished if task not in self._rows)]

    def committed(self, tasks: Sequence[str]) -> None:
        """What these tasks staged, and what they left, is durable."""
        for task in tasks:
            self._rows.pop(task, None)
            self.finished.pop(task, None)

    def take_nodes(self) -> list[str]:
        """Hand over the nodes that ran in the superstep."""
        nodes, self._nodes = list(self._nodes.values()), {}
        return nodes

    def _stage(self, task: str, part: str, **row: Any) -> None:
        self.check()
        self._rows.setdefault(task, []).append(Staged(part, row))
