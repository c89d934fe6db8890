"""Tries to find a state from which the graph finishes too early, or goes nowhere."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.types import Send

from gatepost.graph.routing import Room, route
from gatepost.state.channels import RunState
from gatepost.state.status import StepStatus


def running(step: str) -> dict[str, Any]:
    return {"status": "running", "step": step, "key": f"eff_{step}"}


BLOCKED = {"b": {"status": "blocked", "approval": "apr_1"}}
WAITS = {"w": {"status": "waiting", "wake_at": "2026-01-01T00:00:00+00:00"}}
ASKED = {"apr_1": {"step": "b"}}
FAILED = {"status": "failed", "reason": "x", "compensate": False}
UNDO = {"status": "failed", "reason": "x", "compensate": True}
PLANNING = {"reason": "no plan yet"}

STATES: list[Any] = [
    pytest.param({}, "planner", id="nothing at all"),
    pytest.param({"frontier": {}, "approvals": {}, "ending": None, "planning": None}, "planner", id="all empty"),
    pytest.param({"planning": PLANNING}, "planner", id="a plan is wanted"),
    pytest.param({"planning": PLANNING, "frontier": BLOCKED, "approvals": ASKED}, "planner", id="plan before asking"),
    pytest.param({"frontier": BLOCKED, "approvals": ASKED}, "approval", id="a person is asked"),
    pytest.param({"ending": FAILED}, "finalizer", id="it ends"),
    pytest.param({"frontier": WAITS}, "approval", id="it waits for a time"),
    pytest.param({"frontier": WAITS, "planning": PLANNING}, "planner", id="plan before waiting"),
    pytest.param({"frontier": WAITS, "ending": UNDO}, "approval", id="an undo waits"),
    pytest.param({"frontier": WAITS | BLOCKED, "approvals": ASKED}, "approval", id="a person may answer meanwhile"),
    pytest.param({"ending": UNDO}, "compensator", id="it ends and undoes"),
    pytest.param({"ending": FAILED, "approvals": ASKED}, "approval", id="doubt is asked about before it ends"),
    pytest.param({"ending": UNDO, "approvals": ASKED}, "approval", id="doubt is asked about before it undoes"),
]


@pytest.mark.parametrize(("state", "room"), STATES)
def test_state_leads_to_one_room(state: RunState, room: str) -> None:
    assert route(state) == room


@pytest.mark.parametrize("steps", [["a"], ["a", "b", "c"]])
def test_every_running_step_gets_one_executor_task_with_its_own_entry(steps: list[str]) -> None:
    frontier = {step: running(step) for step in steps} | {"z": {"status": "blocked", "approval": "apr_1"}}
    assert route({"frontier": frontier}) == [Send("executor", running(step)) for step in steps]


@pytest.mark.parametrize("beside", [{"approvals": ASKED}, {"planning": PLANNING}, {"ending": FAILED}, {"ending": UNDO}])
def test_what_runs_is_let_run_before_anything_else(beside: Any) -> None:
    state: Any = {"frontier": {"a": running("a")}, **beside}
    assert route(state) == [Send("executor", running("a"))]


ENTRIES = st.sampled_from(StepStatus).map(lambda status: {"status": status.value, "step": "s"})
FRONTIERS = st.dictionaries(st.sampled_from("abc"), ENTRIES)
APPROVALS = st.dictionaries(st.sampled_from(["apr_1", "apr_2"]), st.just({"step": "a"}))
HOW = st.sampled_from([(None, None), (PLANNING, None), (None, FAILED), (None, UNDO)])
"""The gate never leaves a wanted plan beside an ending (`test_policy_gate`)."""


@given(FRONTIERS, APPROVALS, HOW)
def test_every_state_leads_somewhere_and_never_to_an_end_too_early(frontier: Any, approvals: Any, how: Any) -> None:
    planning, ending = how
    going = route({"frontier": frontier, "approvals": approvals, "planning": planning, "ending": ending})
    runs = [entry for entry in frontier.values() if entry["status"] == "running"]
    if runs:
        assert going == [Send("executor", entry) for entry in runs]
        return
    assert going in get_args(Room)
    if going in ("finalizer", "compensator"):
        assert not approvals
        assert "waiting" not in {entry["status"] for entry in frontier.values()}
        assert ending
    if going == "approval":
        assert approvals or "waiting" in {entry["status"] for entry in frontier.values()}


def test_routing_changes_nothing() -> None:
    state: RunState = {"frontier": {"a": running("a")}, "approvals": dict(ASKED), "ending": dict(FAILED)}
    before = repr(state)
    route(state)
    assert repr(state) == before
