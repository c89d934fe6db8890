"""Tries to bring a plan into the world that could not run to its end, or that takes for ever to check."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from gatepost import Condition, Plan, Step, ref
from gatepost.state.errors import InvalidPlan, InvalidValue, UnknownVersion
from gatepost.state.plan import MAX_STEPS, plan_of


def step(name: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "tool": "t", "needs": list(needs), **more}


def steps(*given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"steps": list(given), **more}


BROKEN = [
    pytest.param(steps(step("a", "b"), step("b", "a")), r"in a circle: (a → b → a|b → a → b)", id="cycle"),
    pytest.param(steps(step("a", "c"), step("b", "a"), step("c", "b")), "in a circle", id="longer cycle"),
    pytest.param(steps(step("a", "a")), "in a circle: a → a", id="self-edge"),
    pytest.param(steps(step("a", args={"x": ref("a")})), "in a circle: a → a", id="refers to itself"),
    pytest.param(steps(step("a", when={"ref": "a#"})), "in a circle: a → a", id="waits for itself"),
    pytest.param(steps(step("a"), step("a")), "step id 'a' is used twice", id="id used twice"),
    pytest.param(
        steps(step("a", "b", "c")), "step 'a' needs 'b', 'c', which the plan does not have", id="dangling need"
    ),
    pytest.param(steps(step("a", args={"x": ref("b")})), "needs 'b', which", id="dangling reference"),
    pytest.param(steps(step("a", args={"x": [{"y": ref("b")}]})), "needs 'b', which", id="dangling reference inside"),
    pytest.param(steps(step("a", when={"ref": "b#/x"})), "needs 'b', which", id="dangling condition"),
    pytest.param(steps(step("input")), "'input' is reserved", id="reserved id"),
    pytest.param(steps(step("a", args={"x": {"$ref": "#/x"}})), "write '<step id>#/path", id="reference to nothing"),
    pytest.param(steps(step("a", args={"x": {"$ref": "b#x"}})), "write '<step id>#/path", id="pointer without slash"),
    pytest.param(steps(step("a", when={"ref": "", "op": "equals"})), "write '<step id>#/path", id="empty condition"),
    pytest.param(steps(step("a", when={"ref": "b#", "op": "matches"})), "when.op", id="unknown comparison"),
    pytest.param(steps(step("a", colour="red")), "colour: Extra inputs are not permitted", id="extra field of a step"),
    pytest.param(steps(step("a"), colour="red"), "colour: Extra inputs are not permitted", id="extra field"),
    pytest.param(steps({"id": "a"}), r"steps\.0\.tool: Field required", id="no tool"),
    pytest.param({}, "steps: Field required", id="no steps"),
    pytest.param(steps(step("a"), origin="root"), "origin", id="unknown origin"),
    pytest.param([], "valid dictionary", id="a list"),
    pytest.param("plan", "valid dictionary", id="a text"),
    pytest.param(None, "valid dictionary", id="nothing"),
    pytest.param(steps(step("a", 1)), r"steps\.0\.needs\.0", id="need that is no text"),  # type: ignore[arg-type]
]


def test_steps_may_be_written_in_any_order() -> None:
    assert plan_of(steps(step("c", "b"), step("b", "a"), step("a"))).by_id["c"].needs == ("b",)


@pytest.mark.parametrize(("data", "said"), BROKEN)
def test_plan_that_could_not_run_is_refused_with_the_reason(data: object, said: str) -> None:
    with pytest.raises(InvalidPlan, match=said) as refused:
        plan_of(data)
    assert str(refused.value).startswith("the plan cannot be used: ")
    assert str(refused.value).endswith("Correct it and plan again.")


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("", id="empty"),
        pytest.param("Docs", id="upper case"),
        pytest.param("docs-collect", id="dash"),
        pytest.param("docs collect", id="blank"),
        pytest.param("1docs", id="digit first"),
        pytest.param("_docs", id="underscore first"),
        pytest.param("docs\n", id="newline"),
        pytest.param("d#ocs", id="would cut a reference"),
        pytest.param("d/ocs", id="slash"),
        pytest.param("x" * 65, id="too long"),
        pytest.param("d\u043e\u0441s", id="homoglyphs (Cyrillic o, c)"),
        pytest.param("\uff44\uff4f\uff43\uff53", id="full width"),
        pytest.param("docs\u200b", id="zero-width space"),
        pytest.param("docs\u0301", id="combining mark"),
        pytest.param("../docs", id="path"),
        pytest.param("$ref", id="dollar"),
    ],
)
def test_step_id_that_does_not_travel_is_refused(bad: str) -> None:
    with pytest.raises(InvalidPlan, match="use 1 to 64 lower-case letters, digits and _, starting with a letter"):
        plan_of(steps(step(bad)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(steps(step("a", args={"x": "\x00"})), "/steps/0/args/x' contains a NUL", id="NUL in an argument"),
        pytest.param(steps(step("a", args={"x": 2**64})), "beyond 2^53-1", id="big integer"),
        pytest.param(steps(step("a", args={"x": float("nan")})), "JSON does not know", id="NaN"),
        pytest.param(steps(step("a"), reason="\ud800"), "lone surrogate", id="surrogate in the reason"),
        pytest.param(steps(step("a", args={"x": (1,)})), "is a tuple", id="tuple"),
        pytest.param(Plan(steps=(Step(id="a", tool="t", args={"x": "\x00"}),)), "contains a NUL", id="made in Python"),
    ],
)
def test_plan_that_cannot_be_stored_is_refused(data: object, said: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        plan_of(data)
    assert said in str(refused.value)
    assert str(refused.value).startswith("the plan at")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_plan_from_another_time_is_refused_before_it_is_read(version: object) -> None:
    with pytest.raises(UnknownVersion, match=r"reads 1\. Finish the run with the release that wrote it, or upgrade"):
        plan_of({"schema_version": version, "whatever": "it holds"})


def test_references_imply_needs_once_and_after_those_named() -> None:
    made = Step(
        id="d",
        tool="t",
        needs=("c",),
        args={"x": ref("a", "/1"), "y": [ref("b"), ref("a", "/2")], "z": ref("input", "/who"), "w": ref("c")},
        when=Condition(ref="e#/ok"),
    )
    assert made.needs == ("c", "a", "b", "e")


def test_plan_is_the_same_after_a_round_trip() -> None:
    plan = Plan(
        steps=(
            Step(id="a", tool="t", args={"n": 1.5, "l": [None, True]}),
            Step(id="b", tool="t", args={"x": ref("a", "/l")}, when=Condition(ref="a#/n", op="in", value=[1, 1.5])),
        ),
        final=False,
        origin="person",
        version=3,
        reason="why not",
    )
    assert plan_of(plan.plain()) == plan
    assert plan_of(plan) is plan
    assert plan.by_id["b"].needs == ("a",)


def test_a_plan_cannot_be_changed_once_it_is_checked() -> None:
    plan = Plan(steps=(Step(id="a", tool="t"),))
    with pytest.raises(ValueError, match="frozen"):
        plan.version = 2  # type: ignore[misc]


def test_every_reason_is_said_at_once() -> None:
    with pytest.raises(InvalidPlan, match=r"steps\.0\.id.*steps\.1\.tool"):
        plan_of(steps(step("A"), {"id": "b"}))


def test_plan_of_nothing_is_a_plan() -> None:
    assert plan_of({"steps": []}).steps == ()


def test_more_steps_than_anybody_can_review_are_refused() -> None:
    one = Step(id="a", tool="t")
    with pytest.raises(ValueError, match=f"has {MAX_STEPS + 1} steps; at most {MAX_STEPS} are allowed"):
        Plan(steps=(one,) * (MAX_STEPS + 1))


def operations(count: int) -> int:
    """Python calls made to check a plan whose every step needs the one before and the very first."""
    plan = tuple(
        Step.model_construct(
            id=f"s{n}", tool="t", args={}, needs=(f"s{n - 1}", "s0") if n > 1 else ("s0",) * n, when=None
        )
        for n in range(count)
    )
    calls = 0

    def note(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        Plan(steps=plan)
    finally:
        sys.setprofile(before)
    return calls


def test_checking_ten_thousand_steps_takes_ten_times_the_work_of_a_thousand() -> None:
    thousand, ten_thousand = operations(1_000), operations(10_000)
    assert ten_thousand < 11 * thousand
    assert ten_thousand < 50 * 10_000


def test_ten_thousand_steps_with_arguments_are_a_legal_plan() -> None:
    text = "x" * 300  # together more than one value may hold
    data = {"steps": [{"id": f"s{index}", "tool": "work", "args": {"text": text}} for index in range(10_000)]}
    assert len(plan_of(data).steps) == 10_000
