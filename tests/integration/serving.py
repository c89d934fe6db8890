"""The service as a process of its own, and people who call it, each with a key."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from tests.acceptance.warm import COMMAND, started

from gatepost import Checkpointer
from gatepost.checkpointing.keys import SCOPES, Keys, NewKey

HERE = Path(__file__).parent
SECONDS = 20.0


class Person:
    """Somebody with a key."""

    def __init__(self, key: NewKey, url: str) -> None:
        self.key = key
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key.secret}"}, timeout=SECONDS)

    def get(self, path: str, **options: Any) -> Any:
        """What is there."""
        answer = self.http.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def start(self, goal: str = "sell", **given: Any) -> str:
        """Start a run; its id."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        answer = self.http.post("/v1/runs", json={"goal": goal, "input": given}, headers=key)
        assert answer.status_code == 202, answer.text
        run: str = answer.json()["id"]
        return run

    def wait(self, run: str, *statuses: str) -> dict[str, Any]:
        """Follow the events of a run until it stands so."""
        with self.http.stream("GET", f"/v1/runs/{run}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:") and any(f'"status": "{status}"' in line for status in statuses):
                    break
        found: dict[str, Any] = self.get(f"/v1/runs/{run}")
        return found if found["status"] in statuses else self.wait(run, *statuses)

    def asked(self, run: str) -> dict[str, Any]:
        """The question at which a run stands."""
        (asked,) = self.wait(run, "blocked")["approvals"]
        found: dict[str, Any] = self.get(f"/v1/approvals/{asked}")
        return found

    def decide(self, approval: str, **answer: Any) -> httpx.Response:
        """Answer."""
        return self.http.post(f"/v1/approvals/{approval}/decision", json=answer)


class Served:
    """A service that answers."""

    def __init__(self, url: str, hall: Checkpointer, book: Path) -> None:
        self.url = url
        self.hall = hall
        self.keys = Keys(hall.pools)
        self.log = book.with_name("log")
        """What it said on stderr."""
        self._book = book
        self._people: list[Person] = []

    def key(self, principal: str, *, tenant: str = "local", scopes: Iterable[str] = SCOPES) -> NewKey:
        """Make a key."""
        made = self.keys.create(
            tenant=tenant, principal=principal, scopes=scopes, lasts=timedelta(hours=1), created_by="test"
        )
        return self.hall.bridge.run(made)

    def person(self, principal: str, *, tenant: str = "local", scopes: Iterable[str] = SCOPES) -> Person:
        """Somebody with a key."""
        self._people.append(Person(self.key(principal, tenant=tenant, scopes=scopes), self.url))
        return self._people[-1]

    def calls(self) -> list[str]:
        """The idempotency keys of the calls that reached the provider."""
        return self._book.read_text(encoding="utf-8").split() if self._book.exists() else []

    def close(self) -> None:
        """Hang up."""
        for person in self._people:
            person.http.close()


@contextmanager
def service(database: str, hall: Checkpointer, folder: Path, *options: str, **environ: str) -> Iterator[Served]:
    """A service with a worker, until the block ends."""
    book = folder / "book"
    command = [*COMMAND, "--workflows", "counter:WORKFLOWS"]
    log = (folder / "log").open("w+", encoding="utf-8")
    process = started(
        [*command, "serve", "--port", "0", "--with-worker", *options],
        cwd=HERE,
        env={
            **os.environ,
            "GATEPOST_DATABASE_URL": database,
            "COUNTER_BOOK": str(book),
            "GATEPOST_REPLAY_ENV": "COUNTER_BOOK",
            **environ,
        },
        stdin=subprocess.DEVNULL,
        stderr=log.fileno(),
        text=True,
    )
    assert process.stdout is not None
    served, reader = None, threading.Thread()
    try:
        line = next((line for line in process.stdout if line.startswith("serving")), "")
        found = re.search(r"http://\S+", line)
        assert found, (folder / "log").read_text()
        reader = threading.Thread(target=process.stdout.read)
        reader.start()
        served = Served(found[0], hall, book)
        yield served
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()
        if served:
            reader.join()
        process.stdout.close()
        log.close()
        if served:
            served.close()
