"""Tries to get the gated step to run without a person, or to make a person's answer count twice."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.types import Command

from gatepost import (
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Step,
    Workflow,
    build_graph,
    open_checkpointer,
    ref,
    tool,
)
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


def test_nothing_runs_before_somebody_answers(graph: GatepostGraph, till: Till) -> None:
    config: Any = {"configurable": {"thread_id": "r1"}}
    result = graph.invoke({"goal": "sell"}, config)
    assert (result["status"], till.booked) == ("blocked", [])
    asked = result["approval"]
    assert (asked.step, asked.tool, asked.args, asked.effect) == (
        "charge",
        "charge",
        {"customer": "ada", "cents": 100},
        "write",
    )
    assert result["approvals"] == [asked]
    assert graph.get_state(config).values["approval"] == asked


def test_the_gate_holds_in_a_process_that_knows_nothing_of_the_run(
    graph: GatepostGraph, gatepost_database: Any, till: Till
) -> None:
    """A recovery sweep enters every unfinished run; at a gate that changes nothing."""
    config: Any = {"configurable": {"thread_id": "r1"}}
    asked = graph.invoke({"goal": "sell"}, config)["approval"]
    with open_checkpointer(gatepost_database.url, migrate=False) as elsewhere:
        workflows = graph.equipment.catalog.workflows.values()
        other = build_graph(workflows, elsewhere)
        for _ in range(3):
            assert other.invoke(None, config)["approval"].id == asked.id
        assert till.booked == []
        assert other.invoke(Command(resume=asked.approve(by="alice")), config)["status"] == "succeeded"
    assert graph.invoke(None, config)["status"] == "succeeded"
    assert [what for _, what in till.booked] == ["ada:100"]


def test_an_inbox_finds_the_question_in_the_pause(graph: GatepostGraph) -> None:
    """As LangChain's `HITLRequest`, with our own address beside it."""
    config: Any = {"configurable": {"thread_id": "r1"}}
    asked = graph.invoke({"goal": "sell"}, config)["approval"]
    graph.invoke(None, config)
    (pause,) = graph.get_state(config).interrupts
    payload = pause.value
    assert payload["approval"]["id"] == asked.id
    assert payload["action_requests"][0]["args"] == asked.args
    assert payload["review_configs"][0]["allowed_decisions"] == list(asked.allowed) == ["approve", "edit", "reject"]


def test_two_runs_have_two_gates(graph: GatepostGraph, till: Till) -> None:
    configs: Any = [{"configurable": {"thread_id": run}} for run in ("r1", "r2")]
    first, second = (graph.invoke({"goal": "sell"}, config)["approval"] for config in configs)
    assert (first.id, first.digest) != (second.id, second.digest)
    assert graph.invoke(Command(resume=first.approve(by="alice")), configs[0])["status"] == "succeeded"
    assert graph.invoke(None, configs[1])["status"] == "blocked"
    assert len(till.booked) == 1
    assert graph.invoke(Command(resume=second.approve(by="alice")), configs[1])["status"] == "succeeded"
    assert len({key for key, _ in till.booked}) == 2
