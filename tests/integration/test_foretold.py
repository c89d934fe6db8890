"""Tries to make an intent that travels with its step's dispatch leave a doubt, count for a call, or hide one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, tool
from gatepost.state.errors import LostRun

ALL = Policy('@id("all") permit (principal, action, resource);')
NONE = Policy('@id("none") forbid (principal, action == Action::"run", resource);')
STEPS = FixedPlan(
    Plan(steps=(Step(id="first", tool="first"), Step(id="second", tool="second", args={"n": 1}, needs=("first",))))
)
RUN: Any = {"configurable": {"thread_id": "run"}}
TAKEN_OVER = "UPDATE gatepost.run SET epoch = epoch + 1, owner = NULL, lease_expires_at = NULL WHERE run_id = %s"
LONG = timedelta(days=1)


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

    def run(self, *, goal: str | None = "w", policy: Policy = ALL) -> dict[str, Any]:
        workflow = Workflow(name="w", goals=("w",), strategy=STEPS, tools=self._tools)
        graph = self._build([workflow], policy=policy)
        given = {"goal": goal} if goal else None
        result: dict[str, Any] = graph.invoke(given, RUN, control=self.control)
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
    assert pair.run(goal=None)["status"] == "succeeded"
    assert pair.came == [("first", 1), ("second", 1)]
    assert effects(lone_owner) == [("succeeded", 1, False)]


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
