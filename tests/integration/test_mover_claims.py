"""Tries to claim what somebody holds, what is not due, what another release has to move; to claim a run twice, to
claim in the wrong order, and to leave what is due lying where nobody looks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.yard import HOUR, Yard

from gatepost import Checkpointer, build_graph
from gatepost.checkpointing.movers import Bell, is_suspect
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import PATIENCE
from gatepost.state.approval import decision_of
from gatepost.testing.plugin import LEASE


@pytest.fixture
def yard(town_hall: Checkpointer, owner: Any) -> Yard:
    return Yard(town_hall, owner)


# who is taken, and in which order


def test_the_most_urgent_and_then_the_oldest_and_no_more_than_asked_for(yard: Yard) -> None:
    yard.admit("a", "b")
    yard.admit("urgent", priority=5)
    yard.admit("batch", priority=-5)
    assert yard.claim(slots=3) == ["urgent", "a", "b"]
    assert yard.claim() == ["batch"]
    assert yard.claim() == []


def test_a_claim_takes_the_lease_with_it(yard: Yard) -> None:
    yard.admit("a")
    (row,) = yard.rows()
    assert (row["status"], row["epoch"], row["owner"] is not None) == ("running", 1, True)
    assert timedelta() < row["lease_expires_at"] - row["now"] <= LEASE
    assert {name: row[name] for name in ("owner", "epoch", "lease_expires_at")}.items() <= yard.row("a").items()


def test_what_is_held_is_left_and_what_a_dead_owner_held_is_taken(yard: Yard) -> None:
    yard.admit("live", "dead", "nobody")
    yard.hold("live", HOUR)
    yard.hold("dead", -timedelta(seconds=1), epoch=7)
    yard.set("nobody", status="running")
    rows = {row["run_id"].removeprefix(f"{yard.name}-"): row for row in yard.rows()}
    assert (sorted(rows), rows["dead"]["epoch"]) == (["dead", "nobody"], 8)
    assert (rows["dead"]["setbacks"], rows["nobody"]["setbacks"]) == (1, 0)


@pytest.mark.parametrize("asked", [{"workflows": ["another"]}, {"graph_version": "2"}, {"tenants": ["acme"]}])
def test_what_cannot_be_moved_here_is_left_to_others(yard: Yard, asked: dict[str, Any]) -> None:
    yard.admit("a")
    assert yard.claim(**asked) == []
    assert yard.claim(tenants=["acme", "local"]) == ["a"]


@pytest.mark.parametrize("status", ["blocked", "held", "timed_out", "compensation_failed", "stranded"])
def test_what_only_a_person_can_move_is_left(yard: Yard, status: str) -> None:
    yard.admit("a")
    yard.set("a", status=status)
    assert yard.claim() == []


def test_a_finished_run_is_never_taken_nor_looked_at(yard: Yard) -> None:
    yard.admit("a")
    yard.owner.change(
        "UPDATE gatepost.run SET status = 'succeeded', finished_at = now() WHERE workflow = %s", yard.name
    )
    assert yard.claim() == []
    params = {
        "workflows": [yard.name], "graph_version": "1", "slots": 1, "tenants": None, "owner": "x",
        "ttl": LEASE, "patience": 3, "suspect": 2,
    }  # fmt: skip
    for name, index in (("claim", "run_movable"), ("ring", "run_timer"), ("answered", "approval_untaken")):
        yard.owner.change("SET enable_seqscan = off")
        (plan,) = yard.owner.explained(query(f"mover.{name}"), params)
        yard.owner.change("RESET enable_seqscan")
        assert index in json.dumps(plan), (name, plan)


def test_eight_movers_at_once_take_each_run_once(yard: Yard) -> None:
    yard.admit(*map(str, range(40)))

    async def all_at_once() -> list[str]:
        asked: dict[str, Any] = {"workflows": [yard.name], "graph_version": "1", "slots": 3}
        taken: list[str] = []

        async def mover() -> None:
            while rows := await yard.movers.claim(**asked):
                taken.extend(row["run_id"] for row in rows)

        await asyncio.gather(*(mover() for _ in range(8)))
        return taken

    taken = yard.hall.bridge.run(all_at_once())
    assert len(taken) == len(set(taken)) == 40


# timers


def test_a_run_is_taken_when_its_timer_has_run_out_and_not_before(
    yard: Yard, lone_owner: Any, checkpointer: Checkpointer, gatepost_database: Any
) -> None:
    yard = Yard(checkpointer, lone_owner)
    yard.admit("waiting", "later")
    yard.admit("kept", kept=HOUR)
    yard.set("waiting", status="waiting", wake_at=HOUR, wake_reason="retry")
    yard.set("later", status="waiting", wake_at=3 * HOUR)
    assert yard.claim() == []
    left = yard.hall.bridge.run(yard.movers.due_in())
    assert left is not None
    assert HOUR - timedelta(minutes=1) < left <= HOUR
    gatepost_database.clock.shift(HOUR)
    assert sorted(yard.claim()) == ["kept", "waiting"]
    row = yard.row("waiting")
    assert (row["status"], row["wake_at"], row["wake_reason"]) == ("running", None, None)


def test_who_asks_for_a_kept_run_gets_it(yard: Yard) -> None:
    yard.admit("a", kept=HOUR)

    async def take() -> Any:
        async with yard.hall.runs.hold(f"{yard.name}-a", "local", actor="alice") as session:
            return yard.row("a"), session

    row, _ = yard.hall.bridge.run(take())
    assert (row["status"], row["wake_at"]) == ("running", None)
    assert yard.claim() == ["a"], "it was let go, and is anybody's"


def test_an_answered_run_is_left_to_the_caller_who_goes_on_with_it(
    shop: Any, yard: Yard, owner: Any, second_process: Callable[..., Any]
) -> None:
    asked = shop.open()
    held = "UPDATE gatepost.run SET owner = 'somebody', lease_expires_at = gatepost.now() + %s WHERE run_id = %s"
    owner.change(held, HOUR, shop.run())
    with second_process() as other:  # it finds the run owned, and its answer recorded
        shop.graph = build_graph(shop.workflows(), other)
        shop.answer(asked.approve(by="alice"))
    row = owner.run(shop.run())
    assert (row["status"], row["wake_reason"]) == ("queued", "kept for the caller who answered")
    owner.change(held, -HOUR, shop.run())
    workflows = shop.graph.equipment.catalog.workflows
    assert shop.run() not in [row["run_id"] for row in yard.rows(workflows=workflows)]
    owner.change("UPDATE gatepost.run SET wake_at = gatepost.now() WHERE run_id = %s", shop.run())
    assert shop.run() in [row["run_id"] for row in yard.rows(workflows=workflows)]


def test_an_answer_that_is_left_to_others_is_anybodys_at_once(shop: Any, yard: Yard) -> None:
    shop.graph.decide(decision_of(shop.open().approve(by="alice")))
    assert shop.run() in [row["run_id"] for row in yard.rows(workflows=["sell"])]


def test_a_waiting_run_whose_owner_died_before_it_set_the_timer_is_not_stranded(yard: Yard) -> None:
    yard.admit("a")
    yard.hold("a", -timedelta(seconds=1), status="waiting")
    assert yard.claim() == ["a"]


def test_a_run_that_waits_for_no_time_and_no_owner_is_left(yard: Yard) -> None:
    yard.admit("a")
    yard.set("a", status="waiting")
    assert yard.claim() == []


def test_a_parked_run_gets_its_timer_when_it_is_let_go(yard: Yard) -> None:
    yard.admit("a")
    (row,) = yard.rows()
    until = row["now"] + HOUR

    async def park() -> None:
        async with yard.hall.runs.hold(row["run_id"], "local", actor="w", claimed=row) as session:
            session.park(until, "the provider said so")
            await yard.hall.pools.close()  # a slow one must not matter
            yard.set("a", status="waiting")  # as the superstep does

    yard.hall.bridge.run(park())
    left = yard.row("a")
    assert (left["status"], left["owner"], left["wake_at"], left["wake_reason"]) == (
        "waiting", None, until, "the provider said so",
    )  # fmt: skip


# answers


def test_an_answer_that_found_no_mover_is_taken_up(yard: Yard) -> None:
    yard.admit("answered", "asked", "taken", "half")
    yard.ask("answered", "decided")
    yard.ask("asked", "open")
    yard.ask("taken", "decided", taken=3)
    yard.ask("half", "decided")
    yard.ask("half", "open")
    assert sorted(yard.claim()) == ["answered", "half"]


def test_an_answer_while_the_owner_lives_is_the_owners(yard: Yard) -> None:
    yard.admit("a")
    yard.hold("a", HOUR)
    yard.ask("a", "decided")
    assert yard.claim() == []
    yard.hold("a", -timedelta(seconds=1), status="blocked")
    assert yard.claim() == ["a"], "its owner died before it let go"


def test_a_question_that_nobody_may_answer_any_more_is_closed_and_its_run_goes_on(yard: Yard) -> None:
    yard.admit("late", "soon")
    yard.ask("late", "open", decide_by=-timedelta(seconds=1))
    yard.ask("soon", "open", decide_by=HOUR)
    assert yard.claim() == ["late"]
    asked = yard.owner.rows("SELECT run_id, status FROM gatepost.approval WHERE run_id ^@ %s ORDER BY 1", yard.name)
    assert [row["status"] for row in asked] == ["expired", "open"]


# runs that end their owners


def test_a_run_that_ends_one_owner_after_another_is_parked(yard: Yard) -> None:
    yard.admit("a")
    claims = 0
    while yard.claim():
        claims += 1
        yard.hold("a", -timedelta(seconds=1))
    assert claims == PATIENCE
    row = yard.row("a")
    assert (row["status"], row["owner"], row["setbacks"]) == ("stranded", None, PATIENCE)
    assert row["reason"] == f"{PATIENCE} attempts in a row ended at transition 0; the last one died without a word"
    (noted,) = yard.owner.rows("SELECT * FROM gatepost.intervention WHERE run_id = %s", row["run_id"])
    assert (noted["kind"], noted["actor"], noted["reason"]) == ("strand", "mover", row["reason"])


def test_a_run_that_ended_two_owners_is_taken_first_and_alone(yard: Yard) -> None:
    yard.admit("a", "b", "suspect", "once", "moved")
    yard.hold("suspect", -timedelta(seconds=1), setbacks=1)
    yard.hold("once", -timedelta(seconds=1))
    yard.hold("moved", -timedelta(seconds=1), setbacks=5, setback_seq=3, seq=4)
    (row,) = yard.rows()
    assert (row["run_id"], row["setbacks"], is_suspect(row)) == (f"{yard.name}-suspect", 2, True)
    rows = yard.rows()
    assert [row["setbacks"] for row in rows] == [0, 0, 1, 1]
    assert not any(map(is_suspect, rows))


def test_a_run_that_moves_on_between_deaths_is_not_given_up(yard: Yard) -> None:
    yard.admit("a")
    for seq in range(2 * PATIENCE):
        assert yard.claim() == ["a"]
        yard.hold("a", -timedelta(seconds=1), seq=seq)
    assert (yard.row("a")["status"], yard.claim()) == ("running", ["a"])


def test_a_drained_run_is_no_setback(yard: Yard) -> None:
    yard.admit("a")

    async def drained() -> None:
        (row,) = await yard.movers.claim(workflows=[yard.name], graph_version="1", slots=1)
        async with yard.hall.runs.hold(row["run_id"], "local", actor="w", claimed=row):
            pass

    for _ in range(2 * PATIENCE):
        yard.hall.bridge.run(drained())
    assert (yard.row("a")["setbacks"], yard.row("a")["status"]) == (0, "queued")


def test_a_failed_attempt_is_paused_after_and_told(yard: Yard) -> None:
    yard.admit("a")

    async def failed() -> None:
        (row,) = await yard.movers.claim(workflows=[yard.name], graph_version="1", slots=1)
        async with yard.hall.runs.hold(row["run_id"], "local", actor="w", claimed=row) as session:
            session.trouble = "ValueError: no"

    pauses = []
    for _ in range(PATIENCE - 1):
        yard.hall.bridge.run(failed())
        row = yard.row("a")
        assert (row["status"], row["wake_reason"]) == ("queued", "tried again after a failure: ValueError: no")
        pauses.append(round((row["wake_at"] - row["updated_at"]).total_seconds()))
        assert yard.claim() == []
        yard.set("a", wake_at=-timedelta(seconds=1))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    yard.hall.bridge.run(failed())
    row = yard.row("a")
    assert row["status"] == "stranded"
    assert row["reason"].endswith("at transition 0; the last one failed: ValueError: no")


# the bell


ROADS: dict[str, Callable[[Yard], Any]] = {
    "admission": lambda yard: yard.admit("b"),
    "release": lambda yard: yard.set("a", status="queued"),
    "a timer": lambda yard: yard.set("a", status="waiting"),
    "another time": lambda yard: yard.set("q", wake_at=HOUR),
}


@pytest.mark.parametrize("road", ROADS)
def test_every_road_into_the_queue_rings_the_bell(yard: Yard, road: str) -> None:
    yard.admit("a", "q")
    yard.hold("a", HOUR)

    async def heard() -> None:
        rung = asyncio.Event()
        async with Bell(yard.hall.address, rung.set).heard():
            await asyncio.wait_for(rung.wait(), 10)  # it listens
            rung.clear()
            await asyncio.to_thread(ROADS[road], yard)
            await asyncio.wait_for(rung.wait(), 10)

    asyncio.run(heard())


def test_what_is_no_work_rings_nothing(yard: Yard) -> None:
    yard.admit("a")

    async def heard() -> int:
        rings = 0

        def ring() -> None:
            nonlocal rings
            rings += 1
            rung.set()

        rung = asyncio.Event()
        async with Bell(yard.hall.address, ring).heard():
            await asyncio.wait_for(rung.wait(), 10)
            await asyncio.to_thread(yard.hold, "a", HOUR, seq=1)
            await asyncio.to_thread(yard.set, "a", seq=2, status="blocked")
            rung.clear()
            await asyncio.to_thread(yard.admit, "last")
            await asyncio.wait_for(rung.wait(), 10)
        return rings

    assert asyncio.run(heard()) == 2


def test_who_watches_is_told_when_an_owner_lets_go(yard: Yard) -> None:
    yard.admit("a")
    yard.set("a", status="blocked")

    async def held_and_let_go() -> None:
        async with yard.hall.runs.hold(f"{yard.name}-a", "local", actor="ada"):
            pass

    async def heard() -> None:
        rung, queue = asyncio.Event(), asyncio.Event()
        movers = Bell(yard.hall.address, queue.set).heard()
        watchers = Bell(yard.hall.address, rung.set, mover=False).heard()
        async with watchers, movers:
            await asyncio.wait_for(asyncio.gather(rung.wait(), queue.wait()), 10)  # they listen
            rung.clear()
            queue.clear()
            await asyncio.to_thread(yard.hall.bridge.run, held_and_let_go())
            await asyncio.wait_for(rung.wait(), 10)
            assert not queue.is_set()  # a run that waits for an answer is no work

    asyncio.run(heard())


def test_a_cut_bell_is_hung_again_and_rings_for_what_it_missed(yard: Yard) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatepost worker'"

    async def heard() -> None:
        rung = asyncio.Event()
        async with Bell(yard.hall.address, rung.set).heard():
            for _ in range(2):
                await asyncio.wait_for(rung.wait(), 10)
                rung.clear()
                assert await asyncio.to_thread(yard.owner.rows, cut)
            await asyncio.wait_for(rung.wait(), 10)

    asyncio.run(heard())
