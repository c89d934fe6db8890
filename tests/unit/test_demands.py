"""Tries to plan round what a tool or a gate wants to rest on: no reading, another one, an old one, one left out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gatepost import Condition, Fact, FixedPlan, Gate, Plan, Step, Tool, Workflow, ref, tool
from gatepost.nodes.demand import completed, lacking, materials
from gatepost.nodes.tool import ToolMistake
from gatepost.state.board import Board
from gatepost.state.fact import InvalidFact
from gatepost.state.status import StepStatus
from gatepost.state.step import StepRecord

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@tool(effect="read", material=["/price"])
def quote(item: str = "desk") -> dict[str, int]:
    raise AssertionError(item)


@tool(effect="read")
def total(price: int = 0) -> int:
    raise AssertionError(price)


@tool(effect="write")
def note(text: str = "") -> str:
    raise AssertionError(text)


@tool(effect="write", relies_on={"quote": DAY})
def buy(cents: int = 0) -> str:
    raise AssertionError(cents)


class Anybody:
    """Plans like a model: whatever."""

    def plan(self, situation: Any) -> Plan | None:
        raise AssertionError(situation)


def workflow(**more: Any) -> Workflow:
    return Workflow(name="w", goals=("w",), tools=(quote, total, note, buy), **{"strategy": Anybody(), **more})


TOOLS: dict[str, Tool[..., Any]] = {one.name: one for one in workflow().tools}


def work_out(*steps: Step, of: Workflow | None = None, board: Board | None = None) -> tuple[Plan, list[str]]:
    return completed(Plan(steps=steps), of or workflow(), TOOLS, board or Board(None))


def step(name: str, uses: str, *needs: str, **more: Any) -> Step:
    return Step(id=name, tool=uses, needs=needs, **more)


def relies(found: Plan, name: str = "buy") -> dict[str, timedelta]:
    return found.by_id[name].relies_on


def test_a_reading_that_leads_to_the_step_is_relied_on_also_by_way_of_what_was_made_of_it() -> None:
    made = step("sum", "total", args={"price": ref("q", "/price")})
    found, wrong = work_out(step("q", "quote"), made, step("buy", "buy", args={"cents": ref("sum")}))
    assert (wrong, relies(found), found.by_id["buy"].needs) == ([], {"q": DAY}, ("sum", "q"))


def test_a_plan_may_ask_for_more_and_never_for_less() -> None:
    for asked, held in ((HOUR, HOUR), (timedelta(days=90), DAY)):
        found, wrong = work_out(step("q", "quote"), step("buy", "buy", relies_on={"q": asked}))
        assert (wrong, relies(found)) == ([], {"q": held})


def test_of_several_readings_all_that_lead_to_it_count_and_no_other() -> None:
    found, wrong = work_out(
        step("q1", "quote"), step("q2", "quote"), step("other", "quote"), step("buy", "buy", "q1", "q2")
    )
    assert (wrong, relies(found)) == ([], {"q1": DAY, "q2": DAY})


@pytest.mark.parametrize(
    ("steps", "fix"),
    [
        ((step("buy", "buy"),), "add a step that calls 'quote', and let 'buy' need it"),
        ((step("q", "quote"), step("buy", "buy")), "let it need the one of q that it rests on"),
        ((step("q", "quote", "buy"), step("buy", "buy")), "let it need the one of q"),
        ((step("q", "quote"), step("n", "note", "q"), step("buy", "buy", "n")), "let it need the one of q"),
    ],
    ids=["no reading", "beside it", "after it", "before something was done"],
)
def test_a_plan_in_which_no_reading_leads_to_it_is_refused_with_the_way_out(steps: tuple[Step, ...], fix: str) -> None:
    found, wrong = work_out(*steps)
    assert "may only rest on a reading of 'quote' that is at most 1 day old" in wrong[0]
    assert (fix in wrong[0], relies(found)) == (True, {})


def test_what_has_begun_is_left_as_it_is() -> None:
    done = Board(None, [StepRecord(step="buy", tool="buy", status=StepStatus.SUCCEEDED)])
    assert work_out(step("buy", "buy"), board=done) == (Plan(steps=(step("buy", "buy"),)), [])


def test_a_gate_demands_as_well_and_the_shorter_time_holds() -> None:
    strict = workflow(gates={"buy": Gate(relies_on={"quote": HOUR}), "note": Gate(relies_on={"total": HOUR})})
    found, wrong = work_out(
        step("q", "quote"), step("sum", "total"), step("buy", "buy", "q"), step("n", "note", "sum"), of=strict
    )
    assert (wrong, relies(found), relies(found, "n")) == ([], {"q": HOUR}, {"sum": HOUR})


def test_a_gate_of_a_step_counts_only_where_nobody_plans() -> None:
    plan = Plan(steps=(step("q", "quote"), step("special", "note", "q")))
    gates = {"special": Gate(relies_on={"quote": HOUR})}
    fixed = workflow(strategy=FixedPlan(plan), gates=gates)
    assert relies(completed(plan, fixed, TOOLS, Board(None))[0], "special") == {"q": HOUR}


def test_a_reading_that_was_left_out_is_none() -> None:
    when = Condition(ref="input#/x", op="present")
    plan, _ = work_out(step("q", "quote", when=when), step("buy", "buy", "q"))
    demands = list(buy.relies_on.items())
    for status, told in ((StepStatus.SKIPPED, "step 'q' was skipped"), (StepStatus.SUCCEEDED, None)):
        board = Board(plan, [StepRecord(step="q", tool="quote", status=status)])
        why = lacking(plan.by_id["buy"], demands, board)
        assert (why is None) if told is None else (why is not None and told in why)


def test_what_matters_is_said_by_whoever_relies_on_it_and_else_by_the_read() -> None:
    plan = Plan(
        steps=(
            step("q", "quote"),
            step("buy", "buy", relies_on={"q": DAY}),
            step("n", "note", relies_on={"q": DAY}),
            step("sum", "total", "q"),
        )
    )
    picky = workflow(gates={"buy": Gate(relies_on={"quote": Fact(DAY, material={"/price": 5})})})
    assert materials(Board(plan), picky, TOOLS, "q", of=plan.by_id["n"]) == [["/price"]]
    assert materials(Board(plan), picky, TOOLS, "q", of=plan.by_id["buy"]) == [["/price"], {"/price": 5}]
    assert materials(Board(plan), picky, TOOLS, "q") == [["/price"], {"/price": 5}, ["/price"]]
    done = [StepRecord(step=name, tool="x", status=StepStatus.SUCCEEDED) for name in ("buy", "n")]
    assert materials(Board(plan, done), picky, TOOLS, "q") == [["/price"]]


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"quote": 60}, "Fact(within=timedelta(days=1)"),
        ({"quote": timedelta(0)}, "say how old it may be"),
        (["quote"], "name what reads it"),
        ({"": DAY}, "which is no tool"),
    ],
)
def test_a_demand_that_means_nothing_is_refused_where_it_is_written(declared: Any, told: str) -> None:
    for build in (lambda: Gate(relies_on=declared), lambda: tool(effect="write", relies_on=declared)(note.function)):
        with pytest.raises(InvalidFact, match="relies_on") as refused:
            build()
        assert told in str(refused.value)


@pytest.mark.parametrize("material", ["price", ["price"], 3])
def test_so_is_one_in_which_nothing_could_matter(material: Any) -> None:
    with pytest.raises(InvalidFact, match="material"):
        Fact(DAY, material=material)


@pytest.mark.parametrize(("name", "why"), [("note", "is no read"), ("qoute", "is no tool of it")])
def test_a_demand_that_no_plan_could_meet_is_refused_with_the_workflow(name: str, why: str) -> None:
    with pytest.raises(
        ToolMistake, match=rf"gates\['buy'\] relies on '{name}', which {why}.*its reads are quote, total"
    ):
        workflow(gates={"buy": Gate(relies_on={name: DAY})})
