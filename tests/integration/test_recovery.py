"""Tries to recover runs into something worse: a thing done twice, an undone thing left, a gate gone round."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import (
    EffectContext,
    FixedPlan,
    GatepostGraph,
    NotDone,
    Plan,
    Policy,
    Retry,
    RunContext,
    RunStatus,
    Step,
    Tool,
    Workflow,
    tool,
)
from gatepost.graph.recovery import recover_given_up
from gatepost.nodes.tool import ToolMistake
from gatepost.state.approval import decision_of
from gatepost.state.errors import CallerMistake, UnknownRun
from gatepost.testing import approve, finish

ALL = Policy('@id("all") permit (principal, action, resource);')
ONCE = Retry(attempts=1)


class Fair:
    """A stall is booked, lit and opened; each may refuse, and what is booked or lit can be given back."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.done: list[str] = []
        self.keys: list[str] = []
        self.refuses: set[str] = set()
        self.vanishes: set[str] = set()
        self.graph = build([self.workflow("fair"), self.workflow("fete", RunStatus.CANCELLED)], policy=ALL)
        self.gated = build([self.workflow("gala")])

    def tools(self) -> tuple[Tool[..., Any], ...]:
        @tool(effect="write", on_doubt="ask", retry=ONCE)
        def give_back(ctx: EffectContext, what: str) -> None:
            self._do(f"-{what}", ctx)

        @tool(effect="write", on_doubt="ask", retry=ONCE, compensate=give_back)
        def book(ctx: EffectContext, what: str) -> str:
            self._do(f"+{what}", ctx)
            return what

        @tool(effect="irreversible", on_doubt="ask", retry=ONCE)
        def open_up(ctx: EffectContext, what: str) -> str:
            self._do(f"+{what}", ctx)
            return what

        return book, open_up

    def workflow(self, name: str, *compensated: RunStatus) -> Workflow:
        steps = (
            Step(id="stall", tool="book", args={"what": "stall"}),
            Step(id="light", tool="book", args={"what": "light"}, needs=("stall",)),
            Step(id="gate", tool="open_up", args={"what": "gate"}, needs=("light",)),
        )
        strategy = FixedPlan(Plan(steps=steps))
        return Workflow(
            name=name, goals=(name,), strategy=strategy, tools=self.tools(), compensate_on=frozenset(compensated)
        )

    def start(self, run: str, goal: str = "fair") -> dict[str, Any]:
        result: dict[str, Any] = self.graph.invoke({"goal": goal}, self.config(run))
        return result

    def go_on(self, run: str) -> dict[str, Any]:
        result: dict[str, Any] = self.graph.invoke(None, self.config(run))
        return result

    def stands(self, run: str) -> dict[str, str]:
        values = self.graph.get_state(self.config(run)).values
        return {"run": values["status"], **{step: found["status"] for step, found in values["steps"].items()}}

    def events(self, run: str) -> list[dict[str, Any]]:
        async def read() -> list[dict[str, Any]]:
            return [event async for event in self.graph.saver.history.events(run)]

        return self.graph.saver.bridge.run(read())

    def config(self, run: str) -> Any:
        return {"configurable": {"thread_id": run}}

    def _do(self, what: str, ctx: EffectContext) -> None:
        self.keys.append(ctx.idempotency_key)
        if what in self.refuses:
            raise NotDone(f"{what} refused")
        self.done.append(what)
        if what in self.vanishes:
            raise TimeoutError


@pytest.fixture
def fair(gatepost_graph: Callable[..., GatepostGraph]) -> Fair:
    return Fair(gatepost_graph)


@pytest.fixture
def failed(fair: Fair) -> Fair:
    """A run whose last step failed."""
    fair.refuses = {"+gate"}
    assert fair.start("r")["status"] == "failed"
    assert fair.done == ["+stall", "+light"]
    return fair


def test_a_failed_run_goes_on_with_what_failed_and_with_nothing_else(failed: Fair) -> None:
    assert [step.what for step in failed.graph.outlook("r", "resume").steps] == ["try again"]
    failed.refuses.clear()
    assert failed.graph.recover("r", "resume", by="olga", reason="the gate is mended").status is RunStatus.QUEUED
    result = failed.go_on("r")
    assert result["status"] == "succeeded"
    assert failed.done == ["+stall", "+light", "+gate"]
    assert len(set(failed.keys)) == 4, "what is tried again is a new call"
    (said,) = (event for event in failed.events("r") if event["what"] == "intervention")
    assert (said["to"], said["who"], said["why"]) == ("resume", "olga", "the gate is mended")


def test_a_failed_run_is_rolled_back(failed: Fair) -> None:
    looks = [(step.step, step.what) for step in failed.graph.outlook("r", "rollback").steps]
    assert looks == [("light", "undo"), ("stall", "undo")]
    failed.graph.recover("r", "rollback", by="olga")
    result = failed.go_on("r")
    assert result["status"] == "compensated"
    assert failed.graph.saver.bridge.run(failed.graph.saver.orders.untaken("r")) == [], "it is heard once"
    assert failed.done == ["+stall", "+light", "-light", "-stall"]
    assert result["outcome"]["undone"] == ["light", "stall"]
    with pytest.raises(CallerMistake, match="nothing is left to recover"):
        failed.graph.recover("r", "rollback", by="olga")


def test_what_failed_becomes_a_question(failed: Fair) -> None:
    failed.graph.recover("r", "escalate", by="olga")
    asked = failed.go_on("r")["approval"]
    assert (asked.kind, asked.step) == ("failure", "gate")
    failed.refuses.clear()
    result = finish(failed.graph, None, failed.config("r"), answers=[approve(by="carol")])
    assert (result["status"], failed.done[-1]) == ("succeeded", "+gate")


def test_a_run_in_which_nothing_failed_is_not_escalated(fair: Fair) -> None:
    fair.start("r")
    with pytest.raises(CallerMistake, match="has ended, and nothing is left"):
        fair.graph.outlook("r", "escalate")


def test_an_undo_that_failed_is_tried_again_under_another_key(failed: Fair) -> None:
    failed.refuses.add("-light")
    failed.graph.recover("r", "rollback", by="olga")
    result = failed.go_on("r")
    assert result["status"] == "compensation_failed"
    assert result["outcome"]["undone"] == ["stall"]
    assert "refused" in result["outcome"]["not_undone"]["light"]
    failed.refuses.discard("-light")
    failed.graph.recover("r", "resume", by="olga")
    assert failed.go_on("r")["status"] == "compensated"
    assert failed.done == ["+stall", "+light", "-stall", "-light"]
    assert len(set(failed.keys)) == len(failed.keys) == 6


def test_an_undo_that_failed_may_be_left_so(failed: Fair) -> None:
    failed.refuses.add("-light")
    failed.graph.recover("r", "rollback", by="olga")
    failed.go_on("r")
    assert failed.graph.recover("r", "abandon", by="olga").status is RunStatus.CANCELLED
    assert failed.done == ["+stall", "+light", "-stall"]


def test_what_may_have_happened_is_found_out_before_anything_is_undone(fair: Fair) -> None:
    fair.vanishes = {"+light"}
    asked = fair.start("r")["approval"]
    assert asked.kind == "doubt"
    looks = [(step.step, step.what) for step in fair.graph.outlook("r", "rollback").steps]
    assert looks == [("light", "find out"), ("stall", "undo")]
    fair.graph.recover("r", "rollback", by="olga")
    assert fair.go_on("r")["approval"].kind == "doubt"
    assert fair.done == ["+stall", "+light"]
    result = finish(fair.graph, None, fair.config("r"), answers=[lambda a: a.happened(by="olga", result="light")])
    assert result["status"] == "compensated"
    assert fair.done == ["+stall", "+light", "-light", "-stall"]


def test_a_blocked_run_is_rolled_back_and_its_question_is_gone(fair: Fair) -> None:
    config = fair.config("r")
    asked = fair.gated.invoke({"goal": "gala"}, config)["approval"]
    result = fair.gated.invoke(_resume(asked.approve(by="carol")), config)
    assert fair.done == ["+stall"]
    second = result["approval"]
    fair.gated.recover("r", "rollback", by="olga")
    result = fair.gated.invoke(None, config)
    assert (result["status"], fair.done) == ("compensated", ["+stall", "-stall"])
    with pytest.raises(CallerMistake, match=r"no longer|ended|void"):
        fair.gated.invoke(_resume(second.approve(by="carol")), config)


def _resume(answer: dict[str, Any]) -> Any:
    return Command(resume=answer)


def test_cancel_undoes_where_the_workflow_says_so(fair: Fair) -> None:
    fair.vanishes = {"+gate"}
    for run, goal, undone in (("a", "fair", []), ("b", "fete", ["-light", "-stall"])):
        fair.done.clear()
        assert fair.start(run, goal)["approval"].kind == "doubt"
        fair.graph.cancel(run, by="olga")
        if undone:
            finish(fair.graph, None, fair.config(run), answers=[lambda a: a.did_not_happen(by="olga")])
        assert fair.done == ["+stall", "+light", "+gate", *undone]
        assert fair.stands(run)["run"] == ("compensated" if undone else "cancelled")


def test_what_a_cancelled_run_did_can_be_undone_later(fair: Fair) -> None:
    fair.vanishes = {"+gate"}
    fair.start("r")
    fair.graph.cancel("r", by="olga")
    assert fair.stands("r") == {"run": "cancelled", "stall": "succeeded", "light": "succeeded", "gate": "in_doubt"}
    fair.graph.recover("r", "rollback", by="olga")
    assert fair.go_on("r")["approval"].kind == "doubt", "what may have happened is asked about first"
    result = finish(fair.graph, None, fair.config("r"), answers=[lambda a: a.happened(by="olga", result="gate")])
    assert result["status"] == "compensated"
    assert fair.done == ["+stall", "+light", "+gate", "-light", "-stall"]
    assert result["outcome"]["not_undone"] == {"gate": "a pivot: it is irreversible"}


def test_a_step_is_tried_again(failed: Fair) -> None:
    with pytest.raises(CallerMistake, match="is succeeded"):
        failed.graph.retry_step("r", "stall", by="olga")
    with pytest.raises(CallerMistake, match="has no step 'roof'; it has gate, light, stall"):
        failed.graph.retry_step("r", "roof", by="olga")
    failed.refuses.clear()
    failed.graph.retry_step("r", "gate", by="olga", reason="mended")
    assert failed.go_on("r")["status"] == "succeeded"
    assert failed.done == ["+stall", "+light", "+gate"]


def test_a_step_in_doubt_is_not_tried_again(fair: Fair) -> None:
    fair.vanishes = {"+light"}
    fair.start("r")
    for refused in (fair.graph.retry_step, fair.graph.skip_step):
        with pytest.raises(CallerMistake, match=r"step light is in[_ ]doubt"):
            refused("r", "light", by="olga")


def test_a_step_that_failed_is_left_out(fair: Fair) -> None:
    fair.refuses = {"+light"}
    assert fair.start("r")["status"] == "failed"
    fair.graph.skip_step("r", "light", by="olga", reason="it is day")
    assert fair.go_on("r")["status"] == "succeeded"
    assert fair.done == ["+stall", "+gate"]
    assert fair.stands("r")["light"] == "skipped"


def test_an_answer_that_nobody_took_before_the_run_was_called_off_moves_it_no_more(fair: Fair, lone_owner: Any) -> None:
    config = fair.config("r")
    asked = fair.gated.invoke({"goal": "gala"}, config)["approval"]
    asked = fair.gated.invoke(_resume(asked.approve(by="carol")), config)["approval"]
    fair.gated.decide(decision_of(asked.approve(by="carol")))
    fair.gated.cancel("r", by="olga")
    fair.vanishes = {"-stall"}
    fair.gated.recover("r", "rollback", by="olga")
    assert fair.gated.invoke(None, config)["approval"].kind == "doubt"
    assert (lone_owner.run("r")["status"], fair.done) == ("blocked", ["+stall", "-stall"])


def test_a_step_that_waits_for_a_person_is_left_out_and_nobody_is_asked(fair: Fair) -> None:
    config = fair.config("r")
    asked = fair.gated.invoke({"goal": "gala"}, config)["approval"]
    fair.gated.skip_step("r", "stall", by="olga")
    result = fair.gated.invoke(None, config)
    assert (result["steps"]["stall"]["status"], result["approval"].step) == ("skipped", "light")
    with pytest.raises(CallerMistake):
        fair.gated.invoke(_resume(asked.approve(by="carol")), config)
    assert fair.done == []


def test_two_operators_at_once_are_one(failed: Fair) -> None:
    failed.refuses.clear()

    def recover(number: int) -> str:
        try:
            failed.graph.recover("r", "resume" if number % 2 else "rollback", by=f"olga-{number}")
        except CallerMistake as error:
            return str(error)
        return "told"

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(recover, range(8)))
    failed.go_on("r")
    assert told.count("told") >= 1
    assert len(failed.done) == len(set(failed.done))
    assert failed.stands("r")["run"] in ("succeeded", "compensated")


def test_the_gate_is_not_gone_round(fair: Fair) -> None:
    """What is tried again needs the same approval as before, and what never had one is asked about."""
    config = fair.config("r")
    fair.refuses = {"+light"}
    answers = [approve(by="carol"), approve(by="carol")]
    assert finish(fair.gated, {"goal": "gala"}, config, answers=answers)["status"] == "failed"
    fair.refuses.clear()
    fair.gated.recover("r", "resume", by="olga")
    result = fair.gated.invoke(None, config)
    assert fair.done == ["+stall", "+light"]
    assert result["approval"].step == "gate"


def test_another_tenants_run_does_not_exist(failed: Fair) -> None:
    other = RunContext(tenant="other")
    for act in (
        lambda: failed.graph.outlook("r", "resume", context=other),
        lambda: failed.graph.recover("r", "resume", by="mallory", context=other),
        lambda: failed.graph.cancel("r", by="mallory", context=other),
        lambda: failed.graph.retry_step("r", "gate", by="mallory", context=other),
        lambda: failed.graph.skip_step("r", "gate", by="mallory", context=other),
    ):
        with pytest.raises(UnknownRun):
            act()
    assert failed.stands("r")["run"] == "failed"


def test_what_workers_gave_up_is_undone_where_the_workflow_says_so(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any
) -> None:
    fair = Fair(gatepost_graph)
    fair.refuses = {"+gate"}
    workflow = replace(fair.workflow("feast"), on_stranded="rollback")
    graph = gatepost_graph([workflow, fair.workflow("fair")], policy=ALL)
    for run, goal in (("a", "feast"), ("b", "fair")):
        graph.invoke({"goal": goal}, fair.config(run))
        lone_owner.change("UPDATE gatepost.run SET status = 'stranded', finished_at = NULL WHERE run_id = %s", run)
        lone_owner.change("SELECT gatepost.strand(%s, 10, NULL)", run)
    recover = partial(recover_given_up, graph.saver, graph.equipment)
    assert graph.saver.bridge.run(recover()) == ["a"]
    assert graph.saver.bridge.run(recover()) == []
    lone_owner.change("SELECT gatepost.strand(%s, 10, NULL)", "a")
    assert graph.saver.bridge.run(recover()) == [], "once; after that it waits for a person"
    graph.recover("a", "rollback", by="olga")
    assert graph.invoke(None, fair.config("a"))["status"] == "compensated"


@pytest.mark.parametrize("wrong", ["resume", "escalate", "undo", 3])
def test_a_workflow_cannot_strand_its_runs_again(fair: Fair, wrong: Any) -> None:
    with pytest.raises(ToolMistake, match="would strand the run again"):
        replace(fair.workflow("feast"), on_stranded=wrong)


async def _cut_off(graph: GatepostGraph, config: Any, called: asyncio.Event) -> None:
    """Start a run, and cancel it in the middle of its first call."""
    task = asyncio.create_task(graph.ainvoke({"goal": "slow"}, config))
    await asyncio.wait_for(called.wait(), 30)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("order", ["rollback", "cancel"])
def test_a_call_that_was_cut_off_is_not_taken_for_one_that_was_never_made(
    gatepost_graph: Callable[..., GatepostGraph], order: str
) -> None:
    called, done = asyncio.Event(), []

    @tool(effect="write", on_doubt="ask", retry=ONCE)
    def give_back(what: str) -> None:
        done.append(f"-{what}")

    @tool(effect="write", on_doubt="ask", retry=ONCE, compensate=give_back)
    async def book(what: str) -> str:
        done.append(f"+{what}")
        called.set()
        await asyncio.Event().wait()
        return what

    plan = FixedPlan(Plan(steps=(Step(id="a", tool="book", args={"what": "a"}),)))
    endings = frozenset({RunStatus.CANCELLED})
    workflow = Workflow(name="slow", goals=("slow",), strategy=plan, tools=(book,), compensate_on=endings)
    graph = gatepost_graph([workflow], policy=ALL)
    config: Any = {"configurable": {"thread_id": "r"}}
    graph.saver.bridge.run(_cut_off(graph, config, called))
    _ = graph.recover("r", "rollback", by="olga") if order == "rollback" else graph.cancel("r", by="olga")
    asked = graph.invoke(None, config)["approval"]
    assert (asked.kind, asked.step, done) == ("doubt", "a", ["+a"])
    result = finish(graph, None, config, answers=[lambda a: a.happened(by="olga", result="a")])
    assert (result["status"], done) == ("compensated", ["+a", "-a"])


def test_who_is_second_undoes_nothing_of_what_the_first_said(failed: Fair) -> None:
    failed.graph.recover("r", "rollback", by="olga")
    failed.refuses.clear()
    failed.graph.retry_step("r", "gate", by="otto")
    assert failed.go_on("r")["status"] == "compensated"
    assert failed.done == ["+stall", "+light", "-light", "-stall"]


def test_an_old_question_does_not_end_what_was_tried_again(failed: Fair) -> None:
    failed.graph.recover("r", "escalate", by="olga")
    old = failed.go_on("r")["approval"]
    failed.graph.retry_step("r", "gate", by="otto")
    assert failed.go_on("r")["status"] == "failed"
    with pytest.raises(CallerMistake):
        failed.graph.invoke(_resume(old.approve(by="carol")), failed.config("r"))
    assert failed.done == ["+stall", "+light"]


def test_held_told_and_released_it_hears_what_it_was_told(fair: Fair, lone_owner: Any) -> None:
    config = fair.config("r")
    fair.gated.invoke({"goal": "gala"}, config)
    lone_owner.change(
        "UPDATE gatepost.run SET owner = 'x', lease_expires_at = gatepost.now() + '1 h' WHERE run_id = %s", "r"
    )
    fair.gated.saver.bridge.run(fair.gated.saver.orders.give("hold", "r", "local", actor="olga"))
    fair.gated.skip_step("r", "stall", by="olga")
    lone_owner.change("SELECT gatepost.let_go(run_id, epoch) FROM gatepost.run WHERE run_id = %s", "r")
    assert lone_owner.run("r")["status"] == "held"
    assert fair.gated.saver.bridge.run(fair.gated.saver.orders.release("r", "local", actor="olga")) is RunStatus.QUEUED
    result = fair.gated.invoke(None, config)
    assert (result["steps"]["stall"]["status"], result["approval"].step) == ("skipped", "light")


def test_a_run_that_has_just_ended_hears_what_it_is_told(failed: Fair, lone_owner: Any) -> None:
    """Its owner has committed the end, and not let go."""
    lone_owner.change(
        "UPDATE gatepost.run SET owner = 'x', lease_expires_at = gatepost.now() + '1 h' WHERE run_id = %s", "r"
    )
    failed.refuses.clear()
    assert failed.graph.retry_step("r", "gate", by="olga").status is RunStatus.QUEUED
    assert failed.go_on("r")["status"] == "succeeded"


def test_a_wait_with_a_doubt_is_in_doubt_when_its_run_is_called_off(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any
) -> None:
    def look(ctx: EffectContext, what: str) -> str | None:
        return None

    @tool(effect="write", on_doubt="lookup", lookup=look, settle=timedelta(hours=1), retry=ONCE)
    def send(what: str) -> str:
        raise TimeoutError

    plan = FixedPlan(Plan(steps=(Step(id="a", tool="send", args={"what": "a"}),)))
    graph = gatepost_graph([Workflow(name="w", goals=("w",), strategy=plan, tools=(send,))], policy=ALL)
    config: Any = {"configurable": {"thread_id": "r"}}
    assert graph.invoke({"goal": "w"}, config)["status"] == "waiting"
    graph.cancel("r", by="olga")
    assert graph.get_state(config).values["steps"]["a"]["status"] == "in_doubt"
    graph.recover("r", "rollback", by="olga")
    assert graph.invoke(None, config)["approval"].kind == "doubt"
