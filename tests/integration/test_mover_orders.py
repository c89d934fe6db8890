"""Tries to give a run an order that is lost, that cuts off a call, or that leaves something which still runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.yard import Yard

from gatepost import Checkpointer, FixedPlan, GatepostGraph, Plan, Step, Workflow, tool
from gatepost.checkpointing.orders import Orders
from gatepost.service.why import why
from gatepost.state.approval import decision_of
from gatepost.state.errors import CallerMistake, InvalidDecision, RunOnHold, UnknownRun
from gatepost.state.status import RunStatus

DEAD = "UPDATE gatepost.run SET owner = 'a dead one', lease_expires_at = gatepost.now() + %s WHERE run_id = %s"
NOTED = "SELECT kind, actor, reason FROM gatepost.intervention WHERE run_id = %s ORDER BY number"


class Boss:
    """Somebody who gives orders, and a mover."""

    def __init__(self, hall: Checkpointer, owner: Any) -> None:
        self.hall, self.owner, self.orders = hall, owner, Orders(hall.pools)
        self.yard = Yard(hall, owner)

    def cancel(self, run: str, why: str = "no more") -> Any:
        """Call a run off."""
        return self.hall.bridge.run(self.orders.give("cancel", run, "local", actor="olga", why=why))

    def hold(self, run: str) -> Any:
        """Stop a run."""
        return self.hall.bridge.run(self.orders.give("hold", run, "local", actor="olga", why="wait"))

    def release(self, run: str) -> RunStatus:
        """Let it go on."""
        return self.hall.bridge.run(self.orders.release(run, "local", actor="olga", why="go on"))

    def noted(self, run: str) -> list[tuple[str, str, str]]:
        """What is on record."""
        return [(row["kind"], row["actor"], row["reason"]) for row in self.owner.rows(NOTED, run)]


@pytest.fixture
def boss(town_hall: Checkpointer, owner: Any) -> Boss:
    return Boss(town_hall, owner)


def test_a_cancelled_run_stands_still_and_says_so_everywhere(shop: Any, boss: Boss, owner: Any) -> None:
    asked = shop.open()
    before = owner.run(shop.run())["seq"]
    answer = boss.cancel(shop.run())
    assert (answer.status, answer.owner) == (RunStatus.CANCELLED, None)
    row = owner.run(shop.run())
    assert (row["status"], row["seq"], row["reason"], row["ordered"]) == ("cancelled", before + 1, "no more", None)
    assert row["finished_at"] is not None
    assert owner.steps(shop.run()) == {"look": "succeeded", "charge": "cancelled"}
    with pytest.raises(InvalidDecision, match="void"):
        shop.graph.decide(decision_of(asked.approve(by="alice")))
    for _ in range(2):
        result = shop.graph.invoke(None, shop.config())
        assert (result["status"], result["approval"], result["steps"]["charge"]["status"]) == (
            "cancelled", None, "cancelled",
        )  # fmt: skip
    assert shop.graph.get_state(shop.config()).next == ()
    assert list(shop.graph.stream(None, shop.config())) == []
    assert (shop.booked, owner.rows("SELECT * FROM gatepost.next_mover WHERE run_id = %s", shop.run())) == ([], [])
    assert boss.noted(shop.run()) == [("cancel", "olga", "no more")]
    last = shop.graph.saver.bridge.run(shop.graph.saver.history.transitions(shop.run()))[-1]
    assert (last["source"], last["actor"], last["status"], last["next"]) == ("operator", "olga", "cancelled", [])


def test_a_run_that_was_held_before_its_recovery_began_is_released_into_it(shop: Any, boss: Boss, owner: Any) -> None:
    shop.open()
    run = shop.run()
    boss.cancel(run)
    shop.graph.recover(run, "rollback", by="olga")
    assert boss.hold(run).status is RunStatus.HELD
    assert boss.release(run) is RunStatus.QUEUED
    assert shop.graph.invoke(None, shop.config())["status"] == "cancelled"
    assert owner.run(run)["reason"] == "rolled back by olga"
    with pytest.raises(CallerMistake, match="has ended"):
        boss.release(run)


def test_a_run_that_never_began_is_called_off(boss: Boss, owner: Any) -> None:
    boss.yard.admit("a")
    assert boss.cancel(f"{boss.yard.name}-a").status is RunStatus.CANCELLED
    assert boss.yard.claim() == []


def test_what_has_ended_takes_no_order(shop: Any, boss: Boss) -> None:
    shop.open()
    boss.cancel(shop.run())
    for order in (boss.cancel, boss.hold, boss.release):
        with pytest.raises(CallerMistake, match="has ended"):
            order(shop.run())
    assert len(boss.noted(shop.run())) == 1


def test_another_tenants_run_takes_no_order(shop: Any, boss: Boss, owner: Any) -> None:
    shop.open()
    for work in (
        boss.orders.give("cancel", shop.run(), "acme", actor="mallory"),
        boss.orders.release(shop.run(), "acme", actor="mallory"),
    ):
        with pytest.raises(UnknownRun):
            boss.hall.bridge.run(work)
    assert (owner.run(shop.run())["status"], boss.noted(shop.run())) == ("blocked", [])


@pytest.mark.parametrize(("order", "status"), [("cancel", "cancelled"), ("hold", "held")])
def test_a_run_that_moves_obeys_at_its_next_superstep_and_cuts_nothing_off(
    build: Callable[..., GatepostGraph], shop: Any, boss: Boss, owner: Any, order: str, status: str
) -> None:
    after: list[str] = []

    @tool(effect="read")
    def ordered() -> str:
        owner.rows("SELECT gatepost.give_order(%s, %s, 'olga', 'stop')", shop.run(), order)
        for _ in range(2):  # whoever beats again has heard what the beat before brought back
            beat = owner.run(shop.run())["lease_expires_at"]
            owner.wait_for("SELECT FROM gatepost.run WHERE run_id = %s AND lease_expires_at > %s", shop.run(), beat)
        return "done all the same"

    @tool(effect="read")
    def next_one(got: str) -> str:
        after.append(got)
        return got

    steps = (
        Step(id="ordered", tool="ordered"),
        Step(id="next", tool="next_one", args={"got": "x"}, needs=("ordered",)),
    )
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(ordered, next_one))
    graph = build([workflow])
    result = graph.invoke({"goal": "w"}, shop.config())
    assert (result["status"], after) == (status, [])
    row = owner.run(shop.run())
    assert (row["status"], row["owner"], row["reason"]) == (status, None, "stop")
    assert owner.steps(shop.run())["ordered"] == "succeeded"
    if status == "held":
        assert boss.release(shop.run()) is RunStatus.QUEUED
        assert graph.invoke(None, shop.config())["status"] == "succeeded"
        assert after == ["x"]


def test_an_owner_that_died_is_obeyed_for_by_a_mover(shop: Any, boss: Boss, owner: Any) -> None:
    shop.open()
    owner.change(DEAD, timedelta(hours=1), shop.run())
    answer = boss.cancel(shop.run())
    assert (answer.status, answer.owner) == (RunStatus.BLOCKED, "a dead one")
    told = why(boss.hall.bridge.run(boss.yard.movers.why(shop.run(), "local")))
    assert "; olga told it to cancel at its next superstep." in told.sentence
    boss.yard.claim()
    assert owner.run(shop.run())["status"] == "blocked"
    owner.change(DEAD, -timedelta(seconds=1), shop.run())
    boss.yard.claim()
    assert owner.run(shop.run())["status"] == "cancelled"


def test_a_call_of_which_nobody_saw_the_end_stays_in_doubt(shop: Any, boss: Boss, owner: Any) -> None:
    shop.answer(shop.open().approve(by="alice"))
    # As if its owner had died in the call.
    owner.change("DELETE FROM gatepost.step WHERE run_id = %s AND status = 'succeeded'", shop.run())
    owner.change("UPDATE gatepost.effect SET state = 'intended', finished_at = NULL WHERE run_id = %s", shop.run())
    owner.change("UPDATE gatepost.run SET status = 'queued', finished_at = NULL WHERE run_id = %s", shop.run())
    boss.cancel(shop.run())
    assert owner.steps(shop.run())["charge"] == "in_doubt"
    assert [row["state"] for row in owner.effects(shop.run())] == ["in_doubt"]


def test_a_held_run_is_nobodys_until_it_is_released(shop: Any, boss: Boss, owner: Any) -> None:
    asked = shop.open()
    assert boss.hold(shop.run()).status is RunStatus.HELD
    assert shop.graph.get_state(shop.config()).values["status"] == "held"
    assert boss.release(shop.run()) is RunStatus.BLOCKED
    boss.hold(shop.run())
    shop.graph.decide(decision_of(asked.approve(by="alice")))
    workflows = shop.graph.equipment.catalog.workflows
    assert shop.run() not in [row["run_id"] for row in boss.yard.rows(workflows=workflows)]
    assert boss.release(shop.run()) is RunStatus.QUEUED
    assert shop.run() in [row["run_id"] for row in boss.yard.rows(workflows=workflows)]
    assert [kind for kind, _, _ in boss.noted(shop.run())] == ["hold", "release", "hold", "release"]


def test_who_enters_a_held_run_moves_it_no_more_than_a_worker_does(shop: Any, boss: Boss, owner: Any) -> None:
    asked = shop.open()
    boss.hold(shop.run())
    for entry in (None, {"goal": "sell"}):
        with pytest.raises(RunOnHold, match=r"is held \(wait\).*`gatepost run release "):
            shop.graph.invoke(entry, shop.config())
    assert shop.answer(asked.approve(by="alice"))["status"] == "held"
    with pytest.raises(RunOnHold):
        shop.graph.invoke(None, shop.config())
    assert (owner.run(shop.run())["status"], shop.sold()) == ("held", [])
    assert boss.release(shop.run()) is RunStatus.QUEUED
    assert shop.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert len(shop.sold()) == 1


def test_a_run_that_was_given_up_is_tried_anew(boss: Boss) -> None:
    boss.yard.admit("a")
    boss.yard.set("a", status="stranded", setbacks=10, trouble="ValueError: no")
    assert boss.release(f"{boss.yard.name}-a") is RunStatus.QUEUED
    (row,) = boss.yard.rows()
    assert (row["setbacks"], row["trouble"]) == (0, None)


def test_what_nobody_parked_is_not_released(shop: Any, boss: Boss) -> None:
    shop.open()
    with pytest.raises(CallerMistake, match="is blocked: nobody has to release it"):
        boss.release(shop.run())


def test_what_has_nowhere_to_go_on_is_not_released(shop: Any, boss: Boss, owner: Any) -> None:
    shop.answer(shop.open().approve(by="alice"))
    owner.change("UPDATE gatepost.run SET status = 'stranded', finished_at = NULL WHERE run_id = %s", shop.run())
    with pytest.raises(CallerMistake, match="nowhere to go on"):
        boss.release(shop.run())
    assert boss.cancel(shop.run()).status is RunStatus.CANCELLED


def test_orders_are_in_the_export(shop: Any, boss: Boss) -> None:
    shop.open()
    boss.hold(shop.run())

    async def events() -> list[dict[str, Any]]:
        return [event async for event in boss.hall.history.events(shop.run())]

    (noted,) = [event for event in boss.hall.bridge.run(events()) if event["what"] == "intervention"]
    assert (noted["to"], noted["who"], noted["why"]) == ("hold", "olga", "wait")
