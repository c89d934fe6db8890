"""Marks: the places inside a run's steps where every run of a measurement waits for the others.

What lies between two marks is exactly so many steps of so many runs: starting a run, finishing it and
warming up are outside. The same two marks are inside the steps of every engine, so none is favoured.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress


class GaveUp(Exception):
    """Raised in the runs that wait for one that failed."""


class Marks:
    """Where the runs of one process wait.

    Args:
        runs: how many runs will arrive at each mark.
        stops: the steps (by index, from 0) in which a run waits.
        arrived: called, in whichever thread came last, when all runs wait at a stop.
        failed: called with what went wrong, once, as soon as a run ends otherwise than it should.
    """

    def __init__(
        self,
        runs: int,
        stops: Sequence[int],
        arrived: Callable[[int], None],
        failed: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._runs = runs
        self._arrived = arrived
        self._failed = failed
        self._broken = False
        self._gates: dict[int, Future[None]] = {stop: Future() for stop in stops}
        self._waiting = dict.fromkeys(stops, 0)
        self._lock = threading.Lock()

    def release(self, stop: int) -> None:
        """Let the runs that wait at a stop go on."""
        self._gates[stop].set_result(None)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Around each run: where one fails, the others are not left waiting for it."""
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise

    def fail(self, error: BaseException) -> None:
        """Something broke: nobody is to wait for ever, and the bench hears of the first cause."""
        with self._lock:
            first, self._broken = not self._broken, True
            waiting = [gate for gate in self._gates.values() if not gate.done()]
        if first:
            self._failed(error)
        for gate in waiting:
            with suppress(InvalidStateError):
                gate.set_exception(GaveUp("another run of this measurement failed"))

    def at(self, step: int) -> None:
        """Called by each step of sync code."""
        if (gate := self._gate(step)) is not None:
            gate.result()

    async def at_async(self, step: int) -> None:
        """Called by each step of async code."""
        if (gate := self._gate(step)) is not None:
            await asyncio.wrap_future(gate)

    def _gate(self, step: int) -> Future[None] | None:
        gate = self._gates.get(step)
        if gate is None:
            return None
        with self._lock:
            self._waiting[step] += 1
            complete = self._waiting[step] == self._runs
        if complete:
            self._arrived(step)
        return gate


class NoMarks(Marks):
    """For warming up: nobody waits."""

    def __init__(self) -> None:
        super().__init__(0, (), lambda _: None)
