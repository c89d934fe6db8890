"""Tries to lose an answer, to have it counted twice or to strand a run, by SIGKILL at every instant of an approval's
life: opened, answered in part, answered, passed on to the next, timed out, acted on.

`GATEPOST_EVERY_INSTANT=1` for the instants in between as well.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.acceptance.gated import BOOKS, WORKFLOWS, paid

from gatepost.testing import Database, Killed, assert_survived

MODULE = "tests.acceptance.gated"
EVERYWHERE = bool(os.environ.get("GATEPOST_EVERY_INSTANT"))
OPENED = ("commit.before.policy_gate", "commit.after.policy_gate", "lease.left")
LIMIT = ("silence.before", "silence.after")
DECIDED = ("decision.before", "decision.after")
AGAIN = ("decision.before:2", "decision.after:2")
TAKEN = ("commit.before.approval", "commit.after.approval", "intent.after")
MANY = 30
"""More than there are instants."""


@pytest.fixture(autouse=True)
def _books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BOOKS, str(tmp_path / "books"))
    monkeypatch.chdir(Path(__file__).parents[2])


def test_killed_at_every_instant_while_two_people_answer(
    gatepost_killed_everywhere: Any, gatepost_database: Database
) -> None:
    killed: list[Killed] = gatepost_killed_everywhere(
        f"{MODULE}:WORKFLOWS",
        goal="two",
        answer=f"{MODULE}:answer",
        instants=_of_the_life(OPENED, DECIDED, AGAIN, TAKEN),
    )
    assert {*DECIDED, *AGAIN} <= {one.instant for one in killed}
    assert_survived(killed, booked=_booked)
    assert {one.status for one in killed} == {"succeeded"}
    assert len(paid()) == len(killed)
    votes = _rows(gatepost_database, "SELECT v.principal, a.run_id FROM gatepost.vote v JOIN gatepost.approval a "
                  "USING (approval_id) WHERE v.type = 'approve' ORDER BY v.number")  # fmt: skip
    for one in killed:
        said = [row["principal"] for row in votes if row["run_id"] == one.run]
        assert said == ["alice", "bob"], (one.instant, said)
        assert _to_be_told(gatepost_database, one.run) == ["asked", "decided", "expiring"], one.instant


def test_killed_at_every_instant_when_the_time_is_up(
    gatepost_killed_everywhere: Any, gatepost_graph: Any, gatepost_database: Database
) -> None:
    _wait_for_people("silent", gatepost_graph, gatepost_database)
    killed = gatepost_killed_everywhere(
        f"{MODULE}:WORKFLOWS",
        goal="silent",
        answer=f"{MODULE}:nobody",
        instants=_of_the_life(LIMIT, ("lease.taken",), TAKEN[:2], OPENED),
    )
    assert {"silence.before", "silence.after"} <= {one.instant for one in killed}
    assert_survived(killed)
    assert {one.status for one in killed} == {"rejected"}
    assert paid() == {}
    for one in killed:
        assert _told(gatepost_database, one.run) == ["expired"], one.instant
        assert _to_be_told(gatepost_database, one.run) == ["asked", "expired", "expiring"], one.instant


def test_killed_at_every_instant_while_it_is_passed_on_and_answered(
    gatepost_killed_everywhere: Any, gatepost_graph: Any, gatepost_database: Database
) -> None:
    _wait_for_people("chain", gatepost_graph, gatepost_database)
    killed = gatepost_killed_everywhere(
        f"{MODULE}:WORKFLOWS", goal="chain", answer=f"{MODULE}:cfo", instants=_of_the_life(LIMIT, DECIDED, TAKEN)
    )
    assert {"silence.before", "silence.after", "decision.before", "decision.after"} <= {one.instant for one in killed}
    assert_survived(killed, booked=_booked)
    assert {one.status for one in killed} == {"succeeded"}
    assert len(paid()) == len(killed)
    for one in killed:
        # Whoever finishes it comes a lease's time later, when it may have gone up the chain once more.
        assert _told(gatepost_database, one.run)[0] == "escalated", one.instant
        assert {"asked", "escalated", "decided"} <= {*_to_be_told(gatepost_database, one.run)}, one.instant


def _of_the_life(*parts: Sequence[str]) -> list[str]:
    """Some instants, or all that there are."""
    return [] if EVERYWHERE else [instant for part in parts for instant in part]


def _booked(key: str) -> int:
    """By the books of a provider that dedupes on the key; what is counted there is calls."""
    return min(1, paid()[key])


def _wait_for_people(goal: str, graph_of: Any, database: Database) -> None:
    """Runs of the names that are killed, which wait for people whose time is up then."""
    graph = graph_of(WORKFLOWS)
    for run in ("killed", *(f"killed-{number}" for number in range(1, MANY))):
        assert graph.invoke({"goal": goal}, {"configurable": {"thread_id": run}})["status"] == "blocked"
    for role in ("cfo", "ceo"):
        graph.saver.bridge.run(graph.saver.people.grant("eve", role, tenant="local", by="hr"))
    database.clock.shift(timedelta(seconds=1.5))


def _told(database: Database, run: str) -> list[str]:
    rows = _rows(database, "SELECT e.kind, a.run_id FROM gatepost.approval_event e JOIN gatepost.approval a "
                 "USING (approval_id) ORDER BY e.number")  # fmt: skip
    return [row["kind"] for row in rows if row["run_id"] == run]


def _to_be_told(database: Database, run: str) -> list[str]:
    """The notices of a run: what happened is in the outbox, whoever died beside it."""
    rows = _rows(database, "SELECT kind, run_id FROM gatepost.notice ORDER BY kind")
    return [row["kind"] for row in rows if row["run_id"] == run]


def _rows(database: Database, statement: Any) -> list[dict[str, Any]]:
    with psycopg.Connection[dict[str, Any]].connect(database.url, row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()
