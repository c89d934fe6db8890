"""Tries to have a failure treated otherwise than it was said, a new call made under a used key, an attempt forgotten
by a crash, and a wait without an end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gatepost import (
    EffectContext,
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
    Workflow,
    tool,
)
from gatepost.nodes.attempts import CUT_OFFS
from gatepost.state.effect import key_of
from gatepost.state.errors import InvalidDecision

ALL = Policy('@id("all") permit (principal, action, resource);')
QUICK = timedelta(milliseconds=1)
CHARGE = Step(id="charge", tool="charge", args={"cents": 1})


class Bank:
    """Charges that end as told; what is refunded."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self._build = build
        self.keys: list[str] = []
        self.ends: list[Exception | None] = []
        """How each call ends: an error, or well."""
        self.refunded: list[str] = []
        self.waits: threading.Event | None = None
        self.inside = threading.Event()

    def graph(
        self, strategy: Strategy | None = None, *, policy: Policy = ALL, workflow: Any = None, **declared: Any
    ) -> GatepostGraph:
        @tool(effect="write", on_doubt="retry")
        def refund(ctx: EffectContext, cents: int) -> None:
            self.refunded.append(ctx.undoes.key if ctx.undoes else "")

        async def charge(ctx: EffectContext, cents: int) -> str:
            self.keys.append(ctx.idempotency_key)
            if self.waits is not None and not self.waits.is_set():
                self.inside.set()
                await asyncio.Event().wait()
            if self.ends and (error := self.ends.pop(0)) is not None:
                raise error
            return f"charged in attempt {ctx.attempt}"

        settings = {"effect": "write", "on_doubt": "retry", "retry": Retry(attempts=1), **declared}
        tools = (tool(compensate=refund, **settings)(charge), refund)
        chosen = strategy or FixedPlan(Plan(steps=(CHARGE,)))
        sale = Workflow(name="w", goals=("w",), strategy=chosen, tools=tools, **(workflow or {}))
        return self._build([sale], policy=policy)

    def cut_off(self, graph: GatepostGraph, config: Any, fact: threading.Event) -> None:
        """Start the run, or go on with it, and end the process's part in it when a fact is there."""

        async def cut() -> None:
            running = asyncio.ensure_future(graph.ainvoke({"goal": "w"}, config))
            await asyncio.to_thread(fact.wait, 20)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

        asyncio.run(cut())


@pytest.fixture
def bank(build: Callable[..., GatepostGraph]) -> Bank:
    return Bank(build)


# a person is asked


def test_a_failure_that_is_escalated_can_be_tried_again_as_a_new_call(bank: Bank, shop: Any, owner: Any) -> None:
    bank.ends = [NotDone("the token has expired"), NotDone("still")]
    shop.graph = bank.graph(on_failure={"validation": "escalate"})
    result = shop.graph.invoke({"goal": "w"}, shop.config())
    asked = result["approval"]
    assert (result["status"], asked.kind, asked.allowed) == ("blocked", "failure", ("approve", "reject"))
    assert "the token has expired" in asked.describe()
    assert shop.graph.invoke(None, shop.config())["approval"] == asked
    second = shop.answer(asked.approve(by="alice"))["approval"]
    assert (second.kind, second.id != asked.id) == ("failure", True)
    result = shop.answer(second.approve(by="alice"))
    assert (result["status"], result["steps"]["charge"]["output"]) == ("succeeded", "charged in attempt 1")
    keys = [key_of(tenant="local", root_run=shop.run(), step="charge", generation=n) for n in range(3)]
    assert bank.keys == keys
    states = {effect["key"]: (effect["generation"], effect["state"]) for effect in owner.effects(shop.run())}
    assert [states[key] for key in keys] == [(0, "failed"), (1, "failed"), (2, "succeeded")]


def test_a_failure_that_is_escalated_may_be_left_so(bank: Bank, shop: Any) -> None:
    bank.ends = [NotDone("no")]
    shop.graph = bank.graph(workflow={"on_failure": {"charge.validation": "escalate"}})
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    for answer in (asked.happened, asked.did_not_happen):
        with pytest.raises(InvalidDecision):
            answer(by="alice")
    with pytest.raises(InvalidDecision, match="does not take 'edit'"):
        shop.answer(asked.edit(by="alice", cents=2))
    result = shop.answer(asked.reject(by="alice", comment="enough"))
    assert (result["status"], len(bank.keys)) == ("failed", 1)
    assert "left so by alice: enough" in result["outcome"]["reason"]


def test_what_is_tried_again_has_the_authority_that_it_had(bank: Bank, shop: Any, owner: Any) -> None:
    bank.ends = [NotDone("no")]
    shop.graph = bank.graph(policy=Policy.default(), on_failure={"validation": "escalate"})
    first = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    asked = shop.answer(first.edit(by="alice", cents=7))["approval"]
    assert shop.answer(asked.approve(by="alice"))["status"] == "succeeded"
    effects = owner.effects(shop.run())
    assert [(effect["approval_id"], effect["arguments"]) for effect in effects] == [(first.id, {"cents": 7})] * 2


def test_a_run_that_ends_meanwhile_asks_no_more_whether_to_try_again(bank: Bank, shop: Any, owner: Any) -> None:
    bank.ends = [NotDone("no"), NotDone("no, and no")]
    both = Plan(steps=(CHARGE, Step(id="other", tool="charge", args={"cents": 2}, needs=())))
    shop.graph = bank.graph(FixedPlan(both), policy=Policy.default(), on_failure={"validation": "escalate"})
    asked = {one.step: one for one in shop.graph.invoke({"goal": "w"}, shop.config())["approvals"]}
    failure = shop.answer(asked["charge"].approve(by="alice"))["approvals"]
    assert {one.kind for one in failure} == {"failure", "action"}
    assert shop.answer(asked["other"].reject(by="alice"))["status"] == "rejected"
    assert {
        row["status"] for row in owner.rows("SELECT status FROM gatepost.approval WHERE run_id = %s", shop.run())
    } == {"decided", "void"}


# the planner is asked, or what was done is undone


class Second:
    """Charges; when that fails, does what it is told."""

    def __init__(self, then: Callable[[], Plan | None]) -> None:
        self.then = then
        self.heard: list[str] = []

    def plan(self, situation: Situation) -> Plan | None:
        if situation.plan is None:
            return Plan(steps=(CHARGE, Step(id="after", tool="charge", args={"cents": 2}, needs=("charge",))))
        self.heard = [said.text for said in situation.responses]
        return self.then() if situation.plan.version == 1 else None


def test_the_planner_hears_of_a_failure_and_makes_another_plan(bank: Bank, shop: Any) -> None:
    bank.ends = [NotDone("the card is blocked")]
    other = Second(lambda: Plan(steps=(Step(id="invoice", tool="charge", args={"cents": 1}),)))
    result = bank.graph(other, on_failure={"validation": "replan"}).invoke({"goal": "w"}, shop.config())
    assert (result["status"], len(bank.keys)) == ("succeeded", 2)
    assert other.heard == ["step charge failed: NotDone: the card is blocked"]
    assert result["steps"]["charge"]["status"] == "failed"


@pytest.mark.parametrize("then", [lambda: None, lambda: Plan(steps=(CHARGE,))], ids=["none", "the same again"])
def test_a_planner_that_knows_no_better_ends_in_the_failure(
    bank: Bank, shop: Any, then: Callable[[], Plan | None]
) -> None:
    bank.ends = [NotDone("the card is blocked")]
    result = bank.graph(Second(then), on_failure={"validation": "replan"}).invoke({"goal": "w"}, shop.config())
    assert (result["status"], len(bank.keys)) == ("failed", 1)
    assert "the card is blocked" in result["outcome"]["reason"]


def test_a_fixed_plan_is_no_other_plan(bank: Bank, shop: Any) -> None:
    bank.ends = [NotDone("no")]
    assert bank.graph(on_failure={"validation": "replan"}).invoke({"goal": "w"}, shop.config())["status"] == "failed"


def test_a_failure_of_a_class_may_undo_what_was_done(bank: Bank, shop: Any) -> None:
    steps = Plan(steps=(CHARGE, Step(id="after", tool="charge", args={"cents": 2}, needs=("charge",))))
    bank.ends = [None, NotDone("no")]
    graph = bank.graph(FixedPlan(steps), workflow={"on_failure": {"validation": "compensate"}})
    result = graph.invoke({"goal": "w"}, shop.config())
    assert (result["status"], bank.refunded) == ("compensated", [bank.keys[0]])
    assert result["outcome"]["status"] == RunStatus.COMPENSATED


# what may be tried again


def test_a_class_may_be_tried_again_that_is_not_by_itself(bank: Bank, shop: Any) -> None:
    bank.ends = [NotDone("not yet"), NotDone("not yet")]
    retry = Retry(attempts=3, first=QUICK)
    result = bank.graph(on_failure={"validation": "retry"}, retry=retry).invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["steps"]["charge"]["output"]) == ("succeeded", "charged in attempt 3")
    assert len(set(bank.keys)) == 1


def test_a_class_may_fail_at_once_that_would_be_tried_again(bank: Bank, shop: Any) -> None:
    bank.ends = [NotDone("busy", again=True)]
    result = bank.graph(on_failure={"transient": "fail"}, retry=Retry(attempts=3)).invoke({"goal": "w"}, shop.config())
    assert (result["status"], len(bank.keys)) == ("failed", 1)


# attempts and time


def _waiting(owner: Any, *, seconds: float) -> threading.Event:
    """The fact that the next attempt is at least so far off."""
    waits = threading.Event()

    def watch() -> None:
        owner.wait_for(f"SELECT FROM gatepost.effect WHERE not_before > gatepost.now() + interval '{seconds} seconds'")
        waits.set()

    threading.Thread(target=watch).start()
    return waits


@pytest.mark.parametrize("before", [[], [TimeoutError()]], ids=["certain", "after a call whose end nobody saw"])
def test_a_crash_does_not_shorten_a_wait(
    gatepost_graph: Any, gatepost_database: Any, lone_owner: Any, before: list[Exception]
) -> None:
    """The provider asked for half a minute; whoever goes on asks it not a second earlier."""
    bank = Bank(gatepost_graph)
    bank.ends = [*before, NotDone("slowly", retry_after=timedelta(seconds=30))]
    graph = bank.graph(retry=Retry(attempts=2 + len(before), first=QUICK))
    config: Any = {"configurable": {"thread_id": "r1"}}
    bank.cut_off(graph, config, _waiting(lone_owner, seconds=20))
    gatepost_database.clock.shift(timedelta(seconds=29))

    async def go_on() -> Any:
        running = asyncio.ensure_future(graph.ainvoke(None, config))
        await asyncio.wait({running}, timeout=0.2)
        assert len(bank.keys) == len(before) + 1
        return await running

    assert asyncio.run(go_on())["status"] == "succeeded"
    assert len(bank.keys) == len(before) + 2


@pytest.mark.parametrize("on_doubt", ["ask", "retry"])
def test_a_crash_in_a_pause_forgets_no_attempt_and_leaves_no_doubt(
    gatepost_graph: Any, gatepost_database: Any, lone_owner: Any, on_doubt: str
) -> None:
    bank = Bank(gatepost_graph)
    bank.ends = [NotDone("busy", again=True) for _ in range(3)]
    pause = timedelta(seconds=30)
    config: Any = {"configurable": {"thread_id": "r1"}}
    graph = bank.graph(on_doubt=on_doubt, retry=Retry(attempts=3, first=pause, longest=pause))
    bank.cut_off(graph, config, _waiting(lone_owner, seconds=10))
    gatepost_database.clock.shift(pause)
    graph = bank.graph(on_doubt=on_doubt, retry=Retry(attempts=3, first=QUICK))
    result = graph.invoke(None, config)
    assert (result["status"], len(bank.keys), len(set(bank.keys))) == ("failed", 3, 1)
    (effect,) = lone_owner.effects("r1")
    assert (effect["state"], effect["attempts"]) == ("failed", 3)


def test_a_call_that_takes_its_process_with_it_is_not_made_for_ever(bank: Bank, shop: Any, owner: Any) -> None:
    bank.waits = threading.Event()
    for _ in range(1 + CUT_OFFS):
        bank.inside.clear()
        bank.cut_off(bank.graph(), shop.config(), bank.inside)
    result = bank.graph().invoke(None, shop.config())
    assert (result["status"], result["approval"].kind) == ("blocked", "doubt")
    assert "it may be what ends its process" in result["approval"].reasons[0]
    assert result["steps"]["charge"]["failure"]["kind"] == "poison"
    assert (len(bank.keys), len(set(bank.keys))) == (1 + CUT_OFFS, 1)


def test_no_attempt_begins_after_the_time_of_the_step(bank: Bank, shop: Any) -> None:
    bank.ends = [NotDone("busy", retry_after=timedelta(seconds=30)) for _ in range(9)]
    graph = bank.graph(retry=Retry(attempts=9), step_timeout=timedelta(seconds=20))
    result = graph.invoke({"goal": "w"}, shop.config())
    assert (result["status"], len(bank.keys)) == ("failed", 1)
    assert result["steps"]["charge"]["failure"]["kind"] == "throttled"


def test_an_attempt_ends_with_the_time_of_the_step(bank: Bank, shop: Any) -> None:
    bank.waits = threading.Event()
    graph = bank.graph(on_doubt="ask", step_timeout=timedelta(milliseconds=50))
    result = graph.invoke({"goal": "w"}, shop.config())
    assert (result["approval"].kind, len(bank.keys)) == ("doubt", 1)
    assert "no answer within 0.0" in result["approval"].reasons[0]


def test_a_crash_does_not_give_the_step_more_time(gatepost_graph: Any, gatepost_database: Any, lone_shop: Any) -> None:
    bank = Bank(gatepost_graph)
    bank.waits = threading.Event()
    limit = timedelta(hours=1)
    bank.cut_off(bank.graph(step_timeout=limit), lone_shop.config(), bank.inside)
    gatepost_database.clock.shift(limit)
    result = bank.graph(step_timeout=limit).invoke(None, lone_shop.config())
    assert (result["status"], result["approval"].kind, len(bank.keys)) == ("blocked", "doubt", 1)
