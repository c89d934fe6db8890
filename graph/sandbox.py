"""The sandbox: one run executed again from its recording, in memory, by today's code.

The nodes, the edges, the reducers and LangGraph's own engine are those of a live run; what lies
under them is replaced: the saver (in memory), the ledger, the answers of people and models, and the
results of calls (`graph.standin`). Nothing here has a connection to anything.

Invariant: transition by transition, what a node is told (`now`, seeds, answers, results, the status
in which an owner took the run) is what it was told then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command
from pydantic_core import to_jsonable_python

from gatepost.checkpointing.recordings import channels_of
from gatepost.checkpointing.run_row import RunRow
from gatepost.checkpointing.saver import next_nodes, session_of
from gatepost.checkpointing.session import SESSION_KEY, RunSession
from gatepost.graph.booked import ended_as
from gatepost.graph.build import NO_LIMIT, wired
from gatepost.graph.door import GATES
from gatepost.graph.holding import told
from gatepost.graph.routing import from_gate
from gatepost.graph.standin import RecordedApprovals, RecordedCalls, RecordedEntries, RecordedLedger
from gatepost.graph.tape import Tape, comparable
from gatepost.nodes.circumstances import unlike
from gatepost.nodes.visit import Equipment
from gatepost.state.board import Board
from gatepost.state.status import RunStatus

_BY_ENGINE = ("input", "loop")
_WRITTEN = (*_BY_ENGINE, "update")
"""Of supersteps, an operator's word to the gate among them."""
_PATIENCE = 2
"""Entries without a transition before the sandbox gives up: the first one after a start in the middle only pauses."""


@dataclass
class Made:
    """What the sandbox made, and how it stopped."""

    seen: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What each transition did, in the words of `Tape.seen`."""
    error: str | None = None
    """What it stopped with, where it could not go on."""


class Sandbox:
    """One re-execution.

    Args:
        tape: the recording.
        equipment: today's workflows, tools and policy; everything of it that reaches the world is replaced.
        start: the transition to begin after; 0 for the beginning.
        until: the last transition to make.
        stop: looks at each transition when it is made; true ends the re-execution there.
        brake: a node before which it stops.
    """

    def __init__(
        self,
        tape: Tape,
        equipment: Equipment,
        *,
        start: int = 0,
        until: int,
        stop: Callable[[int, dict[str, Any]], bool] = lambda _seq, _seen: False,
        brake: str | None = None,
    ) -> None:
        self.made = Made()
        self.braked = False
        self._tape, self._start, self._until, self._stop, self._brake = tape, start, until, stop, brake
        self._control = RunControl()
        self._over = False
        self.session = self._session()
        self._calls = RecordedCalls(tape)
        inside = unlike(
            equipment,
            ledger=RecordedLedger(tape, self.session),
            approvals=RecordedApprovals(tape, self.session),
            entries=RecordedEntries(tape),
            stand_in=self._calls,
        )
        self._graph = wired(inside).compile(
            checkpointer=_Memory(self._commit), interrupt_before=list(GATES), name="gatepost"
        )

    async def run(self) -> Made:
        """Make the transitions again, until told to stop or until it cannot go on."""
        given: dict[str, Any] | None = None
        if self._start:
            await self._seed()
        else:
            given = {"goal": self._tape.recording.run["goal"], "input": self.session.run.input}
        idle = 0
        while not self._over and self.session.seq < self._until:
            if await self._by_hand():
                continue
            before = self.session.seq
            try:
                await self._enter(given)
            except GraphDrained:
                pass
            except Exception as error:  # noqa: BLE001 (whatever today's code raises is what there is to report)
                self.made.error = f"{type(error).__name__}: {error}"
                return self.made
            given = None
            idle = idle + 1 if self.session.seq == before else 0
            if idle >= _PATIENCE and not self._over:
                self.made.error = "the run waits here now, or has ended; on record it goes on"
                return self.made
        return self.made

    async def state(self) -> dict[str, Any]:
        """Where the re-execution stands: channels and steps."""
        snapshot = await self._graph.aget_state(self._config(held=False))
        return {"seq": self.session.seq, "next": list(snapshot.next), **snapshot.values, "steps": self._steps()}

    async def _enter(self, given: dict[str, Any] | None) -> None:
        self._control = RunControl()
        options: dict[str, Any] = {"stream_mode": [], "durability": "sync", "control": self._control}
        stream = self._graph.astream(cast("Any", given), self._config(), **options)
        async with aclosing(cast("Any", stream)) as chunks:
            async for _ in chunks:
                pass

    async def _by_hand(self) -> bool:
        """A transition that no engine made: an operator's. What it wrote is taken over."""
        seq = self.session.seq + 1
        row = self._tape.transitions[seq]
        if row["source"] in _BY_ENGINE:
            return False
        if row["source"] == "update":
            said = [row for row in self._tape.recording.instructions if row["taken_seq"] == seq]
            self.session.enter("operator", "operator")
            await self._graph.abulk_update_state(self._config(), [[told(said)]])
            return True
        for record in self._tape.steps_at(seq).values():
            self.session.board.take(record)
        self.session.seq, self.session.status = seq, RunStatus(row["status"])
        self.session.reason, self.session.now = row["reason"], self._tape.now_after(seq)
        self._look(seq, self._tape.seen(seq, {}))
        return True

    def _commit(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> None:
        """What the saver of a live run does: rows, transition and clock."""
        session = session_of(config)
        if session is None or metadata["source"] not in _WRITTEN or self._over:
            return
        tasks = session.staging()
        parts = session.rows(tasks)
        seq = session.seq + 1
        seen = {
            "next": sorted(next_nodes(checkpoint)),
            "status": session.status.value,
            "reason": session.reason,
            "steps": {row["step_id"]: row["record"] for row in parts.get("step", ())},
            "plan": {str(row["version"]): row["plan"] for row in parts.get("plan", ())},
            "approvals": {row["approval_id"]: row["request"] for row in parts.get("approval", ())},
            "taken": sorted(row["approval_id"] for row in parts.get("taken", ())),
            "artifacts": {
                f"{row['name']}@{row['version']}": {name: row[name] for name in ("step_id", "sha256", "content")}
                for row in parts.get("artifact", ())
            },
            "effects": self._effects(parts.get("effect", ())),
        }
        if seq in self._tape.states:
            seen["state"] = channels_of(checkpoint["channel_values"])
        session.take_nodes()
        session.seq = seq
        session.committed(tasks)
        session.finished.clear()
        self._next_owner(seq)
        self._look(seq, comparable(to_jsonable_python(seen)))

    def _effects(self, found_out: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """What the ledger would have now: of the calls of this transition, and of what a person found out in it."""
        told = {row["key"]: ended_as(row["state"], row["result"], row["failure"]) for row in found_out}
        made, self._calls.made = self._calls.made, {}
        return {**told, **made}

    def _next_owner(self, seq: int) -> None:
        """The next transition sees the time of this one, unless another owner made it: then what that one saw."""
        session, following = self.session, self._tape.transitions.get(seq + 1)
        session.now = self._tape.now_after(seq) if seq in self._tape.transitions else session.now
        if following is None or following["epoch"] == session.epoch:
            return
        session.epoch = following["epoch"]
        self._take(self._tape.entries.get(session.epoch))

    def _take(self, entry: dict[str, Any] | None) -> None:
        session = self.session
        session.wake_at = None
        session.board = self._reloaded()
        if entry is not None:
            session.now = datetime.fromisoformat(entry["now"])
            session.status, session.reason = RunStatus(entry["status"]), entry["reason"]
        elif session.status in (RunStatus.WAITING, RunStatus.BLOCKED, RunStatus.QUEUED):
            session.status = RunStatus.RUNNING

    def _reloaded(self) -> Board:
        """The board as an owner reads it: in the order of the rows, which decides what is undone first."""
        board = self.session.board
        order = {record: index for index, record in enumerate(board.records)}
        for seq in sorted(self.made.seen):
            for place, step in enumerate(sorted(self.made.seen[seq]["steps"])):
                order[step] = (seq + 1) * 100_000 + place
        records = sorted(board.records.values(), key=lambda record: order[record.step])
        return Board(board.plan, records, run_input=board.run_input)

    def _look(self, seq: int, seen: dict[str, Any]) -> None:
        self.made.seen[seq] = seen
        if self._brake is not None and self._brake in seen["next"]:
            self.braked = True
        # The last one is looked at as well.
        if self._stop(seq, seen) or self.braked or seq >= self._until:
            self._over = True
        following = self._tape.transitions.get(seq + 1)
        if self._over or (following is not None and following["source"] not in _BY_ENGINE):
            self._control.request_drain()

    def _session(self) -> RunSession:
        run, start = self._tape.recording.run, self._start
        row = RunRow.of({**run, "status": "queued", "seq": start, "plan_version": 0})
        following = self._tape.transitions.get(start + 1, self._tape.transitions[self._tape.first])
        entry = self._tape.entries.get(following["epoch"])
        at = entry["now"] if entry else following["at"]
        before = self._tape.transitions.get(start)
        same = before is not None and before["epoch"] == following["epoch"]
        return RunSession(
            run=row,
            owner="replay",
            epoch=following["epoch"],
            actor=following["actor"],
            board=self._tape.board(start) if start else Board(None, run_input=row.input),
            now=self._tape.now_after(start) if before and same else datetime.fromisoformat(at),
            seq=start,
            status=RunStatus(before["status"] if before and same else entry["status"] if entry else "running"),
            renewed=0.0,
            reason=(before["reason"] if before and same else entry["reason"] if entry else ""),
        )

    async def _seed(self) -> None:
        """Put the graph where the record says it was; the routing from there is done again."""
        state: Any = self._tape.states[self._start]
        if self._tape.transitions[self._start]["next"] == ["policy_gate"]:
            update, after = state, "planner"
        else:
            update, after = Command(update=state, goto=from_gate(state, {})), "policy_gate"
        await self._graph.aupdate_state(self._config(held=False), update, as_node=after)

    def _config(self, *, held: bool = True) -> RunnableConfig:
        session = {SESSION_KEY: self.session} if held else {}
        return {"configurable": {"thread_id": "replay", **session}, "recursion_limit": NO_LIMIT}

    def _steps(self) -> dict[str, Any]:
        return self.session.board.shown()


class _Memory(InMemorySaver):
    """A saver that keeps only the newest checkpoint, and tells when a superstep is committed."""

    def __init__(self, commit: Callable[[RunnableConfig, Checkpoint, CheckpointMetadata], None]) -> None:
        super().__init__()
        self._commit = commit

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Commit."""
        self._commit(config, checkpoint, metadata)
        return self.put(config, checkpoint, metadata, new_versions)
