"""Tries to declare a gate that could not be passed, that guards nothing, or that does not say what it seems to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gatepost import FixedPlan, Gate, Plan, Step, Workflow, tool
from gatepost.nodes.replacement import stand_in
from gatepost.nodes.tool import ToolMistake
from gatepost.state.approval import ApprovalRequest
from gatepost.state.gate import InvalidGate, Terms

HOUR = timedelta(hours=1)


@tool(effect="write", gate=Gate(roles=("clerk",)))
def pay(cents: int) -> None:
    """Pay."""


@tool(effect="read")
def look() -> None:
    """Look."""


PLAN = Plan(steps=(Step(id="first", tool="pay", args={"cents": 1}), Step(id="second", tool="pay", args={"cents": 2})))

MISTAKES = [
    ({"roles": "finance"}, "write a tuple of roles: roles="),
    ({"roles": 7}, "write a tuple of roles"),
    ({"roles": ("",)}, "a role is empty"),
    ({"roles": ("a", "a")}, "names a role twice"),
    ({"roles": (7,)}, "a role is int, not a text"),
    ({"quorum": 0}, "give a whole number of people"),
    ({"quorum": True}, "give a whole number of people"),
    ({"quorum": 1.5}, "give a whole number of people"),
    ({"decide_within": 60}, r"give a timedelta"),
    ({"act_within": timedelta(0)}, r"give a timedelta"),
    ({"on_timeout": "approve"}, 'write "reject" or "escalate"'),
    ({"on_timeout": "escalate", "decide_within": HOUR}, "go together"),
    ({"escalate_to": ("cfo",)}, "go together"),
    ({"decide_within": HOUR, "remind_before": 60}, r"remind_before=60\): give a timedelta"),
    ({"decide_within": HOUR, "remind_before": -HOUR}, r"give a timedelta"),
    ({"decide_within": HOUR, "remind_before": HOUR}, "needs a longer decide_within"),
    ({"remind_before": HOUR}, "needs a longer decide_within"),
    ({"on_timeout": "escalate", "escalate_to": ("cfo",)}, "the time would never be up"),
]


@pytest.mark.parametrize(("declared", "said"), MISTAKES)
def test_a_gate_that_cannot_work_is_refused_where_it_is_written(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidGate, match=said):
        Gate(**declared)


def workflow(gates: Any, *, plan: Any = PLAN) -> Workflow:
    strategy = FixedPlan(plan) if isinstance(plan, Plan) else plan
    return Workflow(name="w", goals=("w",), strategy=strategy, tools=(pay, look), gates=gates)


class Planner:
    """Plans as it likes."""

    def plan(self, situation: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ([Gate()], "gates is a list"),
        ({"pay": ("finance",)}, r"gates\['pay'\] is \('finance',\)"),
        ({"pya": Gate()}, "'pya', which is no tool or step of it .it has first, look, pay, second"),
        ({7: Gate()}, "names 7"),
    ],
)
def test_gates_that_guard_nothing_are_refused(gates: Any, said: str) -> None:
    with pytest.raises(InvalidGate, match=said):
        workflow(gates)


def test_a_step_that_a_model_names_has_no_gate() -> None:
    with pytest.raises(InvalidGate, match="what a model plans, it names"):
        workflow({"first": Gate()}, plan=Planner())


def test_a_name_that_is_a_tool_and_a_step_of_another_is_refused() -> None:
    plan = Plan(steps=(Step(id="look", tool="pay", args={"cents": 1}),))
    with pytest.raises(InvalidGate, match="also a step that calls 'pay'"):
        workflow({"look": Gate()}, plan=plan)


def test_a_tool_is_given_a_gate_and_nothing_else() -> None:
    with pytest.raises(ToolMistake, match=r"is no Gate: Gate\(roles"):
        tool(effect="write", gate="finance")(pay.function)  # type: ignore[call-overload]


def test_the_step_counts_before_the_tool_in_the_workflow_and_that_before_the_tool_itself() -> None:
    both = workflow({"first": Gate(quorum=2), "pay": Gate(quorum=3)})
    assert [both.gate(step, pay).quorum for step in ("first", "second")] == [2, 3]
    assert workflow({}).gate("first", pay).roles == ("clerk",)
    assert workflow({}).gate("first", look) == Gate()
    planned = workflow({"pay": Gate(quorum=3), "look": Gate(quorum=2)}, plan=Planner())
    assert planned.gate("look", pay).quorum == 3


def test_what_a_gate_says_is_on_the_request_and_survives_a_channel() -> None:
    gate = Gate(roles=["finance"], quorum=2, decide_within=HOUR, on_timeout="escalate", escalate_to=("cfo",))  # type: ignore[arg-type]
    opened = gate.opened(datetime(2026, 1, 1, tzinfo=UTC))
    assert opened["decide_by"] == "2026-01-01T01:00:00+00:00"
    request = ApprovalRequest(id="apr_1", run="r", step="s", tool="pay", args={}, effect="write", digest="00", **opened)
    assert ApprovalRequest.model_validate(request.plain()) == request
    assert request.asked == "2 different people with the role finance"
    assert request.model_copy(update={"level": 1}).asked == "one person with the role cfo"
    assert (gate.terms().next_asked(0), gate.terms().next_asked(1)) == ("cfo", None)


def test_a_request_from_before_there_were_gates_is_anybodys_question() -> None:
    old = {"id": "a", "run": "r", "step": "s", "tool": "t", "args": {}, "effect": "write", "digest": "0"}
    request = ApprovalRequest.model_validate(old)
    assert (request.terms, request.asked) == (Terms(), "")
    assert request.plain() == old


def test_a_replacement_asks_the_same_people_unless_it_says_whom() -> None:
    @tool(effect="write", name="pay")
    def fake(cents: int) -> None:
        """Pay nobody."""

    @tool(effect="write", name="pay", gate=Gate(quorum=2))
    def own(cents: int) -> None:
        """Pay nobody, with two people's leave."""

    assert stand_in(pay, fake).gate == stand_in(pay, pay.function).gate == Gate(roles=("clerk",))
    assert stand_in(pay, own).gate == Gate(quorum=2)
