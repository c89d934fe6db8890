"""Tries to make an intent that travels with its step's dispatch leave a doubt, count for a call, or hide one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command
from tests.integration.test_cut_off import Deaf

from gatepost import (
    EffectContext,
    FixedPlan,
    GatepostGraph,
    NotDone,
    Plan,
    Policy,
    Retry,
    Step,
    Workflow,
    fork,
    tool,
)
from gatepost.checkpointing import foretold
from gatepost.checkpointing.session import Foretold
from gatepost.service.cli.rounds import calls_cut_off
from gatepost.state.errors import DatabaseUnavailable, LostRun
from gatepost.testing import Database

ALL = Policy('@id("all") permit (principal, action, resource);')
NONE = Policy('@id("none") forbid (principal, action == Action::"run", resource);')
STEPS = FixedPlan(
    Plan(steps=(Step(id="first", tool="first"), Step(id="second", tool="second", args={"n": 1}, needs=("first",))))
)
RUN: Any = {"configurable": {"thread_id": "run"}}
TAKEN_OVER = "UPDATE gatepost.run SET epoch = epoch + 1, owner = NULL, lease_expires_at = NULL WHERE run_id = %s"
LONG = timedelta(days=1)
THRIFTY = """
@id("all") permit (principal, action, resource);
@id("poor") forbid (principal, action == Action::"run", resource)
    when { context has budget && context.spent + context.cost > context.budget };
"""


def look_up(ctx: EffectContext, n: int) -> int | None:
    return None


class Pair:
    """Two steps in a row; something happens in the first one, which the second one is dispatched after."""

    def __init__(self, build: Callable[..., GatepostGraph], **second: Any) -> None:
        self.came: list[tuple[str, int]] = []
        self.meanwhile: Callable[[], Any] = lambda: None
        self.control = RunControl()

        @tool(effect="read", name="first")
        def first() -> None:
            self.came.append(("first", 1))
            self.meanwhile()

        @tool(**{"effect": "write", "on_doubt": "retry", "name": "second", **second})
        def second_(ctx: EffectContext, n: int) -> int:
            self.came.append(("second", ctx.attempt))
            return n

        self._tools = (first, second_)
        self._build = build

    def graph(self, policy: Policy = ALL) -> GatepostGraph:
        return self._build([Workflow(name="w", goals=("w",), strategy=STEPS, tools=self._tools)], policy=policy)

    def run(self, *, goal: str | None = "w", policy: Policy = ALL) -> dict[str, Any]:
        given = {"goal": goal} if goal else None
        result: dict[str, Any] = self.graph(policy).invoke(given, RUN, control=self.control)
        self.control = RunControl()
        return result

    def stop_between(self) -> None:
        """Run until the second step is dispatched, and let go of the run in order."""
        self.meanwhile = self.control.request_drain
        with suppress(GraphDrained):
            self.run()
        self.control = RunControl()


def effects(owner: Any) -> list[tuple[str, int, bool]]:
    rows = owner.rows("SELECT state, attempts, cleared FROM gatepost.effect ORDER BY intended_at")
    return [(row["state"], row["attempts"], row["cleared"]) for row in rows]


def test_the_intent_is_no_commit_of_its_own_and_later_than_the_dispatch(gatepost_graph: Any, lone_owner: Any) -> None:
    pair = Pair(gatepost_graph)
    seen: list[Any] = []
    pair.meanwhile = lambda: seen.extend(effects(lone_owner))
    assert pair.run()["status"] == "succeeded"
    assert seen == []  # not before the step is dispatched
    (order,) = lone_owner.rows(
        """
        SELECT t.at < e.intended_at AS later, e.intended_at < n.at AS earlier, e.attempted_at = e.intended_at AS same
        FROM gatepost.effect e
        JOIN gatepost.step s ON s.step_id = e.step_id AND s.status = 'running'
        JOIN gatepost.transition t ON t.seq = s.seq
        JOIN gatepost.transition n ON n.seq = s.seq + 1
        """
    )
    assert order == {"later": True, "earlier": True, "same": True}
    assert effects(lone_owner) == [("succeeded", 1, False)]


def test_an_owner_that_stops_before_the_call_takes_the_intent_back(gatepost_graph: Any, lone_owner: Any) -> None:
    pair = Pair(gatepost_graph)
    pair.stop_between()
    assert effects(lone_owner) == [("intended", 0, True)]
    saver = pair.graph().saver
    assert saver.bridge.run(saver.effects.page("local", unknown=True)) == [], "nobody has to find out about it"
    assert saver.bridge.run(calls_cut_off(saver, ["run"])) == []
    assert pair.run(goal=None)["status"] == "succeeded"
    assert pair.came == [("first", 1), ("second", 1)]
    assert effects(lone_owner) == [("succeeded", 1, False)]


@pytest.mark.parametrize("how", ["answered", "cut"])
def test_what_is_being_taken_back_is_called_by_nobody(how: str) -> None:
    """Not while the answer is awaited; what came back without one is taken back once more, and called by nobody."""
    rows = {key: {"key": key} for key in ("a", "b")}
    told = {key: Foretold(row, datetime.now(UTC)) for key, row in rows.items()}
    session: Any = SimpleNamespace(foretold=told, announced=set(), run=SimpleNamespace(run_id="run"), epoch=1)
    taken: list[Any] = []

    class Connection:
        async def execute(self, _: Any, given: Any) -> None:
            taken.append((given["keys"], foretold.taken(session, rows["a"])))
            if how == "cut":
                raise asyncio.CancelledError

    with suppress(asyncio.CancelledError):
        asyncio.run(foretold.withdraw(cast("Any", Connection()), session, ["a"]))
    assert taken == [(["a"], None)]
    assert list(session.foretold) == (["b"] if how == "answered" else ["b", "a"])


def test_what_was_taken_back_and_is_forbidden_by_then_is_no_doubt(gatepost_graph: Any, lone_owner: Any) -> None:
    pair = Pair(gatepost_graph)
    pair.stop_between()
    result = pair.run(goal=None, policy=NONE)
    assert (result["status"], pair.came) == ("failed", [("first", 1)])
    assert effects(lone_owner) == [("failed", 0, True)]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param({"on_doubt": "ask"}, id="a person is asked"),
        pytest.param({"on_doubt": "lookup", "lookup": look_up, "settle": timedelta(0)}, id="looked up"),
        pytest.param({"window": LONG}, id="the key is remembered for a while"),
        pytest.param({"step_timeout": LONG}, id="a time limit runs"),
        pytest.param({"provider": "bank"}, id="the provider may have a bad time"),
    ],
)
def test_where_an_intent_alone_could_do_harm_it_waits_for_the_call(
    gatepost_graph: Any, lone_owner: Any, second: dict[str, Any]
) -> None:
    pair = Pair(gatepost_graph, **second)
    pair.stop_between()
    assert effects(lone_owner) == []


def test_an_owner_that_died_before_the_call_leaves_nobody_to_be_asked(gatepost_graph: Any, lone_owner: Any) -> None:
    pair = Pair(gatepost_graph)
    pair.stop_between()
    # As a process leaves it that was killed between the commit and the call.
    lone_owner.change("UPDATE gatepost.effect SET attempts = 1, cleared = false WHERE step_id = %s", "second")
    assert pair.run(goal=None)["status"] == "succeeded"
    assert pair.came == [("first", 1), ("second", 2)]
    assert effects(lone_owner) == [("succeeded", 2, False)]


def test_a_lost_owner_announces_nothing(gatepost_graph: Any, lone_owner: Any) -> None:
    pair = Pair(gatepost_graph)
    pair.meanwhile = lambda: lone_owner.change(TAKEN_OVER, "run")
    with pytest.raises(LostRun):
        pair.run()
    assert effects(lone_owner) == []
    assert pair.came == [("first", 1)]


def test_what_the_visit_that_dispatched_it_calls_off_was_never_announced_and_costs_nothing(
    gatepost_graph: Any, lone_owner: Any
) -> None:
    came: list[str] = []

    @tool(effect="write", on_doubt="retry", name="dear", cost=10)
    def dear() -> None:
        came.append("dear")

    @tool(effect="write", on_doubt="retry", name="bad")
    def bad() -> None:
        came.append("bad")

    plan = FixedPlan(Plan(steps=(Step(id="dear", tool="dear"), Step(id="bad", tool="bad"))))
    workflow = Workflow(name="w", goals=("w",), strategy=plan, tools=(dear, bad), budget=10)
    no_bad = """@id("no") forbid (principal, action == Action::"run", resource) when { context.tool == "bad" };"""
    graph = gatepost_graph([workflow], policy=Policy(f"{THRIFTY}\n{no_bad}"))
    assert graph.invoke({"goal": "w"}, RUN)["status"] == "failed"
    assert (came, effects(lone_owner), lone_owner.steps("run")["dear"]) == ([], [], "cancelled")
    graph = gatepost_graph([workflow], policy=Policy(THRIFTY))
    graph.recover("run", "resume", by="olga")
    assert graph.invoke(None, RUN)["status"] == "succeeded"
    assert sorted(came) == ["bad", "dear"]


def test_a_fork_may_make_the_call_that_its_parent_took_back(gatepost_graph: Any, lone_owner: Any) -> None:
    pair = Pair(gatepost_graph)
    pair.stop_between()
    graph = pair.graph()
    twin = fork(graph, "run", at=lone_owner.run("run")["seq"], effects="fire", run_id="twin")
    asked = graph.invoke(None, twin.config)["approval"]
    assert graph.invoke(Command(resume=asked.approve(by="alice")), twin.config)["status"] == "succeeded"
    assert pair.came == [("first", 1), ("second", 1)]


def test_a_fork_counts_the_cost_of_what_was_under_way_once(gatepost_graph: Any, lone_owner: Any) -> None:
    @tool(effect="write", on_doubt="retry", name="dear", cost=10)
    def dear() -> None:
        pass

    plan = FixedPlan(Plan(steps=(Step(id="dear", tool="dear"),)))
    graph = gatepost_graph(
        [Workflow(name="w", goals=("w",), strategy=plan, tools=(dear,), budget=10)], policy=Policy(THRIFTY)
    )
    assert graph.invoke({"goal": "w"}, RUN)["counters"]["spent"] == 10
    (sent,) = lone_owner.rows("SELECT seq FROM gatepost.transition WHERE 'executor' = ANY(next)")
    twin = fork(graph, "run", at=sent["seq"], effects="fire", run_id="twin")
    asked = graph.invoke(None, twin.config)["approval"]
    result = graph.invoke(Command(resume=asked.approve(by="alice")), twin.config)
    assert (result["status"], result["counters"]["spent"]) == ("succeeded", 10)


def test_a_call_that_was_made_is_no_intent_whose_answer_was_lost(
    gatepost_graph: Any, gatepost_database: Database, lone_owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for its second attempt while its owner goes on, and the announcement of that one is not answered."""
    came: list[int] = []

    @tool(effect="write", on_doubt="retry", name="slow", retry=Retry(attempts=2, first=LONG, longest=LONG))
    def slow(ctx: EffectContext) -> None:
        came.append(ctx.attempt)
        raise NotDone("no") if len(came) > 1 else TimeoutError

    @tool(effect="read", name="other")
    def other() -> None:
        pass

    @tool(effect="read", name="later")
    def later() -> None:
        gatepost_database.clock.shift(2 * LONG)
        Deaf(monkeypatch, 1, "DO UPDATE SET attempts = e.attempts")

    steps = (Step(id="slow", tool="slow"), Step(id="other", tool="other"))
    plan = FixedPlan(Plan(steps=(*steps, Step(id="later", tool="later", needs=("other",)))))
    workflow = Workflow(name="w", goals=("w",), strategy=plan, tools=(slow, other, later))
    graph = gatepost_graph([workflow], policy=ALL)
    with suppress(DatabaseUnavailable):
        graph.invoke({"goal": "w"}, RUN)
    assert graph.invoke(None, RUN)["status"] == "blocked"  # the no speaks for the second attempt only
    assert came == [1, 2]
    assert effects(lone_owner) == [("in_doubt", 2, False)]
