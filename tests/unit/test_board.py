"""Tries to make the incremental board disagree with a board worked out from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost import Condition, Plan, Step, ref
from gatepost.state.board import Board, pending, shown
from gatepost.state.reference import Unresolvable
from gatepost.state.status import STEP_SETTLED, STEP_TRANSITIONS, StepStatus
from gatepost.state.step import StepRecord

MET = {StepStatus.SUCCEEDED, StepStatus.SKIPPED}


def record(step: str, status: StepStatus, **more: Any) -> StepRecord:
    return StepRecord(step=step, status=status, **more)


def done(step: str, output: Any = None, **more: Any) -> StepRecord:
    return record(step, StepStatus.SUCCEEDED, output=output, **more)


def plan(*steps: Step) -> Plan:
    return Plan(steps=steps)


def step(name: str, *needs: str, when: Condition | None = None, **args: Any) -> Step:
    return Step(id=name, tool="t", needs=needs, args=args, when=when)


def naive(steps: tuple[Step, ...], statuses: Mapping[str, StepStatus]) -> tuple[list[str], bool]:
    """Ready steps and settledness, by the definition."""
    now = {one.id: statuses.get(one.id, StepStatus.PENDING) for one in steps}
    ready = [
        one.id for one in steps if now[one.id] is StepStatus.PENDING and all(now[need] in MET for need in one.needs)
    ]
    return ready, all(status in STEP_SETTLED for status in now.values())


@st.composite
def dags(draw: st.DrawFn, *, most: int = 7) -> Plan:
    names = draw(st.permutations([f"s{n}" for n in range(draw(st.integers(1, most)))]))
    needs = [
        draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else [] for index in range(len(names))
    ]
    return Plan(
        steps=tuple(draw(st.permutations([step(name, *need) for name, need in zip(names, needs, strict=True)])))
    )


def agree(board: Board, now: Plan, statuses: Mapping[str, StepStatus]) -> None:
    ready, settled = naive(now.steps, statuses)
    assert [one.id for one in board.ready()] == ready
    assert board.settled is settled
    board.shown().clear()  # whoever was shown it may do with it what they like
    recorded = {step: shown(one) for step, one in board.records.items()}
    assert board.shown() == {**pending(now), **recorded}
    assert list(board.shown())[: len(now.steps)] == [one.id for one in now.steps]
    assert board.shown_plan() == now.plain()


def onward(status: StepStatus) -> list[StepStatus]:
    """Where a step may go, ways that go on four times as likely as ways that end: the long walks are the odd ones."""
    targets = sorted(STEP_TRANSITIONS[status])
    return [*targets, *3 * [target for target in targets if STEP_TRANSITIONS[target]]]


@settings(max_examples=150)
@given(st.data())
def test_taking_records_one_by_one_is_the_same_as_looking_at_all_of_them(data: st.DataObject) -> None:
    now = data.draw(dags(most=5))
    board, statuses = Board(now), dict.fromkeys(now.by_id, StepStatus.PENDING)
    agree(board, now, statuses)
    for _ in range(data.draw(st.integers(5, 30))):
        movable = [name for name in sorted(now.by_id) if STEP_TRANSITIONS[statuses[name]]]
        if not movable:
            break
        name = data.draw(st.sampled_from(movable))
        statuses[name] = data.draw(st.sampled_from(onward(statuses[name])))
        board.take(record(name, statuses[name]))
        agree(board, now, statuses)
    rebuilt = Board(now, board.records.values())
    assert [one.id for one in rebuilt.ready()] == [one.id for one in board.ready()]
    assert rebuilt.settled is board.settled


@given(st.data())
def test_another_plan_version_finds_what_already_happened(data: st.DataObject) -> None:
    first, second = data.draw(dags()), data.draw(dags())
    names = sorted({*first.by_id, *second.by_id})
    statuses = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(StepStatus)))
    board = Board(first)
    for name, status in statuses.items():
        board.take(record(name, status))  # also of steps that the plan in force does not have
    agree(board, first, {name: status for name, status in statuses.items() if name in first.by_id})
    board.adopt(second)
    agree(board, second, {name: status for name, status in statuses.items() if name in second.by_id})


def test_a_step_whose_approval_was_voided_is_ready_again() -> None:
    board = Board(plan(step("a")))
    for status in (StepStatus.BLOCKED, StepStatus.PENDING):
        board.take(record("a", status))
    assert [one.id for one in board.ready()] == ["a"]


def test_what_needs_an_undone_step_is_no_longer_ready() -> None:
    board = Board(plan(step("a"), step("b", "a")), [done("a")])
    assert [one.id for one in board.ready()] == ["b"]
    board.take(record("a", StepStatus.COMPENSATING))
    assert board.ready() == []


def test_one_record_costs_its_dependents_and_not_the_plan() -> None:
    board = Board(plan(*(step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(2_000))))
    weighed: list[str] = []
    weigh = board._weigh

    def counted(step: str) -> None:
        weighed.append(step)
        weigh(step)

    board._weigh = counted  # type: ignore[method-assign]
    board.take(done("s0"))
    assert weighed == ["s0", "s1"]


def test_a_board_without_a_plan_has_nothing_ready_and_is_settled() -> None:
    board = Board(None)
    assert (board.ready(), board.settled) == ([], True)
    with pytest.raises(KeyError):
        board.step("a")


def test_a_step_without_a_record_is_pending_under_the_plan_in_force() -> None:
    board = Board(Plan(steps=(step("a"),), version=4))
    assert board.status("a") is StepStatus.PENDING
    assert board.record("a") == StepRecord(step="a", tool="t", plan_version=4)


VALUE: dict[str, Any] = {"n": 1, "zero": 0, "none": None, "list": ["x"], "name": "ada"}


@pytest.mark.parametrize(
    ("ref_to", "op", "value", "holds"),
    [
        ("a#/name", "equals", "ada", True),
        ("a#/name", "equals", "bob", False),
        ("a#/missing", "equals", None, False),
        ("a#/none", "equals", None, True),
        ("a#/list", "equals", ["x"], True),
        ("a#", "equals", VALUE, True),
        ("a#/name", "differs", "bob", True),
        ("a#/name", "differs", "ada", False),
        ("a#/missing", "differs", "ada", True),
        ("a#/name", "in", ["ada", "bob"], True),
        ("a#/name", "in", [], False),
        ("a#/name", "in", "ada's text is no list", False),
        ("a#/missing", "in", [None], False),
        ("a#/name", "present", None, True),
        ("a#/zero", "present", None, True),
        ("a#/none", "present", None, False),
        ("a#/missing", "present", None, False),
        ("input#/who", "equals", "eve", True),
        ("input#/missing", "present", None, False),
    ],
)
def test_condition_decides_whether_a_step_is_skipped(ref_to: str, op: Any, value: Any, holds: bool) -> None:  # noqa: FBT001
    conditional = step("b", when=Condition(ref=ref_to, op=op, value=value))
    board = Board(plan(step("a"), conditional), [done("a", VALUE)], run_input={"who": "eve"})
    assert board.skip_reason(conditional) == (None if holds else f"condition on {ref_to} does not hold")


def test_a_condition_on_a_skipped_step_does_not_hold() -> None:
    conditional = step("b", when=Condition(ref="a#/name"))
    board = Board(plan(step("a"), conditional), [record("a", StepStatus.SKIPPED)])
    assert board.skip_reason(conditional) == "condition on a#/name does not hold"


def test_a_step_that_uses_what_a_skipped_step_would_have_said_is_skipped_too() -> None:
    user, waiter = step("b", x=[{"y": ref("a", "/name")}]), step("c", "a")
    board = Board(plan(step("a"), user, waiter), [record("a", StepStatus.SKIPPED)])
    assert board.skip_reason(user) == "a was skipped"
    assert board.skip_reason(waiter) is None


def test_arguments_are_resolved_from_outputs_and_from_the_input() -> None:
    user = step("b", x=ref("a", "/list/0"), y=ref("input", "/who"), z=1)
    board = Board(plan(step("a"), user), [done("a", VALUE)], run_input={"who": "eve"})
    assert board.arguments(user) == {"x": "x", "y": "eve", "z": 1}
    assert user.args["x"] == ref("a", "/list/0")


@pytest.mark.parametrize("status", sorted(set(StepStatus) - {StepStatus.SUCCEEDED}))
def test_a_step_that_has_not_succeeded_has_no_output(status: StepStatus) -> None:
    board = Board(plan(step("a")), [record("a", status, output="left over")])
    with pytest.raises(Unresolvable, match=rf"step 'a' has no output \({status}\)"):
        board.output("a")


def test_a_finding_demands_an_approval_of_what_depends_on_it_directly() -> None:
    direct, other = step("b", "a", "c"), step("d", "b")
    board = Board(plan(step("a"), step("c"), direct, other), [done("a", needs_approval="high risk"), done("c")])
    assert board.demands(direct) == ["a: high risk"]
    assert board.demands(other) == []
