"""Tries to make the bench rot, hang or leave a server behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from glob import glob
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCH = [sys.executable, "-m", "bench", "--quick", "--at", "1"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because a socket's path may not be long."""
    made = Path(tempfile.mkdtemp(prefix="gpb-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_it_measures_and_counts(folder: Path) -> None:
    command = [*BENCH, "--rows", "floor,stock,transition,effect", f"--out={folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (table,) = json.loads((folder / "numbers.json").read_text())
    commits = {(row["row"], row["runs"]): row["commits_per_step"] for row in table["rows"]}
    assert {row for row, _ in commits} == {"floor", "stock", "transition", "effect"}
    assert commits["floor", 1] == 1
    assert commits["stock", 1] == 2
    assert commits["transition", 1] == 1
    assert commits["effect", 1] == 1  # all of the steps were judged at once, and the intents travel with the results
    assert "| 1 | INSERT + COMMIT | sync |" in (folder / "table.md").read_text()


def test_it_times_the_way_through_the_service(folder: Path) -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--service", f"--out={folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "| approved → step started" in (folder / "service.md").read_text()


class Lame:
    """One of its runs fails while the others wait for it."""

    def prepare(self, url: str) -> None:
        """It has no tables."""

    def open(self, url: str, *, width: int) -> None:
        """It has no connections."""

    def close(self) -> None:
        """Ditto."""

    def drive(self, runs: Sequence[str], steps: int, marks: Any) -> None:
        from bench.engines.engine import in_threads  # noqa: PLC0415

        def one(run: str) -> None:
            for step in range(steps):
                if run == "lame" and step == 5:
                    raise RuntimeError("it went lame")
                marks.at(step)

        in_threads(one, runs, marks)


@pytest.mark.parametrize("last", [0, 1, 2])
def test_a_run_that_fails_fails_the_measurement_at_once(last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)  # the bench is not installed
    from bench.crew import Broken, _all  # noqa: PLC0415
    from bench.worker import Task, answer  # noqa: PLC0415

    ours, theirs = Pipe()
    pipes: Any = [ours]
    worker = threading.Thread(target=answer, args=(theirs, lambda _: Lame()), daemon=True)
    worker.start()
    runs = ["a", "b"]
    runs.insert(last, "lame")
    ours.send(Task("lame", "", runs, steps=6, stops=(0, 5)))
    _all(pipes, "arrived", 0)
    ours.send(("release", 0))
    _all(pipes, "left", 0)
    with pytest.raises(Broken, match="it went lame"):
        _all(pipes, "arrived", 5)
    ours.close()
    worker.join(10)
    assert not worker.is_alive()


def test_a_measurement_that_is_ended_leaves_nothing_behind(folder: Path) -> None:
    environment: dict[str, Any] = {**os.environ, "TMPDIR": str(folder)}
    bench = subprocess.Popen(
        [*BENCH, "--rows=stock", "--steps=100000", f"--out={folder}/out"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    databases = str(Path("gatepost-bench-*", "home", "*", "base", "*"))
    while len(glob(databases, root_dir=folder)) < 4:  # noqa: PTH207 (Path.glob raises where a folder vanishes)
        assert time.monotonic() < deadline
        assert bench.poll() is None
        time.sleep(0.02)
    bench.send_signal(signal.SIGTERM)
    assert bench.wait(60) == 128 + signal.SIGTERM
    assert list(folder.iterdir()) == []  # stopped: only then its folder is deleted
