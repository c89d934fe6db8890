"""Growth: one long run by itself, killed in its last step and resumed by another process.

What is measured is what a long run makes dear where an engine carries its past along: bytes a step, memory, the
time to take a run up again, and the time to look at it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from bench.counts import Counter
from bench.crew import Broken
from bench.engines.engine import Resumable
from bench.marks import Marks
from bench.server import Server
from bench.worker import Reading

SIZES = (100, 1000, 10_000)
FEW = (20, 60)
STOCK_MOST = 3000
"""LangGraph writes all of a growing list at each step: ten thousand steps were more than ten gigabytes."""
LEASE = timedelta(seconds=2)
RUN = "growing"
KILLED = 137


@dataclass(frozen=True, slots=True)
class Line:
    """One engine, and what may be asked of it."""

    name: str
    title: str
    make: Callable[[], Resumable]
    most: int | None = None
    """Steps; more are not tried."""


@dataclass(frozen=True, slots=True)
class Grown:
    """One run of so many steps."""

    line: str
    title: str
    steps: int
    seconds: float
    table_bytes: float
    """Per step, indexes included."""
    wal_bytes: float
    """Per step."""
    peak_bytes: int
    """The largest of the two processes that moved it."""
    resume_seconds: float
    """From the call to the step in which the run had been killed."""
    state_seconds: float
    page_seconds: float
    """The newest checkpoints of its history."""


def lines() -> list[Line]:
    """What is compared."""
    return [
        Line("gatepost", "Gatepost: effect steps", _ours),
        Line("gatepost-boundaries", "Gatepost: effect steps, checkpoints at boundaries", _ours_at_boundaries),
        Line("stock", "LangGraph, PostgresSaver: a list that grows", _stock, STOCK_MOST),
    ]


def grow(server: Server, sizes: Sequence[int], *, say: Callable[[str], None]) -> list[Grown]:
    """Measure every line at every size.

    Raises:
        Broken: a process failed.
    """
    found = []
    for line in lines():
        for steps in dict.fromkeys(min(size, line.most or size) for size in sizes):
            say(f"{line.name}, {steps} steps")
            found.append(measured(server, line, steps))
    return found


def measured(server: Server, line: Line, steps: int) -> Grown:
    """One run, in a database of its own."""
    url = server.database(f"grow_{line.name}_{steps}")
    _in_a_process(_prepare, line, url, steps)
    with closing(Counter(server, url)) as counter:
        before = counter.now()
        told = _in_a_process(_move, line, url, steps)
        counted = counter.between(before, counter.now())
        time.sleep(LEASE.total_seconds())  # the dead owner's lease runs out
        looked = _in_a_process(_take_up, line, url, steps)
    return Grown(
        line=line.name,
        title=line.title,
        steps=steps,
        seconds=told["seconds"],
        table_bytes=counted.table_bytes / steps,
        wal_bytes=counted.wal_bytes / steps,
        peak_bytes=max(told["peak"], looked["peak"]),
        resume_seconds=looked["resume"],
        state_seconds=looked["state"],
        page_seconds=looked["page"],
    )


def _ours() -> Resumable:
    from bench.engines.engine import varied  # noqa: PLC0415
    from bench.engines.ours import Gatepost  # noqa: PLC0415
    from gatepost.checkpointing.runs import Lease  # noqa: PLC0415

    return Gatepost(effect="write", text=varied, lease=Lease(ttl=LEASE))


def _ours_at_boundaries() -> Resumable:
    from bench.engines.engine import varied  # noqa: PLC0415
    from bench.engines.ours import Gatepost  # noqa: PLC0415
    from gatepost.checkpointing.runs import Lease  # noqa: PLC0415

    return Gatepost(effect="write", text=varied, lease=Lease(ttl=LEASE), checkpoints="at_boundaries")


def _stock() -> Resumable:
    from bench.engines.stock import StockGrowing  # noqa: PLC0415

    return StockGrowing()


class _Last(Marks):
    """Calls back in the last step."""

    def __init__(self, steps: int, reached: Callable[[], None]) -> None:
        super().__init__(0, (), lambda _: None)
        self._last, self._reached = steps - 1, reached

    def at(self, step: int) -> None:
        if step == self._last:
            self._reached()

    async def at_async(self, step: int) -> None:
        self.at(step)


def _prepare(engine: Resumable, url: str, _steps: int, tell: Callable[[Any], None]) -> None:
    engine.prepare(url)
    tell({})


def _move(engine: Resumable, url: str, steps: int, tell: Callable[[Any], None]) -> None:
    def reached() -> None:
        tell({"seconds": time.monotonic() - start, "peak": Reading.now().peak_bytes})
        os._exit(KILLED)

    engine.open(url, width=2)
    start = time.monotonic()
    engine.drive([RUN], steps, _Last(steps, reached))


def _take_up(engine: Resumable, url: str, steps: int, tell: Callable[[Any], None]) -> None:
    resumed: list[float] = []
    engine.open(url, width=2)
    engine.build(steps, _Last(steps, lambda: resumed.append(time.monotonic() - start)))
    start = time.monotonic()
    engine.resume(RUN)
    start = time.monotonic()
    engine.state(RUN)
    seen = time.monotonic()
    engine.page(RUN)
    tell(
        {
            "resume": resumed[0],
            "state": seen - start,
            "page": time.monotonic() - seen,
            "peak": Reading.now().peak_bytes,
        }
    )
    engine.close()


def _in_a_process(work: Callable[..., None], line: Line, url: str, steps: int) -> dict[str, Any]:
    """Memory is counted by process, so each gets its own; gives what it tells."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_process, args=(work, line.make, url, steps, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        told: dict[str, Any] = ours.recv()
    except EOFError:
        raise Broken(f"{line.name}, {steps} steps: its process died; what it said is above") from None
    finally:
        process.join(60)
        process.kill()
    return told


def _process(work: Callable[..., None], make: Callable[[], Resumable], url: str, steps: int, pipe: Connection) -> None:
    work(make(), url, steps, pipe.send)
