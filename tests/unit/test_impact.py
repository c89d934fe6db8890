"""What a yes would set going: every step after it, in order, and what none of them can take back."""

from __future__ import annotations

from typing import Any

import pytest

from gatepost import Condition, Plan, Step, Tool, ref, tool
from gatepost.nodes.impact import SHOWN_EFFECTS, SHOWN_NAMES, Impact, edited, of_step, of_undo
from gatepost.state.board import Board
from gatepost.state.status import StepStatus
from gatepost.state.step import StepRecord


@tool(effect="read", cost=3)
def look() -> int:
    raise AssertionError


@tool(effect="write")
def refund(cents: int) -> None:
    raise AssertionError(cents)


@tool(effect="write", cost="cents", compensate=refund)
def pay(cents: int = 7) -> str:
    raise AssertionError(cents)


@tool(effect="irreversible")
def mail() -> None:
    raise AssertionError


@tool(effect="write")
def note() -> None:
    raise AssertionError


TOOLS: dict[str, Tool[..., Any]] = {one.name: one for one in (look, pay, mail, note)}


def step(name: str, uses: str, *needs: str, **more: Any) -> Step:
    return Step(id=name, tool=uses, needs=needs, **more)


def board(*steps: Step, done: tuple[StepRecord, ...] = ()) -> Board:
    return Board(Plan(steps=steps), done)


def succeeded(name: str, uses: str, output: Any = None) -> StepRecord:
    return StepRecord(step=name, tool=uses, status=StepStatus.SUCCEEDED, output=output)


def impact(found: Board, name: str, **args: Any) -> Impact:
    return of_step(found, TOOLS, name, tool=found.step(name).tool, args=args or None)


def names(found: Impact) -> list[Any]:
    return [effect["step"] for effect in found]


def test_a_chain_is_told_to_its_end_with_what_undoes_each_and_the_pivot() -> None:
    chain = board(step("a", "pay"), step("b", "look", "a"), step("c", "mail", "b"), step("alone", "mail"))
    assert impact(chain, "a", cents=5) == (
        {
            "step": "a", "tool": "pay", "effect": "write", "reversible": True, "undo": "refund", "pivot": False,
            "cost": 5, "conditional": False, "waiting": ["b"],
        },
        {
            "step": "b", "tool": "look", "effect": "read", "reversible": True, "undo": None, "pivot": False,
            "cost": 3, "conditional": False, "waiting": ["c"],
        },
        {
            "step": "c", "tool": "mail", "effect": "irreversible", "reversible": False, "undo": None, "pivot": True,
            "cost": 0, "conditional": False, "waiting": [],
        },
    )  # fmt: skip


def test_a_write_that_nothing_undoes_is_not_reversible_and_no_pivot() -> None:
    (only,) = impact(board(step("a", "note")), "a")
    assert (only["reversible"], only["undo"], only["pivot"]) == (False, None, False)


def test_a_fan_out_that_meets_again_is_in_the_order_in_which_it_can_run() -> None:
    """The plan lists the last step first; it waits for both all the same."""
    diamond = board(
        step("last", "mail", "left", "right"),
        step("right", "note", "a"),
        step("left", "note", "a"),
        step("a", "note"),
    )
    found = impact(diamond, "a")
    assert names(found) == ["a", "right", "left", "last"]
    assert found[0]["waiting"] == ["right", "left"]


def test_what_is_over_waits_for_nothing_any_more() -> None:
    found = impact(board(step("a", "note"), step("b", "note", "a"), done=(succeeded("b", "note"),)), "a")
    assert (names(found), found[0]["waiting"]) == (["a"], [])


@pytest.mark.parametrize(
    ("args", "done", "cost"),
    [
        ({"cents": 4}, (), 4),
        ({}, (), 7),
        ({"cents": ref("quote")}, (), None),
        ({"cents": ref("quote")}, (succeeded("quote", "look", 50),), 50),
        ({"cents": ref("quote", "/missing")}, (succeeded("quote", "look", 50),), None),
    ],
)
def test_a_cost_is_known_as_soon_as_the_argument_is_that_says_it(
    args: dict[str, Any], done: tuple[StepRecord, ...], cost: int | None
) -> None:
    found = board(step("a", "note"), step("quote", "look"), step("b", "pay", "a", args=args), done=done)
    assert impact(found, "a")[1]["cost"] == cost


def test_a_step_under_a_condition_may_be_left_out_and_the_one_asked_about_may_not() -> None:
    when = Condition(ref="look", op="equals", value=1)
    found = board(step("look", "look"), step("a", "note", when=when), step("b", "note", "a", when=when))
    assert [effect["conditional"] for effect in impact(found, "a", x=1)] == [False, True]


def test_a_long_plan_is_cut_and_says_how_much_is_left_out() -> None:
    wide = board(step("a", "note"), *(step(f"b{number}", "note", "a") for number in range(100)))
    found = impact(wide, "a")
    assert (len(found), found[-1]["more"], found[0]["waiting_more"]) == (SHOWN_EFFECTS, 81, 100 - SHOWN_NAMES)
    assert ["more" in effect for effect in found[:-1]] == [False] * (SHOWN_EFFECTS - 1)
    exact = board(step("a", "note"), *(step(f"b{number}", "note", "a") for number in range(SHOWN_EFFECTS - 1)))
    assert "more" not in impact(exact, "a")[-1]


def test_of_a_tool_that_is_not_here_the_worst_is_assumed() -> None:
    found = of_step(board(step("a", "gone")), TOOLS, "a", tool="gone")
    assert (found[0]["effect"], found[0]["reversible"], found[0]["cost"]) == ("irreversible", False, None)


def test_a_step_that_a_later_plan_dropped_has_nothing_after_it() -> None:
    (only,) = of_step(board(step("b", "note")), TOOLS, "a", tool="pay")
    assert (only["step"], only["cost"], only["waiting"]) == ("a", None, [])


def test_an_undo_is_followed_by_those_of_what_was_done_before() -> None:
    done = (succeeded("a", "pay"), succeeded("m", "mail"), succeeded("b", "pay"))
    found = of_undo(board(step("a", "pay"), step("m", "mail"), step("b", "pay"), done=done), TOOLS, "b")
    assert [(effect["step"], effect["tool"], effect["waiting"]) for effect in found] == [
        ("b", "refund", ["a"]),
        ("a", "refund", []),
    ]
    assert found[0]["reversible"] is False


def test_an_edit_changes_what_the_action_costs_and_nothing_else() -> None:
    before = impact(board(step("a", "pay"), step("b", "look", "a")), "a", cents=5)
    after = edited(before, pay, {"cents": 9})
    assert (after[0]["cost"], {**after[0], "cost": 5}, after[1:]) == (9, before[0], before[1:])
    assert edited((), pay, {"cents": 9}) == ()
