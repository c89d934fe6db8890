"""Never run, only type-checked: the public API as a user writes it. It breaks when a signature loses its types."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, assert_type

from langgraph.graph.state import CompiledStateGraph

from gatepost import (
    ApprovalRequest,
    Checkpointer,
    Condition,
    EffectContext,
    FixedPlan,
    Gate,
    GatepostGraph,
    Plan,
    Policy,
    Retry,
    RunContext,
    Situation,
    Step,
    Strategy,
    Tool,
    Workflow,
    build_graph,
    open_checkpointer,
    ref,
    tool,
)


@tool
def bare(name: str) -> int:
    return len(name)


@tool(effect="write", on_doubt="retry", retry=Retry(attempts=5), gate=Gate(roles=("finance",), quorum=2))
def charge(ctx: EffectContext, customer: str, amount: Decimal = Decimal(1)) -> str:
    return f"{ctx.idempotency_key} {customer} {amount}"


@tool(effect="read")
async def look(name: str) -> dict[str, int]:
    return {name: 1}


def calling_a_tool_is_calling_its_function(ctx: EffectContext) -> None:
    assert_type(bare("ada"), int)
    assert_type(charge(ctx, "ada", amount=Decimal(2)), str)
    bare(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    charge("ada")  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def an_async_tool_is_awaited() -> None:
    assert_type(await look("ada"), dict[str, int])


def a_tool_is_a_tool(undo: Tool[..., Any]) -> None:
    tool(compensate=undo)
    tool(compensate=bare)
    tool(effect=7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


class Planner:
    async def plan(self, situation: Situation) -> Plan | None:
        return None if situation.plan else Plan(steps=())


def a_strategy_is_whatever_plans() -> None:
    plan = Plan(
        steps=(
            Step(id="look", tool="look", args={"name": "ada"}),
            Step(id="pay", tool="charge", args={"customer": ref("look", "/ada")}, when=Condition(ref="look#/ada")),
        )
    )
    assert_type(plan.by_id, Mapping[str, Step])
    strategies: list[Strategy] = [FixedPlan(plan), Planner()]
    Workflow(name="sale", goals=("sell",), strategy=strategies[0], tools=(charge, look, bare))


def the_graph_is_an_ordinary_compiled_graph(sale: Workflow) -> None:
    with open_checkpointer() as checkpointer:
        assert_type(checkpointer, Checkpointer)
        graph = build_graph([sale], checkpointer, policy=Policy.default(), tools={"charge": charge})
        assert_type(graph, GatepostGraph)
        ordinary: CompiledStateGraph[Any, RunContext, Any, Any] = graph
        ordinary.invoke({"goal": "sell"}, context=RunContext(principal="eve"))


def an_answer_is_plain_data(asked: ApprovalRequest) -> None:
    assert_type(asked.approve(by="alice"), dict[str, Any])
    assert_type(asked.edit(by="alice", customer="bob"), dict[str, Any])
    asked.approve("alice")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
