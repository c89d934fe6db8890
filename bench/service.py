"""How long people and programs wait for the service: it and a worker as processes of their own, one caller.

Everything by the clock that the processes of a machine share. The worker is idle before each round trip.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from bench.counter import POLICY
from bench.crew import Broken
from bench.server import Server
from gatepost.checkpointing.address import resolve
from gatepost.checkpointing.keys import SCOPES, Keys
from gatepost.checkpointing.migrate import migrate
from gatepost.checkpointing.pool import Pools

SECONDS = 20.0
REST_SECONDS = 0.05
"""Between two round trips, so that the worker has let go of the run before."""
WARM = 5
BEGAN = """
SELECT (record #>> '{output,began}')::float8 FROM gatepost.step WHERE run_id = %s AND status = 'succeeded'
"""


@dataclass(frozen=True, slots=True)
class Wait:
    """What somebody waited for, in milliseconds each time."""

    what: str
    most_ms: float | None
    """What is promised of the median."""
    each_ms: Sequence[float]

    @property
    def ms(self) -> float:
        """The median."""
        return statistics.median(self.each_ms)

    @property
    def kept(self) -> bool:
        """Whether it is as promised."""
        return self.most_ms is None or self.ms < self.most_ms


class Caller:
    """Somebody with a key."""

    def __init__(self, url: str, secret: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=SECONDS)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def start(self, goal: str) -> str:
        """Start a run; its id."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        run: str = self._said(self._http.post("/v1/runs", json={"goal": goal}, headers=key))["id"]
        return run

    def until(self, run: str, *statuses: str) -> None:
        """Follow the events of a run until it stands so."""
        with self._http.stream("GET", f"/v1/runs/{run}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:") and json.loads(line[5:]).get("status") in statuses:
                    return
        raise Broken(f"the events of run {run} ended before it stood at {' or '.join(statuses)}")

    def question(self, run: str) -> str:
        """The approval that a run waits for."""
        (asked,) = self._said(self._http.get(f"/v1/runs/{run}"))["approvals"]
        return str(asked)

    def approve(self, approval: str) -> None:
        """Say yes."""
        self._said(self._http.post(f"/v1/approvals/{approval}/decision", json={"type": "approve"}))

    def _said(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            raise Broken(f"the service answered {answer.status_code}: {answer.text}")
        return answer.json()


def waits(server: Server, times: int) -> list[Wait]:
    """Measure them.

    Args:
        server: where.
        times: how often each.

    Raises:
        Broken: something did not answer, or not as it should.
    """
    url = server.database("service")
    migrate(resolve(url))
    with _serving(url) as caller, psycopg.connect(url, autocommit=True) as connection:

        def began(run: str) -> float:
            row = connection.execute(BEGAN, [run]).fetchone()
            assert row is not None
            return float(row[0])

        answered = [_answered(caller, began) for _ in range(WARM + times)][WARM:]
        done = [_done(caller) for _ in range(WARM + times)][WARM:]
    return [
        Wait("approved → step started, from the answer to the decision", 100.0, [after for _, after in answered]),
        Wait("the same, from sending the decision", None, [before for before, _ in answered]),
        Wait("submitted → completed, a run of one step, followed by its events", 60.0, done),
    ]


def show_waits(found: Sequence[Wait], disk: str, console: Console) -> None:
    """Print them."""
    table = Table(title=f"The service; {disk}", title_justify="left", pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == COLUMNS[0] else "right")
    for one in found:
        table.add_row(*_cells(one))
    console.print(table)


def waits_page(found: Sequence[Wait], disk: str) -> str:
    """The same as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    lines += ["| " + " | ".join(_cells(one)) + " |" for one in found]
    return f"{disk}; a worker in another process, idle before\n\n" + "\n".join(lines) + "\n"


COLUMNS = ("", "promised, p50 ms", "p50 ms", "p95 ms", "best ms", "times")


def _cells(one: Wait) -> list[str]:
    ordered = sorted(one.each_ms)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    promised = "" if one.most_ms is None else f"under {one.most_ms:.0f}, {'kept' if one.kept else 'not kept'}"
    return [one.what, promised, f"{one.ms:.1f}", f"{late:.1f}", f"{ordered[0]:.1f}", str(len(ordered))]


def _answered(caller: Caller, began: Callable[[str], float]) -> tuple[float, float]:
    run = caller.start("asked")
    caller.until(run, "blocked")
    approval = caller.question(run)
    time.sleep(REST_SECONDS)
    sent = time.monotonic()
    caller.approve(approval)
    answered = time.monotonic()
    caller.until(run, "succeeded")
    started = began(run)
    return 1000 * (started - sent), 1000 * (started - answered)


def _done(caller: Caller) -> float:
    time.sleep(REST_SECONDS)
    sent = time.monotonic()
    caller.until(caller.start("straight"), "succeeded")
    return 1000 * (time.monotonic() - sent)


@contextmanager
def _serving(url: str) -> Iterator[Caller]:
    """A service and a worker, each a process of its own, and somebody who calls."""
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as made:
        folder = Path(made)
        (folder / "policy").write_text(POLICY)
        worker = _process(url, folder, "worker")
        service = _process(url, folder, "serve", "--port", "0")
        try:
            _line(worker, "[worker]")
            found = re.search(r"http://\S+", _line(service, "serving"))
            assert found is not None
            caller = Caller(found[0], asyncio.run(_key(url)))
            try:
                yield caller
            finally:
                caller.close()
        finally:
            for process in (worker, service):
                process.terminate()
            for process in (worker, service):
                process.wait(SECONDS)
                assert process.stdout is not None
                process.stdout.close()


def _process(url: str, folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gatepost.service.cli.app", "--workflows", "bench.counter:WORKFLOWS"]
    return subprocess.Popen(
        [*command, "--policy", str(folder / "policy"), *words],
        env={**os.environ, "GATEPOST_DATABASE_URL": url, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _line(process: subprocess.Popen[str], beginning: str) -> str:
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        if line.startswith(beginning):
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop it
            return line
        heard.append(line)
    raise Broken(f"a process did not start:\n{''.join(heard)}")


async def _key(url: str) -> str:
    pools = Pools(resolve(url))
    try:
        made = await Keys(pools).create(
            tenant="local", principal="bench", scopes=SCOPES, lasts=timedelta(hours=1), created_by="bench"
        )
    finally:
        await pools.close()
    return made.secret
