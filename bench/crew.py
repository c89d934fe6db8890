"""A crew: the processes that drive one engine, and one measurement with them.

Every engine has the same number of processes. They stay for the whole bench, idle and disconnected
while another crew is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from bench.counts import Counted, Counter, Moment
from bench.server import Server
from bench.worker import Reading, Task, serve

SILENCE_SECONDS = 300.0
"""A measurement in which nothing arrives anywhere for so long has failed."""


class Broken(Exception):
    """A measurement that cannot be used."""


class Silent(Broken):
    """Nothing came."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What lies between two marks: so many steps of so many runs."""

    steps: int
    """Of all runs together."""
    runs: int
    seconds: float
    client_seconds: float
    """CPU time of the crew."""
    peak_bytes: int
    """The largest process of the crew so far."""
    counted: Counted


class Crew:
    """The processes of one engine.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._members = []
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))

    def close(self) -> None:
        """End the processes."""
        for _, pipe in self._members:
            pipe.close()
        for process, _ in self._members:
            process.join(3)
            if process.is_alive():
                process.kill()

    def prepare(self, row: str, url: str) -> None:
        """Make a row's tables.

        Raises:
            Broken: it did not work.
        """
        _, pipe = self._members[0]
        pipe.send(Task(row, url))
        _all([pipe], "done")

    @property
    def processes(self) -> list[int]:
        """Their ids."""
        return [process.pid for process, _ in self._members if process.pid is not None]

    def measure(
        self,
        server: Server,
        row: str,
        url: str,
        *,
        runs: Sequence[str],
        stops: Sequence[int],
        at_stop: Callable[[int], None] = lambda _: None,
    ) -> list[Stretch]:
        """Drive runs at once, spread over the processes; one stretch between each two stops.

        Args:
            server: where.
            row: what.
            url: the row's database.
            runs: ids of new runs.
            stops: the steps in which all wait for each other.
            at_stop: called while they do.

        Raises:
            Broken: a process failed.
        """
        try:
            return self._measure(server, row, url, runs, stops, at_stop)
        except Silent as error:
            for process in self.processes:
                os.kill(process, signal.SIGUSR1)
            raise Broken(f"{row}, {len(runs)} at once: {error}; what its threads do is told above") from None
        except Broken as error:
            raise Broken(f"{row}, {len(runs)} at once: {error}") from None

    def _measure(
        self,
        server: Server,
        row: str,
        url: str,
        runs: Sequence[str],
        stops: Sequence[int],
        at_stop: Callable[[int], None],
    ) -> list[Stretch]:
        shares = [runs[index :: len(self._members)] for index in range(len(self._members))]
        pipes = [pipe for (_, pipe), share in zip(self._members, shares, strict=True) if share]
        for pipe, share in zip(pipes, shares, strict=False):
            pipe.send(Task(row, url, share, stops[-1] + 1, stops))
        with closing(Counter(server, url)) as counter:
            arrived, left, moments = [], [], []
            for stop in stops:
                arrived.append(_all(pipes, "arrived", stop))
                moments.append(counter.now())
                at_stop(stop)
                for pipe in pipes:
                    pipe.send(("release", stop))
                left.append(_all(pipes, "left", stop))
            _all(pipes, "done")
            return [
                _stretch(counter, len(runs), stops[at : at + 2], moments[at : at + 2], left[at], arrived[at + 1])
                for at in range(len(stops) - 1)
            ]


def _stretch(
    counter: Counter,
    runs: int,
    stops: Sequence[int],
    moments: Sequence[Moment],
    left: Sequence[Reading],
    arrived: Sequence[Reading],
) -> Stretch:
    return Stretch(
        steps=runs * (stops[1] - stops[0]),
        runs=runs,
        seconds=max(reading.at for reading in arrived) - min(reading.at for reading in left),
        client_seconds=sum(end.cpu_seconds - start.cpu_seconds for start, end in zip(left, arrived, strict=True)),
        peak_bytes=max(reading.peak_bytes for reading in arrived),
        counted=counter.between(moments[0], moments[1]),
    )


def _all(pipes: Sequence[Connection], *expected: Any) -> list[Any]:
    """Wait for the same message from every process; returns what each said besides."""
    said: dict[Connection, Any] = {}
    while len(said) < len(pipes):
        heard = wait([pipe for pipe in pipes if pipe not in said], timeout=SILENCE_SECONDS)
        if not heard:
            raise Silent(f"no {' '.join(map(str, expected))!r} came for {SILENCE_SECONDS:.0f} s")
        for pipe in heard:
            assert isinstance(pipe, Connection)
            try:
                message = pipe.recv()
            except EOFError:
                raise Broken("a process of the bench died") from None
            if message[0] == "failed":
                raise Broken(message[1])
            if message[: len(expected)] != expected:
                raise Broken(f"{message!r} came, {expected!r} was expected")
            said[pipe] = message[-1]
    return [said[pipe] for pipe in pipes]
