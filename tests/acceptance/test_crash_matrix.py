"""Tries to get a charge or its refund made twice, or a run lost, by SIGKILL at every instant of a run, for four kinds
of tool; and does the same to stock LangGraph beside it. `docs/guarantees.md` shows what was found.

What was done is counted by the other side: the books of a provider that outlives every process here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.acceptance.crash_matrix import KINDS, ONCE, OURS, PERSON, RACE, RACES, STOCK, TWICE, Fate, between, table
from tests.acceptance.crash_provider import Provider, providing
from tests.acceptance.crash_workflows import LATER, URL

from gatepost.testing import Database, Databases, Killed, assert_survived, kill_everywhere
from gatepost.testing.killed import Script

ROOT = Path(__file__).parents[2]
GUARANTEES = ROOT / "docs" / "guarantees.md"
WRITE = "GATEPOST_WRITE_GUARANTEES"
"""Set it to write the tables anew; then look at what changed before you commit it."""
MANY = 14
pytestmark = pytest.mark.timeout(600)  # four hundred processes die here
MODULE = "tests.acceptance.crash_workflows"


class Books:
    """What the provider, and the table in our own database, have of a reference."""

    def __init__(self, provider: Provider, database: Database) -> None:
        self._provider = provider
        with psycopg.connect(database.url) as connection:
            rows = connection.execute("SELECT key FROM public.booked").fetchall()
        self._rows = [row[0] for row in rows]

    def count(self, reference: str) -> int:
        """How often it was acted on."""
        return self._provider.acts[reference] + self._rows.count(reference)


@contextmanager
def _shop(databases: Databases, url: str) -> Iterator[Database]:
    with databases.migrated() as database:
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE public.booked (key text NOT NULL)")
            connection.execute("GRANT SELECT, INSERT ON public.booked TO gatepost_app")
        os.environ[URL] = url
        yield database


@pytest.fixture(scope="module")
def provider() -> Iterator[tuple[Provider, str]]:
    with providing() as found:
        yield found


@pytest.fixture(scope="module")
def ours(gatepost_databases: Databases, provider: tuple[Provider, str]) -> Iterator[list[Fate]]:
    """Every instant of a run of ours, for every kind."""
    with _shop(gatepost_databases, provider[1]) as database:
        more: dict[str, Any] = {"answer": f"{MODULE}:answer", "later": LATER.total_seconds()}
        scripts = [
            Script(f"{MODULE}:WORKFLOWS", goal=kind, prefix=kind, database=database.url, **more) for kind in KINDS
        ]
        killed = kill_everywhere(*scripts, folder=ROOT)
        books = Books(provider[0], database)
        assert_survived(killed, booked=books.count)
        yield [Fate(_kind(one), one.instant, _verdict(one, books)) for one in killed if one.instant]


@pytest.fixture(scope="module")
def stock(gatepost_databases: Databases, provider: tuple[Provider, str]) -> Iterator[list[Fate]]:
    """The same for stock LangGraph."""
    with _shop(gatepost_databases, provider[1]) as database:
        told = subprocess.run(
            [sys.executable, "-m", "tests.acceptance.crash_stock", *KINDS],
            cwd=ROOT,
            env={**os.environ, "GATEPOST_DATABASE_URL": database.url},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        lines = [json.loads(line) for line in told.stdout.splitlines()]
        books = Books(provider[0], database)
        yield [
            _stock_fate(line["kind"], line["instant"], [books.count(one) for one in line["references"]])
            for line in lines
        ]


def _kind(one: Killed) -> str:
    return one.run.partition("-")[0]


def _verdict(one: Killed, books: Books) -> str:
    counts = [books.count(effect["key"]) for effect in one.effects]
    if max(counts, default=0) > 1:
        return TWICE
    return PERSON if any("doubt" in asked for asked in one.asked) else ONCE


def _stock_fate(kind: str, instant: str, counts: list[int]) -> Fate:
    assert min(counts) >= 1, (kind, instant, counts)
    if kind != "retry" and instant in RACES:
        return Fate(kind, instant, RACE)
    return Fate(kind, instant, TWICE if max(counts) > 1 else ONCE)


def test_killed_at_every_instant_nothing_happens_twice(ours: list[Fate]) -> None:
    for kind in KINDS:
        fates = [fate for fate in ours if fate.kind == kind]
        assert len(fates) > MANY
        assert {fate.verdict for fate in fates} == ({ONCE, PERSON} if kind == "ask" else {ONCE})


def test_only_a_tool_that_declares_neither_key_nor_look_up_asks_a_person(ours: list[Fate]) -> None:
    asked = [fate.instant for fate in ours if fate.verdict == PERSON]
    before, after = ("intent.after", "call.before", "provider.before"), ("provider.after", "call.after")
    forward = [*before, *after, "commit.before.executor"]
    undo = ["undo.intent.after", "undo.call.before", "provider.before:2", "provider.after:2", "undo.call.after"]
    assert sorted(asked) == sorted([*forward, *undo, "commit.before.compensator"])


def test_stock_langgraph_repeats_what_its_provider_does_not_dedupe(stock: list[Fate]) -> None:
    twice = {kind: sum(fate.verdict == TWICE for fate in stock if fate.kind == kind) for kind in KINDS}
    assert twice == {"retry": 0, "lookup": 4, "transaction": 4, "ask": 4}


def test_users_can_kill_their_own_workflow_everywhere(gatepost_killed_everywhere: Any, provider: Any) -> None:
    os.environ[URL] = provider[1]
    chosen = ("commit.after.policy_gate", "intent.after", "call.after", "undo.call.after")
    killed = gatepost_killed_everywhere(f"{MODULE}:WORKFLOWS", goal="retry", prefix="users", instants=chosen)
    assert [one.instant for one in killed] == ["", *chosen]
    assert_survived(killed, booked=lambda key: provider[0].acts[key])
    with pytest.raises(AssertionError, match=r"call\.after \(users-3\): charge \(run\) is succeeded, and was booked 2"):
        assert_survived(killed[3:4], booked=lambda _: 2)


def test_the_guarantees_show_what_was_found(ours: list[Fate], stock: list[Fate]) -> None:
    written = GUARANTEES.read_text(encoding="utf-8")
    found = between(written, "ours", lambda _: table(OURS, ours))
    found = between(found, "stock", lambda _: table(STOCK, stock))
    if os.environ.get(WRITE):
        GUARANTEES.write_text(found, encoding="utf-8")
    assert written == found, f"docs/guarantees.md shows another matrix; {WRITE}=1 writes this one"
