"""Tries to start what no workflow means, to confuse two workflows, and to plan what the tools do not take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from gatepost import FixedPlan, Plan, Situation, Step, Tool, Workflow, ref, tool
from gatepost.nodes.catalog import Catalog
from gatepost.nodes.planner import fitted
from gatepost.nodes.tool import ToolMistake
from gatepost.nodes.workflow import next_plan
from gatepost.state.board import Board
from gatepost.state.errors import InvalidPlan, InvalidValue, UnknownGoal
from gatepost.state.status import StepStatus
from gatepost.state.step import StepRecord


@tool(effect="read")
def look(name: str) -> str:
    return name


@tool(name="look", effect="read")
def fake_look(name: str) -> str:
    return f"fake {name}"


class Order(BaseModel):
    item: str
    count: int = 1


EMPTY = FixedPlan(Plan(steps=()))


def workflow(name: str, *goals: str, tools: Sequence[Tool[..., Any]] = (look,), **more: Any) -> Workflow:
    return Workflow(name=name, goals=goals, strategy=EMPTY, tools=tuple(tools), **more)


SALE = workflow("sale", "Sell it", "sell  IT now")


@pytest.mark.parametrize("goal", ["sell it", " SELL\tit\n", "Sell IT now"])
def test_case_and_spaces_of_a_goal_do_not_matter(goal: str) -> None:
    assert Catalog([SALE]).for_goal(goal) is SALE


@pytest.mark.parametrize("goal", ["sell", "sellit", "", "x" * 10_000])
def test_a_goal_that_nobody_knows_is_refused_with_those_that_are_known(goal: str) -> None:
    with pytest.raises(UnknownGoal, match="Known goals: 'Sell it', 'sell  IT now'") as refused:
        Catalog([SALE]).for_goal(goal)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("workflows", "replaced", "said"),
    [
        pytest.param([SALE, workflow("sale", "other")], {}, "two workflows are called 'sale'", id="name"),
        pytest.param([SALE, workflow("b", "SELL it")], {}, "'sale' and 'b' both mean 'SELL it'", id="goal"),
        pytest.param([workflow("a", tools=(look, fake_look))], {}, "'a' has two tools called 'look'", id="tool"),
        pytest.param([SALE], {"charge": look}, "no workflow has a tool charge; there are look", id="replaces nothing"),
    ],
)
def test_what_could_be_confused_is_refused(workflows: list[Workflow], replaced: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolMistake) as refused:
        Catalog(workflows, replaced=replaced)
    assert said in str(refused.value)


def test_a_replaced_tool_takes_the_place_of_its_namesake() -> None:
    assert Catalog([SALE], replaced={"look": fake_look}).tools("sale")["look"] is fake_look


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param({}, "item: Field required", id="missing"),
        pytest.param({"item": "tea", "count": "many"}, "count: ", id="type"),
        pytest.param({"item": "\x00"}, "the input at '/item' contains a NUL", id="NUL"),
        pytest.param([], "cannot be used", id="no object"),
    ],
)
def test_input_that_a_workflow_does_not_take_is_refused(value: object, error: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        workflow("w", input=Order).checked_input(value)
    assert error in str(refused.value)


def test_input_is_plain_data_with_defaults_filled_in() -> None:
    assert workflow("w", input=Order).checked_input({"item": "tea"}) == {"item": "tea", "count": 1}
    assert workflow("w").checked_input({"any": [1, None]}) == {"any": [1, None]}


def situation(plan: Plan | None) -> Situation:
    return Situation(goal="g", input={}, plan=plan, steps={}, responses=())


class Later:
    async def plan(self, situation: Situation) -> Plan | None:
        return situation.plan


def test_strategies_are_asked_alike_whether_sync_or_async() -> None:
    plan = Plan(steps=())
    assert asyncio.run(next_plan(Later(), situation(plan))) is plan
    assert asyncio.run(next_plan(FixedPlan(plan), situation(None))) is plan
    assert asyncio.run(next_plan(FixedPlan(plan), situation(plan))) is None


def plan(*steps: Step) -> Plan:
    return Plan(steps=steps)


def step(name: str, uses: str = "look", /, **args: Any) -> Step:
    return Step(id=name, tool=uses, args=args)


def board(status: StepStatus, **args: Any) -> Board:
    return Board(plan(step("a", **args)), [StepRecord(step="a", status=status)])


MISFITS: list[Any] = [
    pytest.param(plan(step("a", "fly")), Board(None), "names the tool 'fly'; there are look", id="unknown tool"),
    pytest.param(plan(step("a")), Board(None), "name: Field required", id="missing argument"),
    pytest.param(plan(step("a", name="x", age=1)), Board(None), "age: Extra inputs", id="extra argument"),
    pytest.param(
        plan(step("a", name="y")),
        board(StepStatus.SUCCEEDED, name="x"),
        "already ran with other",
        id="rewrites history",
    ),
    pytest.param(
        plan(step("a", name="y")),
        board(StepStatus.RUNNING, name="x"),
        "already ran with other",
        id="rewrites what runs",
    ),
]


@pytest.mark.parametrize(("new", "now", "said"), MISFITS)
def test_plan_that_does_not_fit_the_run_is_refused_with_the_reason(new: Plan, now: Board, said: str) -> None:
    with pytest.raises(InvalidPlan, match="does not fit this run: step 'a'") as refused:
        fitted(new, SALE, {"look": look}, now)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("new", "now"),
    [
        pytest.param(plan(step("a", name="x")), Board(None), id="new"),
        pytest.param(plan(step("a", name="x")), board(StepStatus.SUCCEEDED, name="x"), id="done and unchanged"),
        pytest.param(plan(step("a", name="y")), board(StepStatus.BLOCKED, name="x"), id="asked and changed"),
        pytest.param(
            plan(step("a", name=ref("input", "/n"), other=1)), Board(None), id="not known before it is resolved"
        ),
        pytest.param(plan(), board(StepStatus.SUCCEEDED, name="x"), id="dropped"),
    ],
)
def test_plan_that_leaves_what_happened_as_it_is_fits(new: Plan, now: Board) -> None:
    assert fitted(new, SALE, {"look": look}, now) == new
