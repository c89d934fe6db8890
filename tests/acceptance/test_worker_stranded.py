"""Tries the shapes in which runs were stranded in other engines: a run looks as if it moved, and nobody moves it."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from tests.acceptance.fleet import Fleet
from tests.acceptance.processes import wait_until

from gatepost import Decision, open_checkpointer
from gatepost.checkpointing.address import connect, resolve
from gatepost.checkpointing.embedded import ensure_server, stop_server
from gatepost.checkpointing.orders import Orders
from gatepost.testing import Database
from gatepost.testing.plugin import LEASE


def test_a_worker_dies_between_its_claim_and_its_first_write(fleet: Fleet, gatepost_database: Database) -> None:
    fleet.admit("short", "r1")
    with fleet.hire_frail("claimed") as dying:
        dying.until("[stopped]")
        row = fleet.run("r1")
        assert (row["status"], row["seq"], row["owner"] is not None) == ("running", 0, True)
        dying.kill()
    gatepost_database.clock.shift(LEASE)
    with fleet.hire("--until-idle") as other:
        assert other.ended() == 0
    assert fleet.run("r1")["status"] == "succeeded"
    assert len(fleet.attempts()) == 1


def test_the_database_restarts_while_a_run_is_recovered(tmp_path: Path) -> None:
    # A server of its own: cutting the shared one would cut every other test.
    with _own_server() as (home, url), open_checkpointer(url) as checkpointer:
        fleet = Fleet(tmp_path, checkpointer, url)
        fleet.admit("linger", "r1")
        with fleet.hire() as dying:
            fleet.until_called()
            dying.kill()
        with fleet.hire() as other:
            fleet.until_called(2)  # the second attempt is under way
            _crash(home)
            ensure_server(home)
            fleet.open_door()
            fleet.until("r1", "succeeded")
            assert other.process.poll() is None
        assert len({key for key, _, step in fleet.attempts() if step == "linger"}) == 1
        _contiguous(fleet, "r1")


def test_a_drained_run_is_claimed_again_by_the_very_worker_that_drained_it(fleet: Fleet) -> None:
    # A run that has ended two workers is moved alone: the other one is handed over for it.
    fleet.admit("short", "suspect")
    fleet.rows("UPDATE gatepost.run SET setbacks = 2, wake_at = gatepost.now() + interval '1 hour' RETURNING 1")
    fleet.admit("linger", "r1")
    with fleet.hire() as hand:
        fleet.until_called()
        fleet.rows("UPDATE gatepost.run SET wake_at = NULL WHERE run_id = 'suspect' RETURNING 1")
        wait_until(lambda: fleet.run("suspect")["owner"] is not None)
        fleet.open_door()
        hand.until("[run] r1=succeeded")
        order = [line.split(" in ")[0] for line in hand.lines if "r1" in line or "[run] suspect" in line]
    assert order[0].startswith("[claim] r1 (linger, transition 0)")
    assert order[1].startswith("[run] r1=released(queued")
    assert order[2] == "[run] suspect=succeeded"
    assert order[3].startswith("[claim] r1 (linger, transition ")
    assert order[4] == "[run] r1=succeeded"
    assert (fleet.run("r1")["epoch"], fleet.run("r1")["setbacks"]) == (2, 0)


@pytest.mark.parametrize("dies", [False, True])
def test_an_answer_arrives_while_the_owner_lets_go(fleet: Fleet, gatepost_database: Database, dies: Any) -> None:
    fleet.admit("press", "r1")
    with fleet.hire_frail("releasing") as owner:
        owner.until("[stopped]")
        assert (fleet.run("r1")["status"], fleet.run("r1")["owner"] is not None) == ("blocked", True)
        _answer(fleet, "r1")
        if dies:
            owner.kill()
            gatepost_database.clock.shift(LEASE)
        else:
            owner.go_on()
            assert owner.ended() == 0
    with fleet.hire("--until-idle") as other:
        assert other.ended() == 0
    assert fleet.run("r1")["status"] == "succeeded"
    assert sorted(step for _, _, step in fleet.attempts()) == ["after", "grind_0", "press"]


def test_an_answer_that_came_before_the_run_was_blocked_outlives_its_owner(
    fleet: Fleet, gatepost_database: Database
) -> None:
    # The answer queues only a blocked run. One that came earlier is found by the owner when it lets go; if the owner
    # does not live to do so, nobody was ever told.
    fleet.admit("press", "r1")
    with fleet.hire_frail("releasing") as owner:
        owner.until("[stopped]")
        _answer(fleet, "r1")
        fleet.rows("UPDATE gatepost.run SET status = 'blocked' WHERE run_id = 'r1' RETURNING 1")
        owner.kill()
    gatepost_database.clock.shift(LEASE)
    assert fleet.rows("SELECT kind FROM gatepost.next_mover") == [{"kind": "queue"}]
    with fleet.hire("--until-idle") as other:
        assert other.ended() == 0
    assert fleet.run("r1")["status"] == "succeeded"


def test_a_run_whose_worker_is_dead_is_cancelled(fleet: Fleet) -> None:
    fleet.admit("linger", "r1")
    orders = Orders(fleet.checkpointer.pools)
    with fleet.hire() as dying:
        fleet.until_called()
        dying.kill()
    told = fleet.checkpointer.bridge.run(orders.give("cancel", "r1", "local", actor="olga", why="no more"))
    assert f":{dying.process.pid}:" in str(told.owner), "its lease still runs, so it is told, and cannot obey"
    with fleet.hire() as other:
        fleet.until("r1", "cancelled")
        assert other.process.poll() is None
    assert len(fleet.attempts()) == 1, "the dead one's call was made again"
    assert {row["state"] for row in fleet.rows("SELECT state FROM gatepost.effect")} == {"in_doubt"}
    assert fleet.rows("SELECT * FROM gatepost.next_mover") == []


def test_a_run_that_a_worker_moves_is_cancelled_at_its_next_superstep(fleet: Fleet) -> None:
    fleet.admit("linger", "r1")
    with fleet.hire() as hand:
        fleet.until_called()
        assert "is told to stop" in fleet.cli("run", "cancel", "r1", "--reason", "no more").stdout
        beat = fleet.run("r1")["lease_expires_at"]
        wait_until(lambda: fleet.run("r1")["lease_expires_at"] > beat)
        fleet.open_door()
        hand.until("[run] r1=cancelled")
    row = fleet.run("r1")
    assert (row["status"], row["reason"]) == ("cancelled", "no more")
    assert [step for _, _, step in fleet.attempts()] == ["linger"]


def _answer(fleet: Fleet, run: str) -> None:
    asked = fleet.graph.get_state({"configurable": {"thread_id": run}}).values["approval"]
    fleet.graph.decide(Decision.model_validate(asked.approve(by="alice")))


def _contiguous(fleet: Fleet, run: str) -> None:
    """No transition was lost and none was made twice, and every later one was made under a later lease."""
    rows = fleet.rows("SELECT seq, epoch FROM gatepost.transition WHERE run_id = %s ORDER BY seq", run)
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["epoch"] for row in rows] == sorted(row["epoch"] for row in rows)


@contextmanager
def _own_server() -> Iterator[tuple[Path, str]]:
    """A server: its home, and the address of a database on it."""
    with tempfile.TemporaryDirectory(prefix="gp-") as folder:
        home = Path(folder)
        server = ensure_server(home)
        try:
            with connect(resolve(server)) as connection:
                connection.execute("CREATE DATABASE stranded")
            yield home, make_conninfo(server, dbname="stranded")
        finally:
            stop_server(home)


def _crash(home: Path) -> None:
    """End the server at once, as a fault of its machine would: no session ends in order."""
    postmaster = int((home / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGQUIT)
    wait_until(lambda: not (home / "data" / "postmaster.pid").exists())
