"""Tries to pass one tool off as another by a name that only looks right."""

from __future__ import annotations

import pytest

from gatepost import FixedPlan, Plan, Step, Workflow, tool
from gatepost.nodes.lookalike import lookalike
from gatepost.nodes.planner import misfits
from gatepost.nodes.tool import ToolMistake
from gatepost.state.board import Board


@tool(effect="read")
def charge() -> None: ...


LOOKS = [
    "Charge", "CHARGE", " charge", "charge\u200b", "ch\u0430rge", "\uff43harge", "charg\u0435", "cha\u0301rge",
    "char ge",
]  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_a_lookalike_is_refused_at_the_plans_entrance_and_says_what_is_odd(name: str) -> None:
    (reason,) = misfits(Plan(steps=(Step(id="a", tool=name),)), {"charge": charge}, Board(None))
    assert "only looks like 'charge'" in reason
    if not name.isascii():
        assert "U+" in reason


@pytest.mark.parametrize("name", ["refund", "charges", "chrge"])
def test_another_name_is_only_unknown(name: str) -> None:
    (reason,) = misfits(Plan(steps=(Step(id="a", tool=name),)), {"charge": charge}, Board(None))
    assert "looks like" not in reason
    assert lookalike("charge", ["charge"]) == ""


@pytest.mark.parametrize("name", [*LOOKS[:1], "ch\u0430rge", "charge\u200b"])
def test_two_tools_that_look_alike_are_refused_where_they_are_declared(name: str) -> None:
    @tool(effect="irreversible", name=name)
    def other() -> None: ...

    with pytest.raises(ToolMistake, match="look alike"):
        Workflow(name="w", goals=("g",), strategy=FixedPlan(Plan(steps=())), tools=(charge, other))
