"""Tries to make a user's own test lie: to fake a tool past the gate, to hide why a script did not fit, to build a graph
whose plan cannot run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.conftest import Shop

from gatepost import Checkpointer, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, build_graph, ref, tool
from gatepost.nodes.policy import InvalidPolicy
from gatepost.nodes.tool import ToolMistake
from gatepost.state.errors import InvalidPlan
from gatepost.testing import Unscripted, approve, assert_history, finish


def fake_charge(customer: str, cents: int) -> str:
    return f"fake {customer} {cents}"


def test_fake_of_a_write_is_asked_about_as_the_write_itself(shop: Shop, build: Callable[..., GatepostGraph]) -> None:
    graph = build(shop.workflows(), tools={"charge": fake_charge})
    result = finish(graph, {"goal": "sell"}, shop.config(), answers=[approve()])
    assert (result["steps"]["charge"]["output"], shop.sold()) == ("fake ada 100", [])
    steps = ["look=running", "look=succeeded", "charge=blocked", "charge=running", "charge=succeeded"]
    assert_history(graph.saver, shop.run(), steps)
    with pytest.raises(AssertionError, match="nothing is on record of the steps of a run 'mistyped'"):
        assert_history(graph.saver, "mistyped", steps)


def test_fake_that_would_go_past_the_gate_is_refused(shop: Shop, build: Callable[..., GatepostGraph]) -> None:
    with pytest.raises(ToolMistake, match="the gate would judge another action than in earnest"):
        build(shop.workflows(), tools={"charge": tool(effect="read")(fake_charge)})


def test_script_that_is_too_short_is_told_what_is_asked(shop: Shop) -> None:
    with pytest.raises(Unscripted, match=r"no answer to: Step charge wants to call charge .write.*customer.*ada"):
        finish(shop.graph, {"goal": "sell"}, shop.config())


def test_script_that_is_too_long_is_told_why_the_run_ended(shop: Shop, build: Callable[..., GatepostGraph]) -> None:
    def broken(name: str) -> str:
        raise ValueError(f"no {name} here")

    graph = build(shop.workflows(), tools={"look": broken})
    with pytest.raises(Unscripted, match=r"1 of the answers .* ended as failed: step look failed: .*no ada here"):
        finish(graph, {"goal": "sell"}, shop.config(), answers=[approve()])


@pytest.fixture
def checkpointer() -> str:
    return "what a user has under a name as common as this"


def test_names_of_a_user_are_left_alone(checkpointer: str, gatepost_graph: Callable[..., GatepostGraph]) -> None:
    look = tool(effect="read")(fake_charge)
    plan = Plan(steps=(Step(id="look", tool="fake_charge", args={"customer": "ada", "cents": 1}),))
    graph = gatepost_graph([Workflow(name="w", goals=("w",), strategy=FixedPlan(plan), tools=(look,))])
    assert isinstance(graph.saver, Checkpointer), checkpointer


LOOK: dict[str, Any] = {"name": "ada"}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        pytest.param(
            [Step(id="a", tool="lock", args=LOOK)], "names the tool 'lock'; there are charge, look", id="tool"
        ),
        pytest.param([Step(id="a", tool="look")], "name: Field required", id="argument"),
        pytest.param([Step(id="a", tool="look", args={"name": 7})], "name: Input should be a valid string", id="type"),
    ],
)
def test_fixed_plan_that_cannot_run_is_refused_before_any_run(
    steps: list[Step], said: str, shop: Shop, build: Callable[..., GatepostGraph]
) -> None:
    fine = Step(id="b", tool="look", args={"name": ref("input", "/name")})
    plan = Plan(steps=(fine, *steps))
    with pytest.raises(InvalidPlan, match="the fixed plan of workflow 'w' does not fit its tools: ") as refused:
        build([Workflow(name="w", goals=("w",), strategy=FixedPlan(plan), tools=shop.tools)])
    assert said in str(refused.value)


def test_text_is_no_policy(shop: Shop) -> None:
    given: Any = "permit (principal, action, resource);"
    with pytest.raises(InvalidPolicy, match=r"the policy is a str. Pass Policy\(text\)"):
        build_graph(shop.workflows(), shop.graph.saver, policy=given)
    assert build_graph(shop.workflows(), shop.graph.saver, policy=Policy(given)).saver is shop.graph.saver
