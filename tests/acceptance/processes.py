"""The processes of an acceptance test: workers that can be killed, and the services whose books count.

Nothing here sleeps for luck: whoever waits, waits for a line, for the end of a process or for a fact.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from tests.acceptance.warm import started

from gatepost.examples.services import SERVICES_VARIABLE, KeyBooks, Services
from gatepost.state.effect import key_of

HERE = Path(__file__).parent
ENDPOINTS = ("documents", "screenings", "decisions")
"""What a review calls, in the order of its steps."""


class Worker:
    """A worker process; leaving the block kills it."""

    def __init__(self, *options: str, environment: Mapping[str, str]) -> None:
        command = [sys.executable, str(HERE / "worker.py"), *options]
        self._process = started(command, cwd=Path.cwd(), env=environment, stderr=2, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def tell(self, verb: str, run: str, answer: Mapping[str, Any] | None = None) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"verb": verb, "run": run, "answer": answer}) + "\n")
        self._process.stdin.flush()

    def report(self) -> dict[str, Any]:
        """Wait for the report on the oldest command."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the worker ended with {self._process.wait()} and no report"
        report: dict[str, Any] = json.loads(line)
        return report

    def do(self, verb: str, run: str, answer: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a command and wait for its report."""
        self.tell(verb, run, answer)
        return self.report()

    def kill(self) -> None:
        """SIGKILL it, by its own handle, and wait until it is gone."""
        self._process.kill()
        self.ended()

    def stop(self) -> None:
        """SIGSTOP it: it is there, and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT it: it goes on as if no time had passed."""
        self._process.send_signal(signal.SIGCONT)

    def ended(self) -> int:
        """Wait until it has ended by itself; its exit status, minus the signal where one killed it."""
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        return status


class Office:
    """Where a test's workers work: one database, one set of services."""

    def __init__(self, *, database: str, services: Services, url: str) -> None:
        self.services = services
        self._environment = {**os.environ, "GATEPOST_DATABASE_URL": database, SERVICES_VARIABLE: url}
        self._hired = ExitStack()

    def hire(self, *options: str) -> Worker:
        """A new worker process; what a test leaves alive is killed at its end."""
        return self._hired.enter_context(Worker(*options, environment=self._environment))

    def lines(self, script: str) -> list[str]:
        """What another script of this folder prints, run to its end."""
        command = [sys.executable, str(HERE / script)]
        return subprocess.check_output(command, env=self._environment, text=True).splitlines()

    def books(self, run: str, step: str) -> KeyBooks:
        """What the services' own books say about the key of a step."""
        key = key_of(tenant="local", root_run=run, step=step)
        found = [endpoint["by_key"][key] for endpoint in self.services.books(key=key).values() if endpoint["by_key"]]
        assert len(found) <= 1
        return found[0] if found else {"attempts": 0, "effects": 0, "deduplicated": 0, "statuses": []}

    def acts(self) -> dict[str, int]:
        """How often each endpoint has acted, whatever the key."""
        books = self.services.books()
        return {endpoint: books[endpoint]["effects"] for endpoint in ENDPOINTS}

    def close(self) -> None:
        """Kill the workers that are left."""
        self._hired.close()


@contextmanager
def serving(book: Path) -> Iterator[str]:
    """The example services as a process with books of their own; gives their URL."""
    command = [sys.executable, "-m", "gatepost.examples.services", "--book", str(book), "--idle-exit", "120"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def wait_until(fact: Callable[[], bool], *, seconds: float = 60) -> None:
    """Return as soon as a fact holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
