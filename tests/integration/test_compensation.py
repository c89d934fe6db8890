"""Tries to leave something done that should be undone, or to undo it twice, in the wrong order or under a used key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gatepost import (
    EffectContext,
    Finding,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Retry,
    RunStatus,
    Situation,
    Step,
    Strategy,
    Workflow,
    tool,
)

ALL = Policy('@id("all") permit (principal, action, resource);')
BOTH = frozenset({RunStatus.FAILED, RunStatus.REJECTED})


class Trip:
    """Bookings that can be cancelled, all but the insurance."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.log: list[str] = []
        self.keys: list[str] = []
        self.refuses: set[str] = set()
        self.hangs: set[str] = set()
        self.inside = threading.Event()
        self._build = build
        once = Retry(attempts=1)

        @tool(effect="write", on_doubt="retry", retry=once)
        async def cancel(ctx: EffectContext, what: str) -> None:
            self.keys.append(ctx.idempotency_key)
            if what in self.hangs:
                self.hangs.discard(what)
                self.inside.set()
                await asyncio.Event().wait()
            if what in self.refuses:
                raise ValueError(f"{what} cannot be cancelled")
            self.log.append(f"-{what}")

        @tool(effect="write", on_doubt="retry", retry=once, compensate=cancel)
        def book(ctx: EffectContext, what: str) -> str:
            self.keys.append(ctx.idempotency_key)
            self.log.append(f"+{what}")
            return what

        @tool(effect="irreversible", on_doubt="retry", retry=once)
        def insure(what: str) -> str:
            self.log.append(f"+{what}")
            return what

        @tool(effect="write", on_doubt="ask", retry=once, compensate=cancel)
        def vanish(what: str) -> str:
            self.log.append(f"+{what}")
            raise TimeoutError

        @tool(effect="read", retry=once)
        def fail() -> str:
            raise ValueError("no visa")

        @tool(effect="read")
        def find() -> Finding:
            return Finding(replan="closed")

        self.tools = (book, insure, vanish, fail, find)

    def graph(
        self, strategy: Strategy | tuple[Step, ...], *, on: frozenset[RunStatus] = BOTH, policy: Policy = ALL
    ) -> GatepostGraph:
        chosen = FixedPlan(Plan(steps=strategy)) if isinstance(strategy, tuple) else strategy
        workflow = Workflow(name="w", goals=("w",), strategy=chosen, tools=self.tools, compensate_on=on)
        return self._build([workflow], policy=policy)


@pytest.fixture
def trip(build: Callable[..., GatepostGraph]) -> Trip:
    return Trip(build)


def _book(step: str, *needs: str, kind: str = "book") -> Step:
    return Step(id=step, tool=kind, args={"what": step}, needs=needs)


FAIL = Step(id="fail", tool="fail", needs=("car",))
JOURNEY = (_book("flight"), _book("hotel", "flight"), _book("car", "hotel"), FAIL, _book("theatre", "fail"))


def test_what_was_done_is_undone_in_reverse_order_under_keys_of_its_own(trip: Trip, shop: Any, owner: Any) -> None:
    result = trip.graph(JOURNEY).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "compensated"
    assert "no visa" in result["outcome"]["reason"]
    assert trip.log == ["+flight", "+hotel", "+car", "-car", "-hotel", "-flight"]
    assert len(set(trip.keys)) == 6
    assert owner.steps(shop.run()) == {
        "flight": "compensated",
        "hotel": "compensated",
        "car": "compensated",
        "fail": "failed",
    }
    effects = owner.effects(shop.run())
    assert sorted(effect["purpose"] for effect in effects) == ["compensate"] * 3 + ["run"] * 3
    for effect in effects:
        assert effect["arguments"] == {"what": effect["step_id"]}
        assert effect["state"] == "succeeded"
    assert trip.graph(JOURNEY).invoke(None, shop.config())["status"] == "compensated"
    assert len(trip.log) == 6


def test_without_being_asked_to_nothing_is_undone(trip: Trip, shop: Any) -> None:
    result = trip.graph(JOURNEY, on=frozenset()).invoke({"goal": "w"}, shop.config())
    assert (result["status"], trip.log) == ("failed", ["+flight", "+hotel", "+car"])


def test_what_has_no_undo_stays_and_the_rest_is_undone(trip: Trip, shop: Any, owner: Any) -> None:
    steps = (_book("flight"), _book("cover", "flight", kind="insure"), _book("car", "cover"), FAIL)
    result = trip.graph(steps).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "compensated"
    assert trip.log[3:] == ["-car", "-flight"]
    assert owner.steps(shop.run())["cover"] == "succeeded"


def test_a_failure_with_nothing_done_is_just_a_failure(trip: Trip, shop: Any) -> None:
    assert trip.graph((Step(id="fail", tool="fail"),)).invoke({"goal": "w"}, shop.config())["status"] == "failed"


def test_a_rejection_undoes_what_was_done(trip: Trip, shop: Any) -> None:
    asks = Policy("""
    @id("books") permit (principal, action == Action::"run", resource) unless { context.tool == "insure" };
    @id("decide") permit (principal, action == Action::"decide", resource);
    """)
    shop.graph = trip.graph((_book("flight"), _book("cover", "flight", kind="insure")), policy=asks)
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    result = shop.answer(asked.reject(by="alice"))
    assert (result["status"], trip.log) == ("compensated", ["+flight", "-flight"])


def test_an_undo_that_fails_is_named_and_the_others_go_on(trip: Trip, shop: Any, owner: Any) -> None:
    trip.refuses = {"hotel"}
    graph = trip.graph(JOURNEY)
    result = graph.invoke({"goal": "w"}, shop.config())
    assert result["status"] == "compensation_failed"
    assert "could not undo hotel" in result["outcome"]["reason"]
    assert trip.log[3:] == ["-car", "-flight"]
    assert owner.steps(shop.run())["hotel"] == "compensation_failed"
    before = len(trip.keys)
    assert graph.invoke(None, shop.config())["status"] == "compensation_failed"
    assert (len(trip.keys), owner.run(shop.run())["owner"]) == (before, None)


def test_an_undo_that_was_cut_off_goes_on_where_it_was(trip: Trip, shop: Any, owner: Any) -> None:
    trip.hangs = {"hotel"}
    graph = trip.graph(JOURNEY)

    async def cut() -> None:
        running = asyncio.ensure_future(graph.ainvoke({"goal": "w"}, shop.config()))
        await asyncio.to_thread(trip.inside.wait, 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cut())
    assert trip.log == ["+flight", "+hotel", "+car", "-car"]
    assert graph.invoke(None, shop.config())["status"] == "compensated"
    assert trip.log[4:] == ["-hotel", "-flight"]
    assert len(set(trip.keys)) == 6
    assert {e["attempts"] for e in owner.effects(shop.run()) if e["step_id"] == "hotel"} == {1, 2}


def test_what_turned_out_to_have_happened_is_undone_as_well(trip: Trip, shop: Any) -> None:
    steps = (_book("boat", kind="vanish"), Step(id="fail", tool="fail"))
    shop.graph = trip.graph(steps)
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    assert asked.kind == "doubt"
    result = shop.answer(asked.approve(by="alice"))
    assert (result["status"], trip.log) == ("compensated", ["+boat", "-boat"])


def test_what_did_not_happen_is_not_undone(trip: Trip, shop: Any) -> None:
    shop.graph = trip.graph((_book("flight"), _book("boat", "flight", kind="vanish")))
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    result = shop.answer(asked.reject(by="alice"))
    assert (result["status"], trip.log) == ("compensated", ["+flight", "+boat", "-flight"])


# a new plan on the way


class Replans:
    """Books a flight, is told to plan anew, and then does as it is told."""

    def __init__(self, then: Callable[[], Plan | None]) -> None:
        self.then = then

    def plan(self, situation: Situation) -> Plan | None:
        if situation.plan is None:
            return Plan(
                steps=(_book("flight"), Step(id="find", tool="find", needs=("flight",)), _book("hotel", "find"))
            )
        return self.then() if situation.plan.version == 1 else None


def test_a_planner_that_gives_up_leaves_nothing_done(trip: Trip, shop: Any) -> None:
    def give_up() -> Plan:
        raise RuntimeError("out of ideas")

    result = trip.graph(Replans(give_up)).invoke({"goal": "w"}, shop.config())
    assert "out of ideas" in result["outcome"]["reason"]
    assert (result["status"], trip.log) == ("compensated", ["+flight", "-flight"])


def test_what_a_new_plan_no_longer_mentions_is_undone_all_the_same(trip: Trip, shop: Any) -> None:
    """A state machine's next segment does not repeat the steps of the last one."""
    then = Replans(lambda: Plan(steps=(_book("car"), FAIL)))
    result = trip.graph(then).invoke({"goal": "w"}, shop.config())
    assert (result["status"], trip.log) == ("compensated", ["+flight", "+car", "-car", "-flight"])
