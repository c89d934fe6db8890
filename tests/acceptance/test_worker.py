"""Tries to lose a run between processes that move runs: admitted and nobody told, drained, broken off, its worker
killed, its wake-up lost; and to keep a fleet busy with a run that kills whoever moves it.
"""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from langgraph.types import Command
from tests.acceptance.fleet import Fleet
from tests.acceptance.processes import wait_until

from gatepost import Decision
from gatepost.testing import Database
from gatepost.testing.plugin import LEASE

CUT_BELL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatepost worker'"


def test_what_is_started_detached_is_moved_by_a_worker_and_so_is_what_is_answered(fleet: Fleet) -> None:
    started = fleet.cli("run", "start", "--detach", "--goal", "press", "--id", "r1", "--priority", "3")
    assert (started.returncode, started.stdout) == (0, "r1\n")
    row = fleet.run("r1")
    assert (row["status"], row["owner"], row["wake_at"], row["priority"]) == ("queued", None, None, 3)
    with fleet.hire("--sweep", "1h") as hand:
        hand.until("[run] r1=blocked(press waits for apr_")
        answered = fleet.cli("approval", "approve", fleet.question("r1"), "--as", "alice", "--no-run")
        assert answered.returncode == 0, answered.stderr
        hand.until("[run] r1=succeeded")
        hand.tell(signal.SIGTERM)
        assert hand.ended() == 0
    assert [step for _, _, step in fleet.attempts()] == ["grind_0", "press", "after"]
    actors = {row["actor"] for row in fleet.rows("SELECT actor FROM gatepost.transition")}
    assert len(actors) == 1
    assert actors.pop().startswith("worker ")


def test_whoever_moves_a_run_by_himself_is_not_overtaken_by_a_worker(fleet: Fleet) -> None:
    with fleet.hire() as hand:
        hand.until("[worker]")
        for number in range(3):
            config: Any = {"configurable": {"thread_id": f"mine-{number}"}}
            asked = fleet.graph.invoke({"goal": "press"}, config)["approval"]
            result = fleet.graph.invoke(Command(resume=asked.approve(by="alice")), config)
            assert result["status"] == "succeeded"
        assert not [line for line in hand.lines if "[claim]" in line]


def test_a_worker_that_leaves_when_idle_leaves_nothing_it_could_move(fleet: Fleet) -> None:
    fleet.admit("short", *(f"r{number}" for number in range(5)))
    fleet.admit("press", "asks")
    with fleet.hire("--until-idle", "-c", "2") as hand:
        assert hand.ended() == 0
    assert fleet.stands() == {"succeeded": 5, "blocked": 1}
    assert hand.lines[-1] == "[worker] left after 6 runs"


def test_once_moves_one_run_the_most_urgent(fleet: Fleet) -> None:
    fleet.admit("short", "old", "young")
    fleet.admit("short", "urgent", priority=1)
    with fleet.hire("--once") as hand:
        assert hand.ended() == 0
    assert fleet.stands() == {"succeeded": 1, "queued": 2}
    assert fleet.run("urgent")["status"] == "succeeded"
    with fleet.hire("--until-idle") as hand:
        assert hand.ended() == 0
    with fleet.hire("--once") as hand:
        assert (hand.ended(), hand.lines[-1]) == (0, "[worker] left after 0 runs")


def test_a_dead_workers_run_is_moved_by_another_in_time(fleet: Fleet) -> None:
    fleet.admit("linger", "r1")
    with fleet.hire() as first, fleet.hire() as second:
        fleet.until_called()
        first_owns = f":{first.process.pid}:" in fleet.run("r1")["owner"]
        dying, other = (first, second) if first_owns else (second, first)
        dying.tell(signal.SIGKILL)
        died = time.monotonic()
        fleet.open_door()
        assert dying.ended() == -signal.SIGKILL
        other.until("[run] r1=succeeded")
        assert time.monotonic() - died < LEASE.total_seconds() + 10
    assert len({key for key, _, step in fleet.attempts() if step == "linger"}) == 1
    assert fleet.run("r1")["epoch"] == 2


def test_a_worker_that_is_told_to_leave_lets_its_run_reach_the_next_superstep(fleet: Fleet) -> None:
    fleet.admit("linger", "r1")
    with fleet.hire() as hand:
        fleet.until_called()
        hand.tell(signal.SIGTERM)
        hand.until("[worker] leaving (SIGTERM)")
        fleet.admit("short", "later")
        fleet.open_door()
        assert hand.ended() == 0
        assert "[run] r1=released(queued" in hand.lines[-2]
    row = fleet.run("r1")
    assert (row["status"], row["owner"], row["setbacks"]) == ("queued", None, 0)
    steps = fleet.rows("SELECT DISTINCT ON (step_id) step_id, status FROM gatepost.step ORDER BY step_id, seq DESC")
    stand = {step["step_id"]: step["status"] for step in steps}
    assert (stand["linger"], stand.get("after") == "succeeded") == ("succeeded", False)
    assert fleet.run("later")["epoch"] == 0, "it claimed while it was leaving"
    with fleet.hire("--until-idle") as hand:
        assert hand.ended() == 0
    assert fleet.stands() == {"succeeded": 2}
    assert sorted(step for _, _, step in fleet.attempts()) == ["after", "grind_0", "linger"]


@pytest.mark.parametrize(("grace", "then", "code"), [("300ms", [], 0), ("1h", [signal.SIGINT], 130)])
def test_a_run_that_reaches_no_superstep_in_time_is_broken_off_and_let_go(
    fleet: Fleet, grace: str, then: list[signal.Signals], code: int
) -> None:
    fleet.admit("linger", "r1")
    with fleet.hire("--grace", grace) as hand:
        fleet.until_called()
        hand.tell(signal.SIGTERM)
        hand.until("[worker] leaving")
        for given in then:
            hand.tell(given)
        assert hand.ended() == code
        assert "[run] r1=broken off" in hand.lines
    assert (fleet.run("r1")["status"], fleet.run("r1")["owner"]) == ("queued", None)
    fleet.open_door()
    with fleet.hire("--until-idle") as hand:
        assert hand.ended() == 0
    assert fleet.stands() == {"succeeded": 1}
    assert len({key for key, _, step in fleet.attempts() if step == "linger"}) == 1


def test_a_run_that_kills_its_workers_is_parked_and_its_neighbours_are_not(
    fleet: Fleet, gatepost_database: Database
) -> None:
    fleet.admit("crush", "poison")
    deaths = neighbours = 0
    while fleet.run("poison")["status"] != "stranded":
        fleet.admit("short", f"neighbour-{neighbours}")
        neighbours += 1
        with fleet.hire("--until-idle", "--patience", "3") as hand:
            deaths += hand.ended() == -signal.SIGKILL
        gatepost_database.clock.shift(LEASE + timedelta(seconds=1))
        assert deaths <= 3
    assert deaths == 3
    assert fleet.run("poison")["reason"].startswith("3 attempts in a row ended at transition ")
    said = fleet.cli("run", "why", "poison").stdout
    assert "poison is stranded, and only an operator moves it (3 attempts in a row ended at transition " in said
    assert "✗ parked: only a person can move poison\n" in fleet.cli("doctor").stdout
    assert len([step for _, _, step in fleet.attempts() if step == "crush"]) == 3
    with fleet.hire("--until-idle") as hand:
        assert hand.ended() == 0
    assert fleet.stands() == {"stranded": 1, "succeeded": neighbours}


def test_a_worker_whose_bell_was_cut_hears_again(fleet: Fleet) -> None:
    with fleet.hire("--sweep", "1h") as hand:
        hand.until("[worker]")
        wait_until(lambda: bool(fleet.rows(CUT_BELL)))
        fleet.admit("short", "r1")
        hand.until("[run] r1=succeeded")


def test_a_run_that_is_due_is_moved_when_it_is_due(fleet: Fleet) -> None:
    fleet.admit("short", "r1")
    waits = "UPDATE gatepost.run SET status = 'waiting', wake_at = gatepost.now() + %s RETURNING wake_at"
    ((due),) = fleet.rows(waits, timedelta(seconds=1.5))
    with fleet.hire("--sweep", "1h") as hand:
        hand.until("[run] r1=succeeded")
    ((first),) = fleet.rows("SELECT min(at) AS at FROM gatepost.transition")
    assert first["at"] >= due["wake_at"]


def test_a_lost_wake_up_is_found_by_the_next_look(fleet: Fleet) -> None:
    with fleet.hire() as hand:
        hand.until("[worker]")
        with psycopg.connect(fleet.url, autocommit=True) as connection:
            connection.execute("ALTER TABLE gatepost.run DISABLE TRIGGER ALL")
        fleet.admit("press", "r1")
        hand.until("[run] r1=blocked")
        asked = fleet.graph.get_state({"configurable": {"thread_id": "r1"}}).values["approval"]
        fleet.graph.decide(Decision.model_validate(asked.approve(by="alice")))
        hand.until("[run] r1=succeeded")
