"""Tries to have somebody asked later than they could be, or the run stop while something else could go on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import ApprovalRequest, FixedPlan, GatepostGraph, Plan, Step, Workflow, ref, tool

# look1 → a(gated) → after_a        look2 → then → b(gated, with what look2 found)        c(gated)
PARALLEL = Plan(
    steps=(
        Step(id="look1", tool="look", args={"name": "ada"}),
        Step(id="a", tool="charge", args={"customer": ref("look1", "/name"), "cents": 1}),
        Step(id="after_a", tool="look", args={"name": "a"}, needs=("a",)),
        Step(id="gated_after_a", tool="charge", args={"customer": "dan", "cents": 4}, needs=("after_a",)),
        Step(id="look2", tool="look", args={"name": "bob"}),
        Step(id="then", tool="look", args={"name": ref("look2", "/name")}),
        Step(id="b", tool="charge", args={"customer": ref("then", "/name"), "cents": 2}),
        Step(id="c", tool="charge", args={"customer": "eve", "cents": 3}),
    )
)


@pytest.mark.parametrize("seed", range(4))
def test_several_questions_are_answered_in_any_order_and_the_rest_goes_on(
    build: Callable[..., GatepostGraph], shop: Any, seed: int
) -> None:
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(PARALLEL), tools=shop.tools)
    graph, chance = build([workflow]), random.Random(seed)
    result = graph.invoke({"goal": "w"}, shop.config())
    assert {asked.step for asked in result["approvals"]} == {"a", "b", "c"}, "asked as soon as the arguments are known"
    assert sorted(shop.looked) == ["ada", "bob", "bob"], "what needs nobody went on"
    answered: list[str] = []
    while result["approvals"]:
        asked = chance.choice(result["approvals"])
        answered.append(asked.step)
        result = graph.invoke(Command(resume=asked.approve(by="alice")), shop.config())
        open_now = {asked.step for asked in result["approvals"]}
        assert ("gated_after_a" in open_now) == ("a" in answered and "gated_after_a" not in answered)
        assert open_now == ({"a", "b", "c"} | ({"gated_after_a"} if "a" in answered else set())) - set(answered)
        assert len(shop.booked) == len(answered), "what was answered ran without waiting for the others"
    assert result["status"] == "succeeded"


def test_somebody_is_asked_and_answers_while_something_else_is_under_way(build: Any, shop: Any, owner: Any) -> None:
    """The question is there, and its answer on record, before the slow step that nobody asks about has ended."""
    go_on = threading.Event()

    @tool(effect="read")
    def slow() -> bool:
        return go_on.wait(20)

    steps = (Step(id="gated", tool="charge", args={"customer": "ada", "cents": 5}), Step(id="slow", tool="slow"))
    look, charge = shop.tools
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(look, charge, slow))
    graph = build([workflow])
    with ThreadPoolExecutor() as pool:
        moving = pool.submit(graph.invoke, {"goal": "w"}, shop.config())
        statement = "SELECT request FROM gatepost.approval WHERE run_id = %s AND status = 'open'"
        (row,) = owner.wait_for(statement, shop.run())
        asked = ApprovalRequest.model_validate(row["request"])
        said = graph.invoke(Command(resume=asked.approve(by="alice")), shop.config())
        assert (said["decision"]["by"], shop.booked) == ("alice", [])
        go_on.set()
        assert moving.result()["status"] == "succeeded"
    assert shop.sold() == ["ada:5"]


def test_one_of_several_is_rejected_and_the_others_are_not_asked_any_more(build: Any, shop: Any, owner: Any) -> None:
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(PARALLEL), tools=shop.tools)
    graph = build([workflow])
    asked = {one.step: one for one in graph.invoke({"goal": "w"}, shop.config())["approvals"]}
    said = {asked["a"].id: {"type": "approve"}, asked["c"].id: {"type": "reject", "message": "no"}}
    result = graph.invoke(Command(resume=said), shop.config(), context={"principal": "alice"})
    assert (result["status"], shop.booked) == ("rejected", [])
    rows = owner.rows("SELECT step_id, status FROM gatepost.approval WHERE run_id = %s ORDER BY 1", shop.run())
    assert [(row["step_id"], row["status"]) for row in rows] == [("a", "decided"), ("b", "void"), ("c", "decided")]
