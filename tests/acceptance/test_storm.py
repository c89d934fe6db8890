"""A storm: workers are killed at random while runs charge a provider that loses answers, hangs, hangs up, wants fewer
calls and is out of order. Every run finishes, and the provider has charged each customer as often as was intended.

    GATEPOST_STORM_SECONDS=600 GATEPOST_STORM_SEED=7 pytest tests/acceptance/test_storm.py     a longer, another storm
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance import storm
from tests.acceptance.fleet import QUICK, Hand
from tests.acceptance.processes import HERE, wait_until
from tests.acceptance.shell import ALLOWED
from tests.acceptance.warm import COMMAND

from gatepost import Checkpointer, Policy, build_graph
from gatepost.examples.services import SERVICES_VARIABLE, Services
from gatepost.nodes.attempts import CUT_OFFS
from gatepost.state.effect import key_of
from gatepost.testing import Database

SECONDS = float(os.environ.get("GATEPOST_STORM_SECONDS", "6"))
SEED = int(os.environ.get("GATEPOST_STORM_SEED", "1"))
RUNS = 20
WORKERS = 2
KILLS = 4
"""At least so many workers die while they are at it."""
CHANCE = 0.05
WEATHER = 0.6
"""So many of the calls meet a fault."""
RETRY_AFTER = 1
CALM_SECONDS = 90.0
FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429, "retry_after": str(RETRY_AFTER)},
    {"kind": "delay_before", "seconds": 1.5},
    {"kind": "hang_after", "seconds": 1.5},
    {"kind": "reset_before"},
    {"kind": "reset_after"},
]
pytestmark = pytest.mark.timeout(SECONDS + 4 * CALM_SECONDS)


def test_every_customer_is_charged_as_often_as_was_intended(
    tmp_path: Path, checkpointer: Checkpointer, gatepost_database: Database, services_url: str
) -> None:
    dice = random.Random(SEED)
    shutil.copy(HERE / "storm.py", tmp_path)
    (tmp_path / "allow.cedar").write_text(ALLOWED)
    graph = build_graph(storm.WORKFLOWS, checkpointer, policy=Policy(ALLOWED))
    runs = [f"storm-{number}" for number in range(RUNS)]
    with Services(services_url) as services, ExitStack() as hired:

        def hire() -> Hand:
            return hired.enter_context(_worker(tmp_path, gatepost_database.url, services_url))

        hands, coming = [hire() for _ in range(WORKERS)], list(runs)
        killed = armed = 0
        until = time.monotonic() + SECONDS
        while time.monotonic() < until or coming or killed < KILLS:
            if armed < WEATHER * _seen(tmp_path / "books.sqlite") + WORKERS:
                services.fault("/charges", **dice.choice(FAULTS))
                armed += 1
            if coming and _under_way(checkpointer, runs) < WORKERS * 4:
                graph.admit({"goal": "storm"}, {"configurable": {"thread_id": coming.pop()}}, priority=0)
            victim = dice.randrange(WORKERS)
            if dice.random() < CHANCE and any("[claim]" in line for line in hands[victim].lines):
                hands[victim].kill()
                hands[victim], killed = hire(), killed + 1
            time.sleep(dice.uniform(0.0, 0.1))
            assert time.monotonic() < until + CALM_SECONDS, "the storm does not end"
        services.clear_faults()
        services.release()
        wait_until(lambda: _under_way(checkpointer, runs) == 0, seconds=CALM_SECONDS)
    assert {row["status"] for row in _rows(checkpointer, runs)} == {"succeeded"}
    calls = _calls(tmp_path / "books.sqlite")
    assert sum(map(len, calls.values())) > 2 * len(calls), "that was no storm"
    keys = [key_of(tenant="local", root_run=run, step=step) for run in runs for step in ("first", "second")]
    assert set(calls) == set(keys)
    for key in keys:
        _once_and_with_manners(key, calls[key])


def _once_and_with_manners(key: str, calls: list[tuple[datetime, int | None, str | None]]) -> None:
    """Booked once (the provider dedupes; its own table says so), bounded, and never sooner than it was asked."""
    assert len(calls) <= storm.ATTEMPTS + CUT_OFFS, key
    assert sum(status == 201 for _, status, _ in calls) >= 1, key
    for (asked, status, _), (again, _, _) in pairwise(calls):
        if status == 429:
            assert (again - asked).total_seconds() >= RETRY_AFTER, (key, calls)


def _calls(book: Path) -> dict[str, list[tuple[datetime, int | None, str | None]]]:
    """What reached the provider, by key; each key has acted once, or this raises."""
    with closing(sqlite3.connect(book, timeout=60)) as books:
        acts = dict(books.execute("SELECT key, count(*) FROM effects WHERE key IS NOT NULL GROUP BY key").fetchall())
        assert set(acts.values()) == {1}
        found: dict[str, list[tuple[datetime, int | None, str | None]]] = {key: [] for key in acts}
        for at, key, status, fault in books.execute("SELECT at, key, status, fault FROM calls ORDER BY id"):
            found.setdefault(key, []).append((datetime.fromisoformat(at), status, fault))
    return found


def _seen(book: Path) -> int:
    """How many calls have reached the provider."""
    with closing(sqlite3.connect(book, timeout=60)) as books:
        return int(books.execute("SELECT count(*) FROM calls WHERE endpoint = 'charges'").fetchone()[0])


def _worker(folder: Path, database: str, services: str) -> Hand:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")}
    environment = {
        **inherited,
        "GATEPOST_DATABASE_URL": database,
        SERVICES_VARIABLE: services,
        "PYTHONPATH": str(folder),
    }
    command = (*COMMAND, "--workflows", "storm:WORKFLOWS", "--policy", "allow.cedar", "worker", *QUICK)
    return Hand(*command, folder=folder, environment=environment)


def _rows(checkpointer: Checkpointer, runs: list[str]) -> list[dict[str, Any]]:
    return [checkpointer.bridge.run(checkpointer.runs.get(run, "local")) for run in runs]


def _under_way(checkpointer: Checkpointer, runs: list[str]) -> int:
    """How many of them were started and have not ended."""
    rows = checkpointer.bridge.run(checkpointer.runs.list("local", limit=len(runs)))
    return sum(row["finished_at"] is None for row in rows)
