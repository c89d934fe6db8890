"""A worker: claims runs that nobody moves, moves each until it ends or waits, and leaves in order.

Invariant: it claims only while it has a free place and is not leaving, so what it holds it moves. It
trusts the table and not the bell: it looks when it hears one, when a place comes free, when the next
timer is due, and after a while in any case.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from langgraph.runtime import RunControl

from gatepost.checkpointing.movers import Bell, Movers, is_suspect
from gatepost.checkpointing.runs import owner_name
from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.graph.enforcing import Enforcer
from gatepost.graph.moving import Moved
from gatepost.graph.recovery import recover_given_up
from gatepost.service.notices.herald import Herald
from gatepost.state.errors import DatabaseUnavailable, LostRun
from gatepost.state.status import RunStatus
from gatepost.state.watch import claimed

Emit = Callable[[str], None]
Until = Literal["stopped", "idle", "one"]
"""`stopped`: somebody stops it. `idle`: nothing is left to move. `one`: one run was moved, if there was one."""

CUT_SECONDS = 5.0
"""How long runs that did not stop in the grace time may take to let go."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a worker works."""

    concurrency: int = 4
    """Runs at once."""
    grace: timedelta = timedelta(seconds=30)
    """How long runs may take to reach their next superstep when the worker leaves."""
    sweep: timedelta = timedelta(seconds=5)
    """It looks at least so often, whatever it hears."""
    until: Until = "stopped"


class Worker:
    """Moves the runs of one graph's workflows.

    Args:
        graph: knows the workflows, and the database.
        terms: how it works.
        say: takes each line of its log.
        herald: sends notices to people beside it.
    """

    def __init__(self, graph: GatepostGraph, *, terms: Terms, say: Emit, herald: Herald | None = None) -> None:
        self.name = f"worker {owner_name()}"
        self.moved = 0
        """Runs that it has moved."""
        self._graph = graph
        self._terms = terms
        self._say = say
        self._herald = herald
        self._movers = Movers(graph.saver.pools, graph.saver.runs)
        self._enforcer = Enforcer(graph, self._movers)
        self._rung = asyncio.Event()
        self._leaving: str | None = None
        self._told = asyncio.Event()
        self._cut = asyncio.Event()
        self._alone = False
        """Whether a run that has ended its owners is moved, beside which there shall be no other."""
        self._moving: dict[asyncio.Task[None], RunControl] = {}

    async def work(self) -> None:
        """Work until it is told to leave, or until there is nothing left to do.

        Raises:
            DatabaseUnavailable: the database went away, and the worker was to leave when nothing is left to do.
        """
        telling = self._herald.at_work() if self._herald else nullcontext()
        async with telling, Bell(self._graph.saver.address, self._rung.set).heard():
            try:
                while self._leaving is None:
                    self._rung.clear()
                    claimed = await self._claimed()
                    for row in claimed or ():
                        self._start(row)
                    if self._done(claimed):
                        break
                    await self._quiet()
            finally:
                await self._leave()

    def drain(self, reason: str) -> None:
        """Claim nothing more; let each run reach its next superstep, release it, and leave. From the worker's loop."""
        if self._leaving is None:
            self._leaving = reason
            self._told.set()
            self._rung.set()

    def cut(self) -> None:
        """Leave at once: what is under way is broken off and released. From the worker's loop."""
        self.drain("at once")
        self._cut.set()

    @property
    def was_cut(self) -> bool:
        """Whether it was told to leave at once."""
        return self._cut.is_set()

    async def _claimed(self) -> list[dict[str, Any]] | None:
        """What is there to be moved, as far as there is a place for it; None when nobody could be asked."""
        free = (1 if self._terms.until == "one" else self._terms.concurrency) - len(self._moving)
        if free <= 0 or self._alone:
            return None
        known = self._graph.equipment.catalog.workflows
        try:
            for run in await recover_given_up(self._graph.saver, self._graph.equipment):
                self._say(f"[run] {run}=given up, and recovered as its workflow says")
            found = await self._movers.claim(workflows=known, graph_version=self._graph.version, slots=free)
            return [*found, *await self._enforcer.claim(slots=free - len(found))]
        except DatabaseUnavailable as error:
            if self._terms.until != "stopped":
                raise
            self._say(f"[worker] cannot look for runs: {error}")
            return None

    def _done(self, claimed: list[dict[str, Any]] | None) -> bool:
        if self._terms.until == "one":
            return claimed is not None
        return self._terms.until == "idle" and claimed == [] and not self._moving

    async def _quiet(self) -> None:
        """Wait until there may be something to do."""
        pause = min(self._terms.sweep, await self._until_a_timer())
        try:
            async with asyncio.timeout(pause.total_seconds()):
                await self._rung.wait()
        except TimeoutError:
            return

    async def _until_a_timer(self) -> timedelta:
        try:
            left = await self._movers.due_in()
        except DatabaseUnavailable:
            left = None
        return left if left is not None and left > timedelta() else self._terms.sweep

    def _start(self, row: Mapping[str, Any]) -> None:
        claimed(self._graph.equipment.watchers, row)
        control = RunControl()
        self._alone = is_suspect(row)
        task = asyncio.create_task(self._move_alone(row, control) if self._alone else self._move(row, control))
        self._moving[task] = control
        task.add_done_callback(self._freed)

    def _freed(self, task: asyncio.Task[None]) -> None:
        del self._moving[task]
        self._alone = self._alone and bool(self._moving)
        self._rung.set()
        if self._herald:
            self._herald.look()

    async def _move_alone(self, row: Mapping[str, Any], control: RunControl) -> None:
        """Hand the other runs over at their next superstep, then move this one, which may end the process."""
        others = {task: moving for task, moving in self._moving.items() if moving is not control}
        for moving in others.values():
            moving.request_drain("room for a run that has ended its workers")
        if others:
            await asyncio.wait(others)
        await self._move(row, control)

    async def _move(self, row: Mapping[str, Any], control: RunControl) -> None:
        run, began = row["run_id"], time.monotonic()
        self._say(f"[claim] {run} ({row['workflow']}, transition {row['seq']}){_again(row)}")
        try:
            moved = await self._graph.amove(row, context=RunContext(principal=self.name), control=control)
        except asyncio.CancelledError:
            self._say(f"[run] {run}=broken off")
            raise
        except LostRun as error:
            self._say(f"[run] {run}=lost({error})")
        except Exception as error:  # noqa: BLE001 (a run that fails its worker must not end it; the row has the rest)
            self._say(f"[run] {run}=trouble({type(error).__name__}: {error})")
        else:
            self.moved += 1
            self._say(f"[run] {run}={_left(moved)} in {time.monotonic() - began:.1f} s")

    async def _leave(self) -> None:
        """Let every run reach its next superstep, within the grace time; break the others off."""
        if self._leaving is None:
            await self._all_ended(unless=self._told)
        if self._moving:
            self._say(f"[worker] leaving ({self._leaving}): {len(self._moving)} runs reach their next superstep")
            for control in self._moving.values():
                control.request_drain(self._leaving or "the worker leaves")
            await self._all_ended(unless=self._cut, seconds=self._terms.grace.total_seconds())
        for task in self._moving:
            task.cancel()
        await self._all_ended(seconds=CUT_SECONDS)
        self._say(f"[worker] left after {self.moved} run{'s' if self.moved != 1 else ''}")

    async def _all_ended(self, *, unless: asyncio.Event | None = None, seconds: float | None = None) -> None:
        """Wait until nothing is under way; no longer than so, and not on when an event is set."""
        if not self._moving:
            return
        awaited: set[asyncio.Task[Any]] = {asyncio.create_task(asyncio.wait(self._moving))}
        if unless is not None:
            awaited.add(asyncio.create_task(unless.wait()))
        await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in awaited:
            task.cancel()


def _again(row: Mapping[str, Any]) -> str:
    return f", after {row['setbacks']} failed attempts" if row["setbacks"] else ""


def _left(moved: Moved) -> str:
    if moved.drained and moved.status is RunStatus.QUEUED:
        return f"released({moved.status}, {moved.transitions} transitions)"
    reason = f"({moved.reason})" if moved.reason else ""
    return f"{moved.status}{reason}"
