"""The measurement: every row at every number of runs, turn about, on one server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Self

import psycopg

from bench.crew import Crew, Stretch
from bench.figures import Result, Series
from bench.profile import Stacks, Watch
from bench.rows import Row
from bench.server import Server
from bench.worker import WARM_STEPS

STEPS = {1: 60, 8: 40, 32: 25}
FEW_STEPS = 20
TRANSITIONS = "SELECT seq FROM gatepost.run WHERE run_id = %s"
SUPERSTEPS = "SELECT count(*) FROM checkpoints WHERE thread_id = %s"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    levels: Sequence[int] = (1, 8, 32)
    """Runs at once."""
    rounds: int = 5
    processes: int = 2
    steps: Mapping[int, int] = field(default_factory=lambda: STEPS)
    """Steps of a run, by runs at once."""


Say = Callable[[str], None]


class Stand:
    """A server with a database for each row and a crew for each engine.

    Args:
        server: where.
        processes: of each crew.
    """

    def __init__(self, server: Server, processes: int) -> None:
        self.server = server
        self.processes = processes
        self._urls: dict[str, str] = {}
        self._crews: dict[str, Crew] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, row: Row) -> str:
        """The row's own database, with its tables made."""
        if row.name not in self._urls:
            self._urls[row.name] = self.server.database(row.name)
            self.crew(row).prepare(row.name, self._urls[row.name])
        return self._urls[row.name]

    def crew(self, row: Row) -> Crew:
        """The processes that drive a row."""
        if row.crew not in self._crews:
            self._crews[row.crew] = self._stack.enter_context(closing(Crew(self.processes)))
        return self._crews[row.crew]


def measure(stand: Stand, rows: Sequence[Row], size: Size, *, disk: str, say: Say) -> Result:
    """Measure the rows, round by round, so that all see the same weather."""
    found = {(runs, row.name): Series(row, runs) for runs in size.levels for row in rows}
    for runs, turn, row in itertools.product(size.levels, range(size.rounds), rows):
        say(f"{runs} at once, round {turn + 1} of {size.rounds}: {row.name}")
        steps, series = size.steps.get(runs, FEW_STEPS), found[runs, row.name]
        ids = [f"{runs}-{turn}-{index}" for index in range(runs)]
        url = stand.url(row)
        stretches = stand.crew(row).measure(stand.server, row.name, url, runs=ids, stops=(0, steps))
        series.stretches += stretches
        if series.transitions is None:
            series.transitions = transitions(url, row, ids[0], steps + 1)
    return Result(disk, stand.processes, list(found.values()))


def watch(stand: Stand, row: Row, runs: int, steps: int) -> tuple[Stretch, Stacks]:
    """Measure once for the time, and again to look at where the processes spend it: being looked at takes time."""
    plain = [f"plain-{runs}-{steps}-{index}" for index in range(runs)]
    (stretch,) = stand.crew(row).measure(stand.server, row.name, stand.url(row), runs=plain, stops=(0, steps))
    ids = [f"watched-{runs}-{steps}-{index}" for index in range(runs)]
    seen: list[Stacks] = []
    watching = Watch(stand.crew(row).processes[:runs])

    def at_stop(stop: int) -> None:
        if stop == 0:
            watching.start()
        else:
            seen.append(watching.stop())

    stand.crew(row).measure(stand.server, row.name, stand.url(row), runs=ids, stops=(0, steps), at_stop=at_stop)
    return stretch, seen[0]


def transitions(url: str, row: Row, run: str, steps: int) -> float | None:
    """How many supersteps a step takes: what a longer run had more than the short one that warmed up."""
    if row.crew not in ("gatepost", "stock"):
        return None
    if row.name == "bare":
        return 1.0
    query = TRANSITIONS if row.crew == "gatepost" else SUPERSTEPS
    with psycopg.connect(url) as connection:
        long, short = (int((connection.execute(query, [name]).fetchone() or (0,))[0]) for name in (run, f"warm-{run}"))
    return (long - short) / (steps - WARM_STEPS)
