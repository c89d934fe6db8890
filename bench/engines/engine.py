"""What an engine is to the bench: something that drives runs of so many steps, and calls the marks in each."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from bench.marks import Marks

TEXT = "x" * 200
"""What each step is given and gives back: small, as positions and receipts are."""
PAGE = 50
"""Of a history."""


def varied(index: int) -> str:
    """As long as `TEXT`, and another for each step, which no compression makes small."""
    return "".join(hashlib.sha256(f"{index}/{part}".encode()).hexdigest() for part in range(4))[: len(TEXT)]


class Engine(Protocol):
    """One way of running steps."""

    def prepare(self, url: str) -> None:
        """Make its tables, once per database."""

    def open(self, url: str, *, width: int) -> None:
        """Connect, with at most `width` connections: one for each run at once."""

    def drive(self, runs: Sequence[str], steps: int, marks: Marks) -> None:
        """Drive all runs at once, each to its end."""

    def close(self) -> None:
        """Disconnect."""


class Resumable(Engine, Protocol):
    """An engine of which the growth of one long run is measured."""

    def build(self, steps: int, marks: Marks) -> None:
        """Make the graph that the following ask."""

    def resume(self, run: str) -> None:
        """Go on with a run whose process was killed, to its end."""

    def state(self, run: str) -> object:
        """What a reader is shown of the run."""

    def page(self, run: str) -> int:
        """Read the newest `PAGE` checkpoints; how many there were."""


def in_threads(work: Callable[[str], Any], runs: Sequence[str], marks: Marks) -> None:
    """Drive runs at once from sync code: a thread for each."""

    def one(run: str) -> None:
        with marks.run():
            work(run)

    with ThreadPoolExecutor(len(runs)) as threads:
        for done in [threads.submit(one, run) for run in runs]:
            done.result()


async def in_tasks(work: Callable[[str], Awaitable[Any]], runs: Sequence[str], marks: Marks) -> None:
    """Drive runs at once on one event loop."""

    async def one(run: str) -> None:
        with marks.run():
            await work(run)

    await asyncio.gather(*(one(run) for run in runs))
