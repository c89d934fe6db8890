"""A process of a crew: drives its share of the runs, and reports when they wait at a mark.

It speaks with the bench over a pipe: `measure` comes in, `arrived` goes out for each stop and `release`
answers it, `done` ends a measurement, `failed` ends everything.
"""

from __future__ import annotations

import gc
import resource
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bench.engines.engine import Engine
from bench.marks import Marks, NoMarks
from bench.rows import engine_of

WARM_STEPS = 3


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is asked to measure; without runs, to make the row's tables."""

    row: str
    url: str
    runs: Sequence[str] = ()
    steps: int = 0
    stops: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A process's own clocks when its runs came to a stop, or left it."""

    at: float
    cpu_seconds: float
    peak_bytes: int

    @classmethod
    def now(cls) -> Reading:
        """Read the clocks; `at` is the same clock in every process of a machine."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(time.monotonic(), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def serve(pipe: Connection) -> None:
    """Do what comes over the pipe until it closes."""
    engines: dict[str, Engine] = {}
    while (task := _received(pipe)) is not None:
        try:
            if task.row not in engines:
                engines[task.row] = engine_of(task.row)
            if task.runs:
                _measure(pipe, engines[task.row], task)
            else:
                engines[task.row].prepare(task.url)
                pipe.send(("done", None))
        except Exception:  # noqa: BLE001  told to the bench, which ends
            pipe.send(("failed", traceback.format_exc()))


def _received(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        return None


def _measure(pipe: Connection, engine: Engine, task: Task) -> None:
    engine.open(task.url, width=len(task.runs))
    try:
        engine.drive([f"warm-{run}" for run in task.runs], WARM_STEPS, NoMarks())
        gc.collect()
        _drive(pipe, engine, task)
    finally:
        engine.close()
    pipe.send(("done", None))


def _drive(pipe: Connection, engine: Engine, task: Task) -> None:
    """Drive in another thread, so that this one hears what comes over the pipe."""

    def arrived(stop: int) -> None:
        pipe.send(("arrived", stop, Reading.now()))

    marks = Marks(len(task.runs), task.stops, arrived)
    failed: list[BaseException] = []

    def drive() -> None:
        try:
            engine.drive(task.runs, task.steps, marks)
        except BaseException as error:  # noqa: BLE001  it is raised below
            failed.append(error)
            pipe.send(("failed", "".join(traceback.format_exception(error))))

    driver = threading.Thread(target=drive, daemon=True)
    driver.start()
    for stop in task.stops:
        if pipe.recv() != ("release", stop):
            marks.fail(RuntimeError("the bench gave up"))
            break
        pipe.send(("left", stop, Reading.now()))  # before they go: then this thread only listens
        marks.release(stop)
    driver.join()
    if failed:
        raise RuntimeError("the measurement failed") from failed[0]
