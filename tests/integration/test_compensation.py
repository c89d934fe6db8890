"""Tries to leave something done that should be undone, or to undo it twice, in the wrong order or under a used key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gatepost import (
    EffectContext,
    Finding,
    FixedPlan,
    GatepostGraph,
    NotDone,
    Plan,
    Policy,
    Retry,
    RunStatus,
    Situation,
    Step,
    Strategy,
    Tool,
    Undone,
    Workflow,
    tool,
)
from gatepost.state.effect import key_of
from gatepost.state.errors import InvalidDecision
from gatepost.testing import approve, finish

ALL = Policy('@id("all") permit (principal, action, resource);')
ONCE = Retry(attempts=1)
BOTH = frozenset({RunStatus.FAILED, RunStatus.REJECTED})


class Trip:
    """Bookings that can be cancelled, all but the insurance."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.log: list[str] = []
        self.keys: list[str] = []
        self.refuses: set[str] = set()
        self.hangs: set[str] = set()
        self.inside = threading.Event()
        self.undone: list[Undone] = []
        self._build = build
        self.tools: Sequence[Tool[..., Any]] = (*self._bookings(), *self._doubtful(), *self._reads())

    def _bookings(self) -> tuple[Tool[..., Any], ...]:

        @tool(effect="write", on_doubt="retry", retry=ONCE)
        async def cancel(ctx: EffectContext, what: str) -> None:
            self.keys.append(ctx.idempotency_key)
            if what in self.hangs:
                self.hangs.discard(what)
                self.inside.set()
                await asyncio.Event().wait()
            if what in self.refuses:
                raise NotDone(f"{what} cannot be cancelled")
            self.log.append(f"-{what}")

        self._cancel: Tool[..., Any] = cancel

        @tool(effect="write", on_doubt="retry", retry=ONCE, compensate=cancel)
        def book(ctx: EffectContext, what: str) -> str:
            self.keys.append(ctx.idempotency_key)
            self.log.append(f"+{what}")
            return what

        @tool(effect="write", on_doubt="retry", retry=ONCE)
        def give_back(ctx: EffectContext, reason: str = "changed plans") -> None:
            assert ctx.undoes is not None
            self.undone.append(ctx.undoes)
            self.log.append(f"-{ctx.undoes.result} ({reason})")

        @tool(effect="write", on_doubt="retry", retry=ONCE, compensate=give_back)
        def buy(what: str) -> str:
            self.log.append(f"+{what}")
            return f"receipt {len(self.log)}"

        @tool(effect="irreversible", on_doubt="retry", retry=ONCE)
        def insure(what: str) -> str:
            self.log.append(f"+{what}")
            return what

        return book, buy, insure

    def _doubtful(self) -> tuple[Tool[..., Any], ...]:
        @tool(effect="write", on_doubt="ask", retry=ONCE)
        def drop(ctx: EffectContext, what: str) -> str:
            self.keys.append(ctx.idempotency_key)
            self.log.append(f"-{what}")
            raise TimeoutError

        @tool(effect="write", on_doubt="retry", retry=ONCE, compensate=drop)
        def rent(what: str) -> str:
            self.log.append(f"+{what}")
            return what

        @tool(effect="write", on_doubt="ask", retry=ONCE, compensate=self._cancel)
        def vanish(what: str) -> str:
            self.log.append(f"+{what}")
            raise TimeoutError

        return rent, vanish

    def _reads(self) -> tuple[Tool[..., Any], ...]:
        @tool(effect="read", retry=ONCE)
        def fail() -> str:
            raise ValueError("no visa")

        @tool(effect="read")
        def find() -> Finding:
            return Finding(replan="closed")

        return fail, find

    def graph(
        self, strategy: Strategy | tuple[Step, ...], *, on: frozenset[RunStatus] = BOTH, policy: Policy = ALL
    ) -> GatepostGraph:
        chosen = FixedPlan(Plan(steps=strategy)) if isinstance(strategy, tuple) else strategy
        workflow = Workflow(name="w", goals=("w",), strategy=chosen, tools=tuple(self.tools), compensate_on=on)
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
        "theatre": "pending",
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
    result = shop.answer(asked.happened(by="alice", result="boat"))
    assert (result["status"], trip.log) == ("compensated", ["+boat", "-boat"])


@pytest.mark.parametrize("result", [None, "boat"])
def test_what_happened_can_be_undone_at_once(trip: Trip, shop: Any, result: str | None) -> None:
    """Nobody needs to know what it returned."""
    shop.graph = trip.graph((_book("flight"), _book("boat", "flight", kind="vanish")), on=frozenset())
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    shop.graph.resolve(asked.effect_key, by="alice", happened=True, undo=True, result=result)
    ended = shop.graph.invoke(None, shop.config())
    assert (ended["status"], trip.log) == ("compensated", ["+flight", "+boat", "-boat", "-flight"])
    assert "alice had boat undone" in ended["outcome"]["reason"]


def test_what_did_not_happen_is_not_undone(trip: Trip, shop: Any) -> None:
    shop.graph = trip.graph((_book("flight"), _book("boat", "flight", kind="vanish")))
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    result = shop.answer(asked.reject(by="alice"))
    assert (result["status"], trip.log) == ("compensated", ["+flight", "+boat", "-flight"])


def test_an_undo_is_told_what_it_undoes(trip: Trip, shop: Any, owner: Any) -> None:
    """It takes no argument of the call; what the call returned is all it needs."""
    steps = (_book("bike", kind="buy"), Step(id="fail", tool="fail", needs=("bike",)))
    assert trip.graph(steps).invoke({"goal": "w"}, shop.config())["status"] == "compensated"
    assert trip.log == ["+bike", "-receipt 1 (changed plans)"]
    key = key_of(tenant="local", root_run=shop.run(), step="bike")
    assert trip.undone == [Undone(key=key, arguments={"what": "bike"}, result="receipt 1")]


# who lets it be undone

DECIDE = '@id("decide") permit (principal, action == Action::"decide", resource);'
LETS_BOOK = (
    DECIDE
    + """
@id("books") permit (principal, action == Action::"run", resource) unless { context.tool == "cancel" };
"""
)
FLIGHT = (_book("flight"), Step(id="fail", tool="fail", needs=("flight",)))


def test_an_undo_that_the_policy_forbids_is_not_made(trip: Trip, shop: Any, owner: Any) -> None:
    forbids = '@id("never") forbid (principal, action == Action::"run", resource) when { context.tool == "cancel" };'
    graph = trip.graph(FLIGHT, policy=Policy(LETS_BOOK + forbids))
    result = graph.invoke({"goal": "w"}, shop.config())
    assert (result["status"], trip.log) == ("compensation_failed", ["+flight"])
    flight = result["steps"]["flight"]
    assert (flight["status"], flight["failure"]["kind"]) == ("compensation_failed", "policy_denied")
    assert "never" in flight["reason"]


def test_an_undo_that_nobody_approved_asks(trip: Trip, shop: Any, owner: Any) -> None:
    """The step ran unattended, so no person has ever heard of its undo."""
    shop.graph = trip.graph(FLIGHT, policy=Policy(LETS_BOOK))
    result = shop.graph.invoke({"goal": "w"}, shop.config())
    asked = result["approval"]
    assert (result["status"], trip.log) == ("blocked", ["+flight"])
    assert (asked.purpose, asked.tool, asked.undoes, asked.args) == ("compensate", "cancel", "book", {"what": "flight"})
    assert owner.steps(shop.run())["flight"] == "compensating"
    for _ in range(2):
        assert shop.graph.invoke(None, shop.config())["approval"] == asked
    for answer in (asked.edit(by="alice", what="hotel"), asked.respond("wait", by="alice")):
        with pytest.raises(InvalidDecision):
            shop.answer(answer)
    assert shop.answer(asked.approve(by="alice"))["status"] == "compensated"
    assert trip.log == ["+flight", "-flight"]
    (undo,) = [effect for effect in owner.effects(shop.run()) if effect["purpose"] == "compensate"]
    assert undo["approval_id"] == asked.id


def test_an_undo_that_a_person_rejects_is_not_made_and_the_others_are(trip: Trip, shop: Any) -> None:
    steps = (_book("flight"), _book("hotel", "flight"), Step(id="fail", tool="fail", needs=("hotel",)))
    shop.graph = trip.graph(steps, policy=Policy(LETS_BOOK))
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    assert asked.step == "hotel"
    asked = shop.answer(asked.reject(by="alice", comment="we sleep there anyway"))["approval"]
    assert asked.step == "flight"
    result = shop.answer(asked.approve(by="alice"))
    assert (result["status"], trip.log[2:]) == ("compensation_failed", ["-flight"])
    assert "we sleep there anyway" in result["steps"]["hotel"]["reason"]


def test_who_approves_a_step_approves_the_undo_that_it_names(trip: Trip, shop: Any, owner: Any) -> None:
    graph = trip.graph(FLIGHT, policy=Policy.default())
    asked = graph.invoke({"goal": "w"}, shop.config())["approval"]
    assert (asked.undo, "cancel would undo it" in asked.describe()) == ("cancel", True)
    result = finish(graph, None, shop.config(), answers=[approve()])
    assert (result["status"], trip.log) == ("compensated", ["+flight", "-flight"])
    assert {effect["approval_id"] for effect in owner.effects(shop.run())} == {asked.id}


def test_an_approval_covers_the_undo_that_it_named_and_no_other(trip: Trip, shop: Any, owner: Any) -> None:
    """The run goes on under code in which another tool undoes the step."""
    asked = trip.graph(FLIGHT, policy=Policy.default()).invoke({"goal": "w"}, shop.config())["approval"]
    book, buy, *others = trip.tools
    trip.tools = (replace(book, compensate=buy.compensate), buy, *others)
    shop.graph = trip.graph(FLIGHT, policy=Policy.default())
    result = shop.answer(asked.approve(by="alice"))
    assert (result["status"], trip.log) == ("blocked", ["+flight"])
    assert (result["approval"].purpose, result["approval"].tool) == ("compensate", "give_back")


def test_an_edited_step_is_undone_as_it_was_edited(trip: Trip, shop: Any) -> None:
    graph = trip.graph(FLIGHT, policy=Policy.default())
    asked = graph.invoke({"goal": "w"}, shop.config())["approval"]
    result = finish(graph, None, shop.config(), answers=[lambda asked: asked.edit(by="alice", what="train")])
    assert (result["status"], trip.log) == ("compensated", ["+train", "-train"])
    assert asked.args == {"what": "flight"}


# an undo whose end nobody saw

RENTED = (_book("flight"), _book("car", "flight", kind="rent"), Step(id="fail", tool="fail", needs=("car",)))


def test_an_undo_whose_end_nobody_saw_is_a_persons_matter(trip: Trip, shop: Any, owner: Any) -> None:
    shop.graph = trip.graph(RENTED)
    result = shop.graph.invoke({"goal": "w"}, shop.config())
    asked = result["approval"]
    key = key_of(tenant="local", root_run=shop.run(), step="car", purpose="compensate")
    assert (result["status"], asked.kind, asked.purpose, asked.effect_key) == ("blocked", "doubt", "compensate", key)
    assert "called drop (write), to undo rent, and nobody saw" in asked.describe()
    assert (owner.steps(shop.run())["car"], trip.log) == ("compensating", ["+flight", "+car", "-car"])
    for answer in (asked.happened(by="alice", result=7), asked.happened(by="alice")):
        with pytest.raises(InvalidDecision):
            shop.answer(answer)
    result = shop.answer(asked.happened(by="alice", result="r_1"))
    assert trip.log == ["+flight", "+car", "-car", "-flight"]
    assert (result["status"], owner.steps(shop.run())["car"]) == ("compensated", "compensated")
    (undo,) = [effect for effect in owner.effects(shop.run()) if effect["key"] == key]
    assert (undo["state"], undo["result"]) == ("succeeded", "r_1")
    assert "alice" in result["steps"]["car"]["reason"]


def test_an_undo_that_did_not_happen_is_done_anew_under_another_key(trip: Trip, shop: Any, owner: Any) -> None:
    shop.graph = trip.graph(RENTED)
    first = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    second = shop.answer(first.did_not_happen(by="alice"))["approval"]
    assert (second.kind, second.effect_key != first.effect_key) == ("doubt", True)
    result = shop.answer(second.happened(by="alice", result="r_1"))
    assert (result["status"], trip.log) == ("compensated", ["+flight", "+car", "-car", "-car", "-flight"])
    states = {effect["key"]: (effect["generation"], effect["state"]) for effect in owner.effects(shop.run())}
    assert (states[first.effect_key], states[second.effect_key]) == ((0, "failed"), (1, "succeeded"))


def test_an_undo_that_died_in_its_call_and_cannot_be_asked_about_is_a_persons_matter(
    trip: Trip, shop: Any, owner: Any
) -> None:
    shop.graph = trip.graph(RENTED)
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    owner.change("UPDATE gatepost.effect SET state = 'intended' WHERE key = %s", asked.effect_key)
    owner.change(
        "UPDATE gatepost.approval SET status = 'void', closed_at = gatepost.now() WHERE approval_id = %s", asked.id
    )
    again = shop.graph.invoke(None, shop.config())["approval"]
    assert (again.kind, again.effect_key, again.id != asked.id) == ("doubt", asked.effect_key, True)
    assert "cut off" in again.reasons[0]
    assert trip.log == ["+flight", "+car", "-car"]


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
