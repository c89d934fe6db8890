"""A process of a crew: drives its share of the runs, and reports when they wait at a mark.

It speaks with the bench over a pipe: a task comes in, `arrived` goes out for each stop and `release`
answers it, `done` ends a measurement, `failed` ends everything: at once, while other runs still wait.
"""

from __future__ import annotations

import faulthandler
import gc
import resource
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bench, which closes the pipe
    faulthandler.register(signal.SIGUSR1)
    answer(pipe, engine_of)


def answer(pipe: Connection, engine_of: Callable[[str], Engine]) -> None:
    """As `serve`, with the engines that are given."""
    engines: dict[str, Engine] = {}
    with suppress(EOFError, BrokenPipeError):
        while True:
            task = pipe.recv()
            try:
                if task.row not in engines:
                    engines[task.row] = engine_of(task.row)
                if task.runs:
                    _measure(pipe, engines[task.row], task)
                else:
                    engines[task.row].prepare(task.url)
                    pipe.send(("done", None))
            except (EOFError, BrokenPipeError):
                raise
            except Exception:  # noqa: BLE001  told to the bench, which ends
                pipe.send(("failed", traceback.format_exc()))


def _measure(pipe: Connection, engine: Engine, task: Task) -> None:
    engine.open(task.url, width=len(task.runs))
    try:
        engine.drive([f"warm-{run}" for run in task.runs], WARM_STEPS, NoMarks())
        gc.unfreeze()
        gc.collect()
        # As `gatepost worker` does: no collection looks through the libraries again, nor through every 700 objects.
        gc.freeze()
        gc.set_threshold(50_000, *gc.get_threshold()[1:])
        _drive(pipe, engine, task)
    finally:
        engine.close()
    pipe.send(("done", None))


def _drive(pipe: Connection, engine: Engine, task: Task) -> None:
    """Drive in another thread, so that this one hears what comes over the pipe."""
    told: list[BaseException] = []

    def arrived(stop: int) -> None:
        pipe.send(("arrived", stop, Reading.now()))

    def failed(error: BaseException) -> None:
        told.append(error)
        pipe.send(("failed", "".join(traceback.format_exception(error))))

    marks = Marks(len(task.runs), task.stops, arrived, failed)

    def drive() -> None:
        with suppress(BaseException), marks.run():
            engine.drive(task.runs, task.steps, marks)

    driver = threading.Thread(target=drive, daemon=True)
    driver.start()
    for stop in task.stops:
        if pipe.recv() != ("release", stop):
            break
        pipe.send(("left", stop, Reading.now()))  # before they go: then this thread only listens
        marks.release(stop)
    driver.join()
    if told:
        raise EOFError  # the bench knows, and listens no more
