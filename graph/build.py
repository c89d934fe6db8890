"""Building the graph: the nodes, the edges, the one branch, and the pause before a person.

START → planner → policy_gate → planner | executor × n | approval | compensator | finalizer → END
            ▲          ▲            every other node returns to the gate; a lone executor may go
                                    on to the next step of its chain, where that was judged already
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from gatepost.checkpointing.open import Checkpointer
from gatepost.checkpointing.saver import session_of
from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.graph.door import GATES
from gatepost.graph.routing import Room, onward, route
from gatepost.nodes.approval import approval
from gatepost.nodes.compensator import compensator
from gatepost.nodes.executor import executor
from gatepost.nodes.finalizer import finalizer
from gatepost.nodes.planner import planner
from gatepost.nodes.policy import Policy
from gatepost.nodes.policy_gate import policy_gate
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Equipment, Visit
from gatepost.nodes.workflow import Catalog, Workflow
from gatepost.state.channels import RunInput, RunState, check_version
from gatepost.state.errors import NotHeld

GRAPH_VERSION = "1"
"""Stored with each run; rises when a run in flight could not go on under the new graph."""
NO_LIMIT = 1_000_000
"""Supersteps of one entry. LangGraph's own default would stop a long run in the middle."""

Body = Callable[[Any, Visit], Awaitable[dict[str, Any]]]


def build_graph(
    workflows: Iterable[Workflow],
    checkpointer: Checkpointer,
    *,
    policy: Policy | None = None,
    tools: Mapping[str, AnyTool] | None = None,
) -> GatepostGraph:
    """Compile the graph for some workflows.

    Args:
        workflows: what goals mean here.
        checkpointer: from `open_checkpointer()`.
        policy: the Cedar set that the gate asks; by default reads run and everything else asks.
        tools: put in place of the workflows' tools of the same name, for tests.

    Raises:
        ToolMistake: two workflows or tools share a name, or a replacement replaces nothing.
    """
    equipment = Equipment(
        catalog=Catalog(workflows, replaced=tools),
        policy=policy or Policy.default(),
        ledger=checkpointer.ledger,
        approvals=checkpointer.approvals,
    )
    compiled = _builder(equipment).compile(checkpointer=checkpointer, interrupt_before=list(GATES), name="gatepost")
    graph = GatepostGraph.adopt(compiled, equipment=equipment, saver=checkpointer, version=GRAPH_VERSION)
    return graph.copy({"config": {"recursion_limit": NO_LIMIT}})


def _builder(equipment: Equipment) -> StateGraph[RunState, RunContext, RunInput, RunState]:
    builder = StateGraph(RunState, context_schema=RunContext, input_schema=RunInput)
    bodies: dict[str, Body] = {
        "planner": planner,
        "policy_gate": policy_gate,
        "approval": approval,
        "executor": executor,
        "compensator": compensator,
        "finalizer": finalizer,
    }
    for name, body in bodies.items():
        builder.add_node(name, _node(name, body, equipment))
    builder.add_edge(START, "planner")
    builder.add_conditional_edges("policy_gate", route, list(Room.__args__))  # type: ignore[attr-defined]
    builder.add_conditional_edges("executor", onward, ["executor", "policy_gate"])
    for name in ("planner", "approval", "compensator"):
        builder.add_edge(name, "policy_gate")
    builder.add_edge("finalizer", END)
    return builder


def _node(name: str, body: Body, equipment: Equipment) -> Callable[..., Awaitable[dict[str, Any]]]:
    """A LangGraph node around a body: only in a held run, and what it staged goes when it raises."""

    async def node(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        session = session_of(config)
        if session is None:
            raise NotHeld(
                f"{name} was entered without the run's lease: a graph compiled elsewhere, another checkpointer, "
                "or a run that has ended. Enter through the graph that build_graph() returned."
            )
        check_version(state)
        task: str = config["configurable"]["__pregel_task_id"]
        session.enter(name, task)
        try:
            return await body(state, Visit(session=session, task=task, equipment=equipment))
        except BaseException:
            session.drop(task)
            raise

    node.__name__ = name
    return node
