"""Tries to declare workflows that would wedge a run long afterwards: every slip is refused where it is written."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langgraph.checkpoint.memory import MemorySaver
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from gatepost import (
    Conclusion,
    Ending,
    FixedPlan,
    Plan,
    RunStatus,
    Situation,
    Step,
    Workflow,
    build_graph,
    tool,
)
from gatepost.nodes.catalog import Catalog
from gatepost.nodes.tool import ToolMistake
from gatepost.state.errors import DoorClosed, InvalidValue


@tool(effect="read")
def look(name: str) -> str:
    return name


def plain(name: str) -> str:
    return name


class Strategy:
    def plan(self, situation: Situation) -> Plan | None:
        return situation.plan


async def later(ending: Ending) -> Conclusion:
    return Conclusion()


RIGHT: dict[str, Any] = {"name": "w", "goals": ("look",), "strategy": Strategy(), "tools": (look,)}
SLIPS = [
    pytest.param("name", "", "the name of a workflow is empty", id="no name"),
    pytest.param("name", None, "the name of a workflow is NoneType", id="name is no text"),
    pytest.param("goals", "look", "Write a tuple: goals=('look',)", id="goals is a text"),
    pytest.param("goals", 7, "goals is a int. Write several", id="goals is a number"),
    pytest.param("goals", ("look", 7), "a goal is int, not a text", id="a goal is no text"),
    pytest.param("goals", ("look", " "), "a goal is empty", id="a goal is blank"),
    pytest.param("strategy", Plan(steps=()), "Wrap it: strategy=FixedPlan(plan)", id="strategy is a plan"),
    pytest.param("strategy", Strategy, "Make one: strategy=Strategy(…)", id="strategy is a class"),
    pytest.param("strategy", None, "a NoneType without plan(situation)", id="no strategy"),
    pytest.param("tools", look, "Write a tuple: tools=(look,)", id="tools is one tool"),
    pytest.param("tools", None, "tools is a NoneType. Write several", id="tools is nothing"),
    pytest.param("tools", (plain,), "plain is a plain function, so nobody knows", id="a plain function"),
    pytest.param("tools", ("look",), "'look' among its tools is a str. Declare", id="the name of a tool"),
    pytest.param("input", dict, "derived from pydantic.BaseModel", id="input is no model"),
    pytest.param("conclude", Conclusion(), "conclude is a Conclusion. Pass", id="conclude is no function"),
    pytest.param("conclude", later, "conclude is an async function", id="conclude has to be awaited"),
    pytest.param("compensate_on", "failed", "compensate_on='failed' is one text. Write a set", id="ending is a text"),
    pytest.param("compensate_on", RunStatus.FAILED, "compensate_on='failed' is one text", id="one ending"),
    pytest.param("compensate_on", {RunStatus.SUCCEEDED}, "'succeeded'>, which undoes nothing", id="success undoes"),
    pytest.param("compensate_on", {"fialed"}, "'fialed', which undoes nothing", id="no such ending"),
]  # fmt: skip


class Foreign:
    """A type of somebody else's, which no schema tells."""

    def __init__(self, text: str) -> None:
        self.text = text


class Told(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    what: Annotated[Foreign, BeforeValidator(Foreign), PlainSerializer(lambda value: value.text)]
    count: int = 1


def test_input_of_types_that_no_schema_tells_is_taken_and_refused() -> None:
    sale = Workflow(name="sale", goals=("sell",), strategy=FixedPlan(Plan(steps=())), tools=(), input=Told)
    assert (sale.input_schema, sale.checked_input({"what": "it"})) == ({}, {"what": "it", "count": 1})
    with pytest.raises(InvalidValue, match="input of workflow 'sale' cannot be used: count: "):
        sale.checked_input({"what": "it", "count": "many"})


@pytest.mark.parametrize(("part", "value", "said"), SLIPS)
def test_slip_is_refused_where_it_is_written(part: str, value: object, said: str) -> None:
    with pytest.raises(ToolMistake) as refused:
        Workflow(**{**RIGHT, part: value})
    assert said in str(refused.value)


def test_any_iterable_of_goals_tools_and_endings_will_do() -> None:
    declared: dict[str, Any] = {**RIGHT, "goals": ["look"], "tools": [look], "compensate_on": ["failed"]}
    workflow = Workflow(**declared)
    assert (workflow.goals, workflow.tools) == (("look",), (look,))
    assert workflow.compensate_on == frozenset({RunStatus.FAILED})


@pytest.mark.parametrize("steps", [(Step(id="a", tool="look"),), {"steps": []}, None])
def test_fixed_plan_takes_a_plan(steps: Any) -> None:
    with pytest.raises(ToolMistake, match="FixedPlan takes a Plan, not a "):
        FixedPlan(steps)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(Workflow(**RIGHT), r"Write a list: build_graph\(\[w\], …\)", id="one workflow"),
        pytest.param("w", "the workflows are a str", id="a text"),
        pytest.param(None, "the workflows are a NoneType", id="nothing"),
        pytest.param([look], "among the workflows is a Tool", id="a tool"),
    ],
)
def test_graph_takes_several_workflows(given: Any, said: str) -> None:
    with pytest.raises(ToolMistake, match=said):
        Catalog(given)


class NotOurs:
    """Never looked at: what is wrong is refused before."""


@pytest.mark.parametrize("checkpointer", [MemorySaver(), NotOurs(), None])
def test_graph_takes_no_checkpointer_but_ours(checkpointer: Any) -> None:
    with pytest.raises(DoorClosed, match=r"Pass what open_checkpointer\(\) gives"):
        build_graph([Workflow(**RIGHT)], checkpointer)
