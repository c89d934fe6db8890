"""Tries to have doubt tried again, to say of a failure what cannot be done, to have the less specific word count."""

from __future__ import annotations

from typing import Any

import pytest

from gatepost import FixedPlan, Plan, Tool, Workflow, tool
from gatepost.nodes.reaction import on_failure_of, reactions_to
from gatepost.nodes.tool import ToolMistake


@tool(effect="write")
def refund(cents: int) -> None: ...


def charging(**declared: Any) -> Tool[..., Any]:
    @tool(effect="write", compensate=refund, **declared)
    def charge(cents: int) -> None: ...

    return charge


def selling(**declared: Any) -> Workflow:
    return Workflow(name="sale", goals=("sell",), strategy=FixedPlan(Plan(steps=())), tools=(charging(),), **declared)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("retry", "on_failure is a str"),
        ({"oops": "retry"}, "'oops', which is none of transient"),
        ({7: "retry"}, "names 7, which is none of"),
        ({"auth": "again"}, "'again'; it takes one or more of retry, park"),
        ({"auth": ()}, "(); it takes one or more of"),
        ({"auth": ["fail", "retry"]}, "only retry and park can be followed by something else"),
        ({"auth": ("escalate", "fail")}, "only retry and park can be followed"),
        ({"in_doubt": "fail"}, "settled by on_doubt= of the tool, or by a person"),
        ({"in_doubt": "retry"}, "settled by on_doubt= of the tool, or by a person"),
        ({"poison": "retry"}, "a failure of class 'poison' is not tried again"),
        ({"policy_denied": ("park", "fail")}, "a failure of class 'policy_denied' is not tried again"),
    ],
)
def test_what_cannot_be_done_about_a_failure_is_refused_where_it_is_said(said: Any, told: str) -> None:
    with pytest.raises(ToolMistake, match=r"^tool 'charge': ") as refused:
        charging(on_failure=said)
    assert told in str(refused.value)
    with pytest.raises(ToolMistake, match=r"^workflow 'sale': ") as refused:
        selling(on_failure=said)
    assert told in str(refused.value)


def test_a_tool_speaks_for_itself_and_a_workflow_for_the_tools_it_has() -> None:
    with pytest.raises(ToolMistake, match=r"there is no tool 'refund' \(none here\)"):
        charging(on_failure={"refund.auth": "escalate"})
    with pytest.raises(ToolMistake, match=r"there is no tool 'ship' \(charge, refund\)"):
        selling(on_failure={"ship.auth": "escalate"})
    assert selling(on_failure={"refund.auth": "escalate"}).on_failure == {"refund.auth": ("escalate",)}


def test_whatever_is_tried_again_has_an_end() -> None:
    assert on_failure_of({"bug": "retry", "auth": ["retry", "park"]}, where="") == {
        "bug": ("retry", "fail"),
        "auth": ("retry", "park", "fail"),
    }


def test_the_most_specific_word_counts() -> None:
    about_all, about_charge = {"auth": "replan"}, {"auth": "replan", "charge.auth": "compensate"}

    def said(declared: Any, workflow: Any) -> Any:
        return reactions_to(
            "auth", tool=charging(on_failure=declared), workflow=selling(on_failure=workflow).on_failure
        )

    assert said({}, {}) == ("fail",)
    assert said({}, about_all) == ("replan",)
    assert said({"auth": "escalate"}, about_all) == ("escalate",)
    assert said({"auth": "escalate"}, about_charge) == ("compensate",)
