"""Tries to get the gated step to run without a person, or to make a person's answer count twice."""

from __future__ import annotations

from typing import Any

import pytest

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Step, Workflow, ref, tool
from gatepost.testing import approve, assert_history, finish


class Till:
    """A provider that books what it is told, in memory: enough where no process dies."""

    def __init__(self) -> None:
        self.booked: list[tuple[str, str]] = []


@pytest.fixture
def till() -> Till:
    return Till()


@pytest.fixture
def graph(gatepost_graph: Any, till: Till) -> GatepostGraph:
    @tool(effect="read")
    def look(name: str) -> dict[str, str]:
        return {"name": name}

    @tool(effect="write", on_doubt="retry")
    def charge(ctx: EffectContext, customer: str, cents: int) -> str:
        till.booked.append((ctx.idempotency_key, f"{customer}:{cents}"))
        return "charged"

    plan = Plan(
        steps=(
            Step(id="look", tool="look", args={"name": "ada"}),
            Step(id="charge", tool="charge", args={"customer": ref("look", "/name"), "cents": 100}),
        )
    )
    built: GatepostGraph = gatepost_graph(
        [Workflow(name="sale", goals=("sell",), strategy=FixedPlan(plan), tools=(look, charge))]
    )
    return built


def test_approved_step_runs_once(graph: GatepostGraph, till: Till) -> None:
    config: Any = {"configurable": {"thread_id": "r1"}}
    result = finish(graph, {"goal": "sell"}, config, answers=[approve(by="alice")])
    assert result["status"] == "succeeded"
    assert [what for _, what in till.booked] == ["ada:100"]
    assert_history(
        graph.saver,
        "r1",
        ["look=running", "look=succeeded", "charge=blocked", "charge=running", "charge=succeeded"],
    )
