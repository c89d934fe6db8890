"""Tries to make a provider's wish for a long wait hold a run's lease, or be forgotten; to wake a run before its time
or not at all; and to act as somebody who is no context.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
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
from gatepost.checkpointing.movers import Movers
from gatepost.graph.context import who_acts
from gatepost.nodes.waits import LONGEST_PAUSE_SECONDS
from gatepost.state.errors import InvalidValue
from gatepost.testing import Database, approve

PERMIT = '@id("all") permit (principal, action, resource);'
ALL = Policy(PERMIT)
LONG = timedelta(hours=1)
TWICE = Retry(attempts=2, first=timedelta(milliseconds=1))
CONFIG: Any = {"configurable": {"thread_id": "long"}}


class Slow:
    """A provider that wants to be left alone for an hour, as often as it is told."""

    def __init__(self, build: Callable[..., GatepostGraph], *, effect: str = "write", **declared: Any) -> None:
        self.keys: list[str] = []
        self.ends: list[Exception | None] = [NotDone("come back later", retry_after=LONG)]
        self.undone: list[str] = []
        self.undo_ends: list[Exception | None] = []

        @tool(effect="write", on_doubt="retry", retry=TWICE)
        def refund(ctx: EffectContext) -> None:
            if self.undo_ends and (error := self.undo_ends.pop(0)) is not None:
                raise error
            self.undone.append(ctx.idempotency_key)

        def charge(ctx: EffectContext) -> str:
            self.keys.append(ctx.idempotency_key)
            if ctx.step_id == "charge" and self.ends and (error := self.ends.pop(0)) is not None:
                raise error
            return f"attempt {ctx.attempt}"

        @tool(effect="read", retry=Retry(attempts=1))
        def fail() -> None:
            raise NotDone("no")

        undo = {} if effect == "read" else {"compensate": refund}
        declared = {"on_doubt": "retry", "retry": TWICE, **undo, **declared}
        self.tools: tuple[Tool[..., Any], ...] = (tool(effect=effect, **declared)(charge), fail)
        self._build = build

    def graph(self, *steps: Step, policy: Policy = ALL, undo: bool = False) -> GatepostGraph:
        plan = Plan(steps=steps or (Step(id="charge", tool="charge"),))
        workflow = Workflow(
            name="w",
            goals=("w",),
            strategy=FixedPlan(plan),
            tools=self.tools,
            compensate_on=frozenset({RunStatus.FAILED} if undo else ()),
        )
        return self._build([workflow], policy=policy)


@pytest.fixture
def slow(gatepost_graph: Callable[..., GatepostGraph]) -> Slow:
    return Slow(gatepost_graph)


def _waits_for(graph: GatepostGraph, owner: Any) -> float:
    """How long the run is parked, in seconds, by the database's clock."""
    row = owner.rows("SELECT status, owner, wake_at - gatepost.now() AS left, wake_reason FROM gatepost.run")[0]
    assert (row["status"], row["owner"]) == ("waiting", None)
    assert "come back later" in row["wake_reason"]
    left: timedelta = row["left"]
    return left.total_seconds()


@pytest.mark.parametrize("effect", ["read", "write"])
def test_a_long_wait_is_parked_and_nobody_holds_it(
    gatepost_graph: Any, gatepost_database: Database, lone_owner: Any, effect: str
) -> None:
    slow = Slow(gatepost_graph, effect=effect)
    graph = slow.graph()
    result = graph.invoke({"goal": "w"}, CONFIG)
    assert (result["status"], result["steps"]["charge"]["status"], len(slow.keys)) == ("waiting", "waiting", 1)
    assert LONG.total_seconds() - 60 < _waits_for(graph, lone_owner) <= LONG.total_seconds()
    (mover,) = lone_owner.rows("SELECT kind FROM gatepost.next_mover")
    assert mover["kind"] == "timer"
    gatepost_database.clock.shift(LONG)
    result = graph.invoke(None, CONFIG)
    assert (result["status"], result["steps"]["charge"]["output"]) == ("succeeded", "attempt 2")
    assert len(set(slow.keys)) == 1


def test_whoever_comes_too_early_finds_it_waiting(slow: Slow, lone_owner: Any) -> None:
    graph = slow.graph()
    graph.invoke({"goal": "w"}, CONFIG)
    for _ in range(3):
        assert graph.invoke(None, CONFIG)["status"] == "waiting"
        assert _waits_for(graph, lone_owner) > LONG.total_seconds() - 60
    assert len(slow.keys) == 1


def test_a_mover_takes_it_up_when_it_is_time_and_not_before(
    slow: Slow, gatepost_database: Database, checkpointer: Any
) -> None:
    graph = slow.graph()
    graph.invoke({"goal": "w"}, CONFIG)
    movers = Movers(checkpointer.pools, checkpointer.runs)

    def claim() -> Any:
        return checkpointer.bridge.run(movers.claim(workflows=["w"], graph_version=graph.version, slots=9))

    assert claim() == []
    gatepost_database.clock.shift(LONG)
    (row,) = claim()
    assert checkpointer.bridge.run(graph.amove(row)).status is RunStatus.SUCCEEDED
    assert len(slow.keys) == 2


def test_attempts_are_bounded_however_long_it_waits_between_them(
    gatepost_graph: Any, gatepost_database: Database
) -> None:
    slow = Slow(gatepost_graph, effect="read")
    slow.ends = [NotDone("come back later", retry_after=LONG) for _ in range(9)]
    graph = slow.graph()
    graph.invoke({"goal": "w"}, CONFIG)
    gatepost_database.clock.shift(LONG)
    assert graph.invoke(None, CONFIG)["status"] == "failed"
    assert len(slow.keys) == 2


def test_what_can_run_runs_while_something_waits(slow: Slow) -> None:
    steps = [Step(id=name, tool="charge") for name in ("charge", "other")]
    result = slow.graph(*steps, Step(id="third", tool="charge", needs=("other",))).invoke({"goal": "w"}, CONFIG)
    assert result["status"] == "waiting"
    assert sorted(step["status"] for step in result["steps"].values()) == ["succeeded", "succeeded", "waiting"]


def test_a_question_can_be_answered_while_something_waits(
    slow: Slow, gatepost_database: Database, lone_owner: Any
) -> None:
    both = Policy(
        '@id("run") permit (principal, action == Action::"run", resource) unless { resource == Step::"gated" };'
        '@id("decide") permit (principal, action == Action::"decide", resource);'
    )
    graph = slow.graph(Step(id="charge", tool="charge"), Step(id="gated", tool="charge"), policy=both)
    result = graph.invoke({"goal": "w"}, CONFIG)
    assert (result["status"], result["approval"].step) == ("waiting", "gated")
    result = graph.invoke(Command(resume=approve()(result["approval"])), CONFIG)
    assert (result["status"], result["steps"]["gated"]["status"]) == ("waiting", "succeeded")
    gatepost_database.clock.shift(LONG)
    assert graph.invoke(None, CONFIG)["status"] == "succeeded"
    assert len(slow.keys) == 3


def test_an_end_calls_off_what_waits_where_nothing_has_happened(slow: Slow, lone_owner: Any) -> None:
    steps = (Step(id="charge", tool="charge"), Step(id="fail", tool="fail"))
    result = slow.graph(*steps).invoke({"goal": "w"}, CONFIG)
    assert (result["status"], result["steps"]["charge"]["status"]) == ("failed", "cancelled")
    (effect,) = lone_owner.effects("long")
    assert (effect["state"], effect["failure"]["kind"]) == ("failed", "cancelled")


def test_an_end_asks_about_what_waits_where_something_may_have_happened(gatepost_graph: Any, lone_owner: Any) -> None:
    slow = Slow(gatepost_graph, on_doubt="lookup", lookup=lambda ctx: None, settle=LONG)
    slow.ends = [TimeoutError()]
    steps = (Step(id="charge", tool="charge"), Step(id="fail", tool="fail"))
    result = slow.graph(*steps).invoke({"goal": "w"}, CONFIG)
    assert (result["status"], result["approval"].kind) == ("blocked", "doubt")
    (effect,) = lone_owner.effects("long")
    assert effect["state"] == "in_doubt"


@pytest.mark.parametrize(
    ("error", "ends"), [(TimeoutError(), "in_doubt"), (NotDone("later", retry_after=LONG), "failed")]
)
def test_an_end_in_the_visit_that_wakes_a_call_forgets_nothing_of_it(
    gatepost_graph: Any, gatepost_database: Database, lone_owner: Any, error: Exception, ends: str
) -> None:
    """Its time has come when a step beside it is done, and the step after that is forbidden."""
    slow = Slow(gatepost_graph, retry=Retry(attempts=2, first=LONG, longest=LONG))
    slow.ends = [error]

    @tool(effect="read")
    def beside() -> None:
        gatepost_database.clock.shift(2 * LONG)

    slow.tools = (*slow.tools, beside)
    steps = (Step(id="charge", tool="charge"), Step(id="beside", tool="beside"))
    no = '@id("no") forbid (principal, action == Action::"run", resource) when { context.tool == "fail" };'
    graph = slow.graph(*steps, Step(id="fail", tool="fail", needs=("beside",)), policy=Policy(f"{PERMIT}\n{no}"))
    result = graph.invoke({"goal": "w"}, CONFIG)
    (effect,) = lone_owner.effects("long")
    assert (effect["state"], len(slow.keys)) == (ends, 1)
    assert result["status"] == ("blocked" if ends == "in_doubt" else "failed")


def test_an_undo_waits_like_any_other_call(slow: Slow, gatepost_database: Database, lone_owner: Any) -> None:
    slow.ends = []
    slow.undo_ends = [NotDone("come back later", retry_after=LONG)]
    steps = (Step(id="charge", tool="charge"), Step(id="fail", tool="fail", needs=("charge",)))
    graph = slow.graph(*steps, undo=True)
    result = graph.invoke({"goal": "w"}, CONFIG)
    assert (result["status"], result["steps"]["charge"]["status"]) == ("waiting", "compensating")
    _waits_for(graph, lone_owner)
    gatepost_database.clock.shift(LONG)
    assert graph.invoke(None, CONFIG)["status"] == "compensated"
    assert len(slow.undone) == 1


def test_who_says_so_fails_at_once_instead_of_waiting(gatepost_graph: Any) -> None:
    slow = Slow(gatepost_graph, on_failure={"throttled": ("retry", "fail")})
    assert slow.graph().invoke({"goal": "w"}, CONFIG)["status"] == "failed"
    assert LONG.total_seconds() > LONGEST_PAUSE_SECONDS


def test_a_step_that_has_not_the_time_to_wait_fails_at_once(gatepost_graph: Any) -> None:
    slow = Slow(gatepost_graph, step_timeout=timedelta(minutes=30))
    assert slow.graph().invoke({"goal": "w"}, CONFIG)["status"] == "failed"


@pytest.mark.parametrize("given", [None, RunContext(), {}, {"tenant": "local"}])
def test_a_context_may_be_left_out_or_be_a_dict(given: Any) -> None:
    assert who_acts(given) == RunContext()


@pytest.mark.parametrize("given", ["alice", {"tenant": "local", "admin": True}, {"tenant": ""}, 7])
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(InvalidValue):
        who_acts(given)
