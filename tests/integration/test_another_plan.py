"""Another plan comes while people are asked, have answered, or wait for facts: what is unchanged stands, alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from langgraph.types import Command
from typer.testing import CliRunner

from gatepost import Condition, EffectContext, GatepostGraph, Plan, Situation, Step, Workflow, tool
from gatepost.service.cli.app import app
from gatepost.state.approval import decision_of

CONFIG: Any = {"configurable": {"thread_id": "r1"}}
PAY = Step(id="pay", tool="pay", args={"to": "ada"})
OTHER = Step(id="other", tool="pay", args={"to": "bob"})
LOOK = Step(id="look", tool="look")


class TooMany(Exception):
    """A provider that asks to be left alone for an hour."""

    status_code = 429
    headers: ClassVar = {"Retry-After": "3600"}


class Turns:
    """Plans one after the other, each time that somebody or something asks for another."""

    def __init__(self, *plans: tuple[Step, ...]) -> None:
        self._plans = plans
        self.while_planning: Callable[[], Any] | None = None

    async def plan(self, situation: Situation) -> Plan | None:
        turn = len(situation.responses)
        version = situation.plan.version if situation.plan else 0
        if version > turn or turn >= len(self._plans):
            return None
        if turn and self.while_planning is not None:
            await self.while_planning()
        return Plan(steps=self._plans[turn])


class Office:
    """Payments that need a person, and a rate that they may rest on."""

    def __init__(self, build: Callable[..., GatepostGraph], *plans: tuple[Step, ...]) -> None:
        self.paid: list[str] = []
        self.busy = False
        self.strategy = Turns(*plans)

        @tool(effect="read")
        def look() -> str:
            return "looked"

        @tool(effect="read")
        def rate() -> int:
            if self.busy:
                raise TooMany
            return 1

        @tool(effect="write", on_doubt="retry")
        def pay(ctx: EffectContext, to: str) -> str:
            self.paid.append(to)
            return to

        self.graph = build([Workflow(name="w", goals=("w",), strategy=self.strategy, tools=(look, rate, pay))])

    def start(self) -> dict[str, Any]:
        result: dict[str, Any] = self.graph.invoke({"goal": "w"}, CONFIG)
        return result

    def answer(self, said: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.graph.invoke(Command(resume=said), CONFIG)
        return result


def asked_about(result: dict[str, Any]) -> dict[str, Any]:
    return {asked.step: asked for asked in result["approvals"]}


def statuses(owner: Any) -> list[tuple[str, str]]:
    rows = owner.rows("SELECT step_id, status::text FROM gatepost.approval ORDER BY opened_at, approval_id")
    return [(row["step_id"], row["status"]) for row in rows]


def test_a_question_whose_step_waits_for_something_new_is_asked_when_that_is_done(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any
) -> None:
    later = PAY.model_copy(update={"needs": ("other",)})
    office = Office(gatepost_graph, (PAY, OTHER), (later, OTHER))
    first = asked_about(office.start())
    then = asked_about(office.answer(first["pay"].respond("bob first", by="alice")))
    assert (sorted(then), office.paid) == (["other"], [])
    then = asked_about(office.answer(then["other"].approve(by="alice")))
    assert (sorted(then), office.paid) == (["pay"], ["bob"])
    assert office.answer(then["pay"].approve(by="alice"))["status"] == "succeeded"
    assert office.paid == ["bob", "ada"]


def test_a_kept_answer_does_not_run_before_what_its_step_now_waits_for(
    gatepost_graph: Callable[..., GatepostGraph],
) -> None:
    later = PAY.model_copy(update={"needs": ("look",)})
    third = Step(id="third", tool="pay", args={"to": "eve"})
    office = Office(gatepost_graph, (PAY, third), (later, third, OTHER, LOOK.model_copy(update={"needs": ("other",)})))
    first = asked_about(office.start())
    then = asked_about(office.answer(first["third"].respond("look first", by="alice")))
    assert (sorted(then), office.paid) == (["other", "third"], [])


def test_a_question_whose_step_is_left_out_under_the_new_plan_is_void(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any
) -> None:
    never = PAY.model_copy(update={"when": Condition(ref="input#/missing", op="present")})
    office = Office(gatepost_graph, (PAY, OTHER), (never, OTHER))
    first = asked_about(office.start())
    then = office.answer(first["other"].respond("only if asked for", by="alice"))
    assert (sorted(asked_about(then)), then["steps"]["pay"]["status"]) == (["other"], "skipped")


@pytest.mark.parametrize("said_to", ["pay", "other"])
def test_a_step_that_was_dropped_and_planned_again_is_asked_about_anew(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any, said_to: str
) -> None:
    office = Office(gatepost_graph, (PAY, OTHER), (OTHER,), (PAY, OTHER))
    first = asked_about(office.start())
    then = asked_about(office.answer(first[said_to].respond("not ada", by="alice")))
    assert sorted(then) == ["other"]
    then = asked_about(office.answer(then["other"].respond("ada as well", by="alice")))
    assert sorted(then) == ["other", "pay"]
    assert then["pay"].id != first["pay"].id
    office.answer(then["pay"].approve(by="alice"))
    result = office.answer(then["other"].approve(by="alice"))
    assert (result["status"], sorted(office.paid)) == ("succeeded", ["ada", "bob"])


@pytest.mark.parametrize(("to", "paid"), [("ada", ["ada"]), ("eve", [])])
def test_an_answer_that_came_while_it_was_planned_counts_for_what_it_was_given_to(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any, to: str, paid: list[str]
) -> None:
    office = Office(gatepost_graph, (PAY, OTHER), (PAY.model_copy(update={"args": {"to": to}}), OTHER))
    first = asked_about(office.start())

    office.strategy.while_planning = lambda: office.graph.adecide(decision_of(first["pay"].approve(by="bob")))
    result = office.answer(first["other"].respond("think again", by="alice"))
    assert (office.paid, result["status"]) == (paid, "blocked")
    assert statuses(lone_owner)[:2] in (
        [("pay", "decided" if paid else "void"), ("other", "decided")],
        [("other", "decided"), ("pay", "decided" if paid else "void")],
    )
    if not paid:
        assert asked_about(result)["pay"].args == {"to": "eve"}


RATE = Step(id="rate", tool="rate")
RESTS = PAY.model_copy(update={"relies_on": {"rate": timedelta(days=1)}, "needs": ("rate",)})


def held(office: Office, database: Any, say: Callable[[Any], Any]) -> dict[str, Any]:
    """Somebody says yes to a step whose rate is too old and cannot be read now; then another plan is asked for."""
    first = asked_about(office.start())
    database.clock.shift(timedelta(days=3))
    office.busy = True
    assert office.answer(say(first["pay"]))["status"] == "waiting"
    result = office.answer(first["other"].respond("another plan", by="alice"))
    assert (result["plan_version"], office.paid) == (2, [])
    office.busy = False
    database.clock.shift(timedelta(hours=2))
    again: dict[str, Any] = office.graph.invoke(None, CONFIG)
    return again


@pytest.mark.parametrize(
    ("second", "paid", "asked"),
    [
        (RESTS, ["ada"], None),
        (RESTS.model_copy(update={"args": {"to": "eve"}}), [], {"to": "eve"}),
        (RESTS.model_copy(update={"needs": ("rate", "look")}), [], {"to": "ada"}),
        (None, [], None),
    ],
    ids=["unchanged", "changed", "rests on more", "dropped"],
)
def test_an_approved_step_that_waits_for_its_facts_meets_another_plan(
    gatepost_graph: Callable[..., GatepostGraph],
    gatepost_database: Any,
    lone_owner: Any,
    second: Step | None,
    paid: list[str],
    asked: dict[str, str] | None,
) -> None:
    office = Office(gatepost_graph, (RATE, RESTS, OTHER), (RATE, LOOK, OTHER, *([second] if second else [])))
    result = held(office, gatepost_database, lambda request: request.approve(by="alice"))
    open_now = asked_about(result)
    assert (office.paid, open_now["pay"].args if "pay" in open_now else None) == (paid, asked)
    assert ("pay", "decided" if paid else "void") in statuses(lone_owner)
    said = CliRunner().invoke(app, ["export", "r1"], env={"GATEPOST_DATABASE_URL": gatepost_database.url}).stdout
    events = [json.loads(line) for line in said.splitlines()]
    voided = [(event["from"], event["to"]) for event in events if event["what"] == "approval" and event["to"] == "void"]
    assert voided == ([] if paid else [("decided", "void")])
    for request in open_now.values():
        result = office.answer(request.approve(by="alice"))
    assert (result["status"], len(office.paid)) == ("succeeded", 1 if second is None else 2)


def test_what_was_edited_and_waits_is_asked_anew_where_the_plan_changed(
    gatepost_graph: Callable[..., GatepostGraph], gatepost_database: Any
) -> None:
    office = Office(
        gatepost_graph, (RATE, RESTS, OTHER), (RATE, OTHER, RESTS.model_copy(update={"args": {"to": "eve"}}))
    )
    result = held(office, gatepost_database, lambda request: request.edit(by="alice", to="zoe"))
    assert (office.paid, asked_about(result)["pay"].args) == ([], {"to": "eve"})
