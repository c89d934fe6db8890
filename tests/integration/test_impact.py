"""Every question carries what a yes to it would set going, kept up to date without asking again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.types import Command
from typer.testing import CliRunner

from gatepost import (
    EffectContext,
    FixedPlan,
    GatepostGraph,
    NotDone,
    Plan,
    Policy,
    Situation,
    Step,
    Workflow,
    ref,
    tool,
)
from gatepost.service.cli.app import app
from gatepost.state.approval import ApprovalRequest
from gatepost.testing import Database

CONFIG: Any = {"configurable": {"thread_id": "r1"}}
ASK = """
@id("reads") permit (principal, action == Action::"run", resource) when { context.effect == "read" };
@id("decide") permit (principal, action == Action::"decide", resource);
"""


@tool(effect="read")
def price() -> int:
    return 40


@tool(effect="write", on_doubt="retry")
def refund(ctx: EffectContext, cents: int) -> None:
    assert ctx.undoes


@tool(effect="write", on_doubt="retry", cost="cents", compensate=refund)
def pay(ctx: EffectContext, cents: int) -> str:
    return ctx.idempotency_key


@tool(effect="irreversible", on_doubt="retry")
def mail(ctx: EffectContext, text: str) -> str:
    if text == "refused":
        raise NotDone(text)
    return ctx.idempotency_key


TOOLS = (price, pay, mail)


def started(
    build: Callable[..., GatepostGraph], strategy: Any, *, policy: str = ASK, **more: Any
) -> tuple[GatepostGraph, Any]:
    workflow = Workflow(name="w", goals=("w",), strategy=strategy, tools=TOOLS, **more)
    graph = build([workflow], policy=Policy(policy))
    return graph, graph.invoke({"goal": "w"}, CONFIG)


def steps(*more: Step) -> Plan:
    return Plan(
        steps=(
            Step(id="pay", tool="pay", args={"cents": 5}),
            Step(id="price", tool="price"),
            Step(id="tip", tool="pay", args={"cents": ref("price")}, needs=("pay",)),
            *more,
        )
    )


FLOW = Workflow(name="w", goals=("w",), strategy=FixedPlan(steps()), tools=TOOLS)
LETTER = Step(id="letter", tool="mail", args={"text": "hello"}, needs=("tip",))


def row(database: Any) -> dict[str, Any]:
    (found,) = database.rows("SELECT request, impact, status::text FROM gatepost.approval ORDER BY opened_at LIMIT 1")
    return dict(found)


def test_a_question_carries_what_a_yes_sets_going_and_learns_what_it_costs(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any
) -> None:
    graph, result = started(gatepost_graph, FixedPlan(steps(LETTER)))
    asked = result["approval"]
    shown = [(effect["step"], effect["undo"], effect["pivot"], effect["cost"]) for effect in asked.impact]
    assert shown == [("pay", "refund", False, 5), ("tip", "refund", False, 40), ("letter", None, True, 0)]
    assert graph.get_state(CONFIG).values["approval"].impact == asked.impact
    assert asked.payload()["approval"]["impact"] == list(asked.impact)
    kept = row(lone_owner)
    assert [effect["cost"] for effect in kept["request"]["impact"]] == [5, None, 0], "as it was when it was asked"
    assert kept["impact"] == list(asked.impact), "for an inbox, which does not load the run"
    assert graph.invoke(Command(resume=asked.approve(by="alice")), CONFIG)["approval"].impact[0]["step"] == "tip"


def test_nothing_that_it_shows_binds(gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any) -> None:
    graph, result = started(gatepost_graph, FixedPlan(steps()))
    lone_owner.change("UPDATE gatepost.approval SET impact = '[]'")
    lone_owner.change("UPDATE gatepost.approval SET request = (request::jsonb - 'impact')::json")
    again = graph.invoke(Command(resume=result["approval"].approve(by="alice")), CONFIG)
    assert again["steps"]["pay"]["status"] == "succeeded"


def test_an_edit_refreshes_it(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any, gatepost_database: Database
) -> None:
    _, result = started(gatepost_graph, FLOW.strategy)
    edit = ["approval", "edit", result["approval"].id, "--set", "cents=9", "--no-run", "--as", "alice"]
    said = CliRunner().invoke(
        app, ["--workflows", f"{__name__}:FLOW", *edit], env={"GATEPOST_DATABASE_URL": gatepost_database.url}
    )
    assert "  cents = 9 (asked: 5)\n  costs 9 (asked: 5)\n" in said.stderr, said.output
    kept = row(lone_owner)
    assert (kept["status"], [effect["cost"] for effect in kept["impact"]]) == ("decided", [9, 40])


class Longer:
    """Plans a letter after the payment once somebody asks for one; the payment stays what it is."""

    origin = "file"

    def plan(self, situation: Situation) -> Plan | None:
        other = (Step(id="other", tool="mail", args={"text": "other"}),)
        if situation.plan is None:
            return steps(*other)
        return steps(LETTER) if situation.responses and situation.plan.version == 1 else None


def test_another_plan_refreshes_what_its_kept_questions_show(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any
) -> None:
    graph, result = started(gatepost_graph, Longer())
    first, other = result["approvals"]
    assert [effect["step"] for effect in first.impact] == ["pay", "tip"]
    kept = graph.invoke(Command(resume=other.respond("write to them", by="alice")), CONFIG)["approval"]
    assert (kept.id, [effect["step"] for effect in kept.impact]) == (first.id, ["pay", "tip", "letter"])
    assert row(lone_owner)["impact"] == list(kept.impact)


REFUSED = Plan(
    steps=(
        Step(id="first", tool="pay", args={"cents": 1}),
        Step(id="second", tool="pay", args={"cents": 2}, needs=("first",)),
        Step(id="letter", tool="mail", args={"text": "refused"}, needs=("second",)),
        Step(id="last", tool="mail", args={"text": "x"}, needs=("letter",)),
    )
)
RUN = """
@id("runs") permit (principal, action == Action::"run", resource) when { context.purpose == "run" };
@id("decide") permit (principal, action == Action::"decide", resource);
"""


@pytest.mark.parametrize(
    ("reaction", "shown"),
    [
        ("escalate", [("letter", "mail"), ("last", "mail")]),
        ("compensate", [("second", "refund"), ("first", "refund")]),
    ],
)
def test_questions_about_failures_and_undos_carry_it_too(
    gatepost_graph: Callable[..., GatepostGraph], reaction: Any, shown: list[tuple[str, str]]
) -> None:
    _, result = started(gatepost_graph, FixedPlan(REFUSED), policy=RUN, on_failure={"validation": reaction})
    assert [(effect["step"], effect["tool"]) for effect in result["approval"].impact] == shown


def test_it_is_shown_at_the_command_line_and_as_json(
    gatepost_graph: Callable[..., GatepostGraph], gatepost_database: Database
) -> None:
    _, result = started(gatepost_graph, FixedPlan(steps(LETTER)))
    asked: ApprovalRequest = result["approval"]

    def say(*words: str) -> str:
        said = CliRunner().invoke(app, words, env={"GATEPOST_DATABASE_URL": gatepost_database.url})
        assert said.exit_code == 0, said.output
        return said.stdout

    assert (
        "  what a yes sets going:\n"
        "    1. pay (write): refund undoes it; costs 5; tip waits for it\n"
        "    2. tip by pay (write): refund undoes it; costs 40; letter waits for it\n"
        "    3. letter by mail (irreversible): a pivot: nothing can undo it\n"
        "  together they cost 45\n"
    ) in say("approval", "show", asked.id)
    for shown in (
        json.loads(say("approval", "show", asked.id, "--json")),
        *json.loads(say("approval", "list", "--json")),
    ):
        assert shown["request"]["impact"] == list(asked.impact)
