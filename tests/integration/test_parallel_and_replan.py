"""Tries to make parallel steps and new plans interfere: a run that finalizes beside a new plan, a step that runs twice,
a strategy that plans nonsense or never stops.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from gatepost import (
    Condition,
    EffectContext,
    Finding,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Retry,
    Situation,
    Step,
    Strategy,
    Workflow,
    ref,
    tool,
)

ALL = Policy('@id("all") permit (principal, action, resource);')


class Yard:
    """Tools that count their calls."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.calls: Counter[str] = Counter()
        self.keys: set[str] = set()
        self._build = build

        @tool(effect="write", on_doubt="retry")
        def do(ctx: EffectContext, what: str = "") -> str:
            self.calls[ctx.step_id] += 1
            self.keys.add(ctx.idempotency_key)
            return what

        @tool(effect="write", on_doubt="retry")
        async def ado(ctx: EffectContext) -> str:
            self.calls[ctx.step_id] += 1
            self.keys.add(ctx.idempotency_key)
            await asyncio.sleep(0)
            return ctx.step_id

        @tool(effect="read", retry=Retry(attempts=1))
        def fail(ctx: EffectContext) -> str:
            self.calls[ctx.step_id] += 1
            raise ValueError("it does not work")

        @tool(effect="read")
        def find(ctx: EffectContext, why: str) -> Finding:
            self.calls[ctx.step_id] += 1
            return Finding(replan=why)

        self.tools = (do, ado, fail, find)

    def graph(self, strategy: Strategy | Plan) -> GatepostGraph:
        chosen = FixedPlan(strategy) if isinstance(strategy, Plan) else strategy
        return self._build([Workflow(name="w", goals=("w",), strategy=chosen, tools=self.tools)], policy=ALL)


@pytest.fixture
def yard(build: Callable[..., GatepostGraph]) -> Yard:
    return Yard(build)


def _statuses(result: dict[str, Any]) -> dict[str, str]:
    return {step: record["status"] for step, record in result["steps"].items()}


# a new plan


class Replans:
    """Plans `more` once a step asks for a new plan."""

    def __init__(self, first: tuple[Step, ...], more: tuple[Step, ...]) -> None:
        self.first, self.more = first, more
        self.saw: list[set[str]] = []

    def plan(self, situation: Situation) -> Plan | None:
        if situation.plan is None:
            return Plan(steps=self.first)
        if len(situation.responses) == len(self.saw):
            return None
        self.saw.append({step for step, record in situation.steps.items() if record.status == "succeeded"})
        return Plan(steps=(*self.first, *self.more))


class Part(FixedPlan):
    """A fixed plan of which each run gets the step that its input names."""

    origin = "model"

    def plan(self, situation: Situation) -> Plan | None:
        wanted = situation.input["step"]
        mine = tuple(one for one in self.steps.steps if one.id == wanted)
        return None if situation.plan else Plan(steps=mine)


def test_another_kind_of_fixed_plan_is_asked_by_every_run(yard: Yard, shop: Any, owner: Any) -> None:
    graph = yard.graph(Part(Plan(steps=(Step(id="a", tool="do"), Step(id="b", tool="do")))))
    for run, step in (("r1", "a"), ("r2", "b")):
        graph.invoke({"goal": "w", "input": {"step": step}}, {"configurable": {"thread_id": run}})
    assert yard.calls == Counter("ab")
    plans = [row["plan"] for row in owner.rows("SELECT plan FROM gatepost.plan")]
    assert {plan["origin"] for plan in plans} == {"model"}


def test_a_finding_among_three_parallel_steps_plans_anew_and_repeats_nothing(yard: Yard, shop: Any, owner: Any) -> None:
    first = (
        Step(id="a", tool="do"),
        Step(id="b", tool="find", args={"why": "more is needed"}),
        Step(id="c", tool="ado"),
        Step(id="d", tool="do", needs=("a", "b", "c")),
    )
    strategy = Replans(first, (Step(id="e", tool="do", needs=("b",)),))
    result = yard.graph(strategy).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "succeeded"
    assert set(_statuses(result).values()) == {"succeeded"}
    assert yard.calls == Counter("abcde")
    assert strategy.saw == [{"a", "b", "c"}]
    assert result["plan_version"] == 2
    finals = owner.rows(
        "SELECT seq FROM gatepost.transition WHERE run_id = %s AND 'finalizer' = ANY (nodes)", shop.run()
    )
    assert len(finals) == 1
    nodes = owner.rows("SELECT nodes FROM gatepost.transition WHERE run_id = %s ORDER BY seq", shop.run())
    assert all(len(set(row["nodes"])) == 1 for row in nodes)
    assert nodes[-1]["nodes"] == ["finalizer"]


def test_three_findings_at_once_make_one_new_plan(yard: Yard, shop: Any) -> None:
    first = tuple(Step(id=name, tool="find", args={"why": name}) for name in "abc")

    class Once(Replans):
        def plan(self, situation: Situation) -> Plan | None:
            if situation.plan is not None and not self.saw:
                self.saw.append({said.text for said in situation.responses})
                return Plan(steps=(*self.first, *self.more))
            return None if situation.plan else Plan(steps=self.first)

    strategy = Once(first, (Step(id="d", tool="do"),))
    result = yard.graph(strategy).invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["plan_version"]) == ("succeeded", 2)
    assert strategy.saw == [{"a", "b", "c"}]
    assert yard.calls == Counter("abcd")


def test_a_segment_that_ends_asks_for_the_next_one(yard: Yard, shop: Any) -> None:
    class Machine:
        def plan(self, situation: Situation) -> Plan | None:
            done = len(situation.steps)
            return None if done == 3 else Plan(steps=(Step(id=f"s{done}", tool="do"),), final=False)

    result = yard.graph(Machine()).invoke({"goal": "w"}, shop.config())
    assert (result["status"], yard.calls) == ("succeeded", Counter({"s0": 1, "s1": 1, "s2": 1}))


# many at once


@pytest.mark.parametrize("kind", ["do", "ado"])
def test_thirty_parallel_effects_each_happen_once(yard: Yard, shop: Any, owner: Any, kind: str) -> None:
    steps = tuple(Step(id=f"s{n}", tool=kind) for n in range(30))
    result = yard.graph(Plan(steps=steps)).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "succeeded"
    assert yard.calls == Counter({step.id: 1 for step in steps})
    effects = owner.effects(shop.run())
    assert {effect["key"] for effect in effects} == yard.keys
    assert len(yard.keys) == 30
    assert {(effect["state"], effect["attempts"]) for effect in effects} == {("succeeded", 1)}


def test_a_chain_of_three_hundred_steps_finishes(yard: Yard, shop: Any, owner: Any) -> None:
    steps = tuple(Step(id=f"s{n}", tool="do", args={"what": ref(f"s{n - 1}") if n else "start"}) for n in range(300))
    result = yard.graph(Plan(steps=steps)).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "succeeded"
    assert result["steps"]["s299"]["output"] == "start"
    assert set(yard.calls.values()) == {1}
    assert owner.counts(shop.run())["checkpoints"] < 3 * 300 + 10


def test_identical_calls_of_two_steps_are_two_effects(yard: Yard, shop: Any) -> None:
    steps = (Step(id="one", tool="do", args={"what": "x"}), Step(id="two", tool="do", args={"what": "x"}))
    yard.graph(Plan(steps=steps)).invoke({"goal": "w"}, shop.config())
    assert len(yard.keys) == 2


# what fails, what is skipped


def test_a_failing_step_keeps_its_siblings_results(yard: Yard, shop: Any, owner: Any) -> None:
    steps = (
        Step(id="a", tool="do", args={"what": "kept"}),
        Step(id="b", tool="fail"),
        Step(id="c", tool="ado"),
        Step(id="d", tool="do", needs=("b",)),
        Step(id="e", tool="do", needs=("a",)),
    )
    result = yard.graph(Plan(steps=steps)).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "failed"
    assert "step b failed: ValueError: it does not work" in result["outcome"]["reason"]
    assert yard.calls == Counter("abc")
    assert result["steps"]["a"]["output"] == "kept"
    assert [effect["state"] for effect in owner.effects(shop.run())] == ["succeeded", "succeeded"]
    assert yard.graph(Plan(steps=steps)).invoke(None, shop.config())["status"] == "failed"
    assert yard.calls == Counter("abc")


def test_a_skip_reaches_what_rests_on_it_and_nothing_else(yard: Yard, shop: Any) -> None:
    steps = (
        Step(id="a", tool="do", args={"what": "no"}),
        Step(id="b", tool="do", when=Condition(ref="a#", value="yes")),
        Step(id="c", tool="do", args={"what": ref("b")}),
        Step(id="d", tool="do", args={"what": ref("c")}),
        Step(id="e", tool="do", needs=("b",)),
        Step(id="f", tool="do", when=Condition(ref="a#", op="in", value=["no", "maybe"])),
        Step(id="g", tool="do", when=Condition(ref="a#/nothing", op="present")),
        Step(id="h", tool="do", when=Condition(ref="a#", op="differs", value="yes")),
    )
    result = yard.graph(Plan(steps=steps)).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "succeeded"
    skipped = {step for step, status in _statuses(result).items() if status == "skipped"}
    assert skipped == {"b", "c", "d", "g"}
    assert yard.calls == Counter("aefh")


def test_a_reference_to_nothing_fails_its_step(yard: Yard, shop: Any) -> None:
    steps = (Step(id="a", tool="do"), Step(id="b", tool="do", args={"what": ref("a", "/not/there")}))
    result = yard.graph(Plan(steps=steps)).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "failed"
    assert "nothing there" in result["outcome"]["reason"]
    assert yard.calls == Counter("a")


# plans that are none


def _steps(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"steps": list(steps), **more}


PLANS: dict[str, tuple[Any, str]] = {
    "a circle": (
        _steps({"id": "a", "tool": "do", "needs": ["b"]}, {"id": "b", "tool": "do", "needs": ["a"]}),
        "circle",
    ),
    "a self-edge": (_steps({"id": "a", "tool": "do", "needs": ["a"]}), "circle"),
    "a dangling need": (_steps({"id": "a", "tool": "do", "needs": ["x"]}), "'x'"),
    "a dangling reference": (_steps({"id": "a", "tool": "do", "args": {"what": ref("x")}}), "'x'"),
    "two of a name": (_steps({"id": "a", "tool": "do"}, {"id": "a", "tool": "ado"}), "twice"),
    "an unknown tool": (_steps({"id": "a", "tool": "gift"}), "'gift'"),
    "a tool of another script": (_steps({"id": "a", "tool": "d\u043e"}), "names the tool"),
    "a wrong argument": (_steps({"id": "a", "tool": "do", "args": {"what": 7}}), "what"),
    "an extra argument": (_steps({"id": "a", "tool": "do", "args": {"to": "eve"}}), "to"),
    "an extra field": (_steps({"id": "a", "tool": "do", "approved": True}), "approved"),
    "an extra field of the plan": (_steps({"id": "a", "tool": "do"}, tenant="eve"), "tenant"),
    "a bad id": (_steps({"id": "A B", "tool": "do"}), "step id"),
    "the reserved id": (_steps({"id": "input", "tool": "do"}), "reserved"),
    "a bad reference": (_steps({"id": "a", "tool": "do", "args": {"what": {"$ref": "x#y"}}}), "reference"),
    "another schema": (_steps({"id": "a", "tool": "do"}, schema_version=2), "schema_version 2"),
    "too many steps": (_steps(*({"id": f"s{n}", "tool": "do"} for n in range(20_001))), "20"),
    "a text": ("do it", "plan"),
    "a list": ([], "plan"),
    "no steps": ({}, "steps"),
}


@pytest.mark.parametrize(("plan", "said"), PLANS.values(), ids=PLANS.keys())
def test_a_plan_that_cannot_run_fails_the_run_with_the_reason(yard: Yard, shop: Any, plan: Any, said: str) -> None:
    class Says:
        def plan(self, _: Situation, /) -> Any:
            return plan

    strategy: Any = Says()
    result = yard.graph(strategy).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "failed"
    assert result["outcome"]["reason"].startswith("no plan: ")
    assert said in result["outcome"]["reason"]
    assert not yard.calls


def test_a_plan_that_changes_what_already_ran_is_refused(yard: Yard, shop: Any) -> None:
    class Rewrites:
        def plan(self, situation: Situation) -> Plan:
            changed = {"why": "again" if situation.plan else "first"}
            return Plan(steps=(Step(id="a", tool="find", args={**changed}),))

    result = yard.graph(Rewrites()).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "failed"
    assert "already ran with other arguments" in result["outcome"]["reason"]
    assert yard.calls == Counter("a")


def test_a_strategy_that_raises_fails_the_run(yard: Yard, shop: Any) -> None:
    class Raises:
        async def plan(self, _: Situation, /) -> Plan | None:
            raise RuntimeError("the model is out")

    strategy: Any = Raises()
    result = yard.graph(strategy).invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["outcome"]["reason"]) == ("failed", "no plan: RuntimeError: the model is out")


def test_a_strategy_without_a_plan_fails_the_run(yard: Yard, shop: Any) -> None:
    class Silent:
        def plan(self, _: Situation, /) -> Plan | None:
            return None

    strategy: Any = Silent()
    assert yard.graph(strategy).invoke({"goal": "w"}, shop.config())["status"] == "failed"


def test_an_empty_plan_succeeds_at_once(yard: Yard, shop: Any) -> None:
    assert yard.graph(Plan(steps=())).invoke({"goal": "w"}, shop.config())["status"] == "succeeded"


def test_a_strategy_that_never_stops_planning_is_stopped(yard: Yard, shop: Any) -> None:
    class Endless:
        asked = 0

        def plan(self, _: Situation, /) -> Plan | None:
            self.asked += 1
            return Plan(steps=(), final=False)

    strategy: Any = Endless()
    result = yard.graph(strategy).invoke({"goal": "w"}, shop.config())
    assert result["status"] == "failed"
    assert "50 plans" in result["outcome"]["reason"]
    assert strategy.asked == 50
