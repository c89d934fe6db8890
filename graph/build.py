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
from langgraph.types import Command

from gatepost.checkpointing.open import Checkpointer
from gatepost.checkpointing.saver import session_of
from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.graph.door import GATES
from gatepost.graph.routing import Room, from_executor, from_gate
from gatepost.graph.straight import straighten
from gatepost.nodes.approval import approval
from gatepost.nodes.catalog import Catalog
from gatepost.nodes.compensator import compensator
from gatepost.nodes.demand import completed
from gatepost.nodes.executor import executor
from gatepost.nodes.finalizer import finalizer
from gatepost.nodes.planner import misfits, planner
from gatepost.nodes.policy import InvalidPolicy, Policy
from gatepost.nodes.policy_gate import policy_gate
from gatepost.nodes.policy_sets import PolicySets, TenantPolicies, set_of, tenants_of
from gatepost.nodes.replacement import Replacement
from gatepost.nodes.visit import Equipment, Visit
from gatepost.nodes.workflow import FixedPlan, Workflow, origin_of
from gatepost.state.board import Board
from gatepost.state.channels import STATE_SCHEMA, RunInput, RunState, check_version
from gatepost.state.errors import DoorClosed, InvalidPlan, InvalidValue, NotHeld
from gatepost.state.plan import Plan, plan_of
from gatepost.state.upgrades import upgraded

GRAPH_VERSION = "1"
"""Stored with each run; rises when a run in flight could not go on under the new graph."""
NO_LIMIT = 1_000_000
"""Supersteps of one entry. LangGraph's own default would stop a long run in the middle."""

AHEAD = frozenset({"policy_gate", "executor"})
"""Nodes that begin while the superstep before them is being committed. The gate goes by nothing but the state, the
board and the policy; the executor waits before it reads, tells or calls anything."""

Body = Callable[[Any, Visit], Awaitable[dict[str, Any]]]
Choose = Callable[[Any, Mapping[str, Any]], Any]
"""Where a node leads, from what it saw and what it leaves."""


def build_graph(
    workflows: Iterable[Workflow],
    checkpointer: Checkpointer,
    *,
    policy: Policy | None = None,
    tools: Mapping[str, Replacement] | None = None,
    tenant_policies: TenantPolicies = None,
) -> GatepostGraph:
    """Compile the graph for some workflows.

    Args:
        workflows: what goals mean here.
        checkpointer: from `open_checkpointer()`.
        policy: the deployment's Cedar set that the gate asks; by default reads run and everything else asks.
            A workflow's own set and a tenant's narrow it (`nodes.policy_sets`).
        tools: put in place of the workflows' tools (and of what undoes them) of the same name, for tests. A plain
            function takes over the declaration of the tool that it replaces; a declared tool must be as strict.
        tenant_policies: sets of tenants, by name or as a folder of files `TENANT.cedar`. Read once, here.

    Raises:
        ToolMistake: two workflows or tools share a name, a replacement replaces nothing or is milder than the
            tool, or one of these is something else than it must be.
        InvalidPolicy: a policy set does not fit the tools; with line, column and what would be right.
        InvalidPlan: a workflow's fixed plan does not fit its tools.
        DoorClosed: a checkpointer that is not ours.
    """
    _ours(checkpointer)
    _a_policy(policy)
    catalog = Catalog(workflows, replaced=tools)
    equipment = Equipment(
        catalog=catalog,
        policy=policies(catalog, policy, tenant_policies),
        ledger=checkpointer.ledger,
        approvals=checkpointer.approvals,
        breakers=checkpointer.breakers,
        entries=checkpointer.entries,
        forks=checkpointer.forks,
        fixed=_fitting(catalog),
    )
    compiled = wired(equipment).compile(checkpointer=checkpointer, interrupt_before=list(GATES), name="gatepost")
    straighten(compiled)
    graph = GatepostGraph.adopt(compiled, equipment=equipment, saver=checkpointer, version=GRAPH_VERSION)
    return graph.copy({"config": {"recursion_limit": NO_LIMIT}})


def policies(catalog: Catalog, policy: Policy | None, tenant_policies: TenantPolicies) -> PolicySets:
    """All policy sets of a graph, checked against its tools.

    Raises:
        InvalidPolicy: one cannot be read or does not fit.
    """
    sets = policy_sets(catalog, policy, tenant_policies)
    sets.require_sound({name: list(catalog.tools(name).values()) for name in catalog.workflows})
    return sets


def policy_sets(catalog: Catalog, policy: Policy | None, tenant_policies: TenantPolicies) -> PolicySets:
    """All policy sets of a graph, as they are.

    Raises:
        InvalidPolicy: one cannot be read.
    """
    own = {name: set_of(one.policy, whose=name) for name, one in catalog.workflows.items() if one.policy is not None}
    gates = {name: one.gates_text for name, one in catalog.workflows.items()}
    return PolicySets(policy or Policy.default(), workflows=own, tenants=tenants_of(tenant_policies), gates=gates)


def _ours(checkpointer: object) -> None:
    if not isinstance(checkpointer, Checkpointer):
        raise DoorClosed(
            f"the checkpointer is a {type(checkpointer).__name__}: effects would run that no ledger knows and no lease "
            "holds. Pass what open_checkpointer() gives; without a database of your own it starts an embedded one."
        )


def _a_policy(policy: object) -> None:
    if policy is not None and not isinstance(policy, Policy):
        raise InvalidPolicy(
            f"the policy is a {type(policy).__name__}. Pass Policy(text), or leave it out for the default one."
        )


def _fitting(catalog: Catalog) -> dict[str, Plan]:
    """What a fixed plan names is known before any run: it is looked at now, as the planner does with other plans."""
    fixed: dict[str, Plan] = {}
    for name, workflow in catalog.workflows.items():
        if not isinstance(workflow.strategy, FixedPlan):
            continue
        try:
            origin = origin_of(workflow.strategy)
            plan = plan_of(workflow.strategy.steps).model_copy(update={"version": 1, "origin": origin})
            plan, unmet = completed(plan, workflow, catalog.tools(name), Board(None))
            wrong = [*misfits(plan, catalog.tools(name), Board(None)), *unmet]
        except InvalidValue as error:
            raise InvalidPlan(f"the fixed plan of workflow {name!r} cannot be used: {error}") from None
        if wrong:
            raise InvalidPlan(
                f"the fixed plan of workflow {name!r} does not fit its tools: {'; '.join(wrong[:20])}. "
                "Correct the plan, or what the tool takes."
            )
        if type(workflow.strategy) is FixedPlan:  # another kind of it may plan otherwise for each run
            fixed[name] = plan
    return fixed


def wired(equipment: Equipment) -> StateGraph[RunState, RunContext, RunInput, RunState]:
    """Nodes and edges, not yet compiled: for a run that is held, or for a replay of one."""
    builder = StateGraph(RunState, context_schema=RunContext, input_schema=RunInput)
    bodies: dict[str, Body] = {
        "planner": planner,
        "policy_gate": policy_gate,
        "approval": approval,
        "executor": executor,
        "compensator": compensator,
        "finalizer": finalizer,
    }
    # Not as conditional edges: for each, LangGraph would copy every channel once more and run another runnable.
    leads: dict[str, tuple[Choose, tuple[str, ...]]] = {
        "policy_gate": (from_gate, Room.__args__),  # type: ignore[attr-defined]
        "executor": (from_executor, ("executor", "policy_gate")),
    }
    for name, body in bodies.items():
        choose, rooms = leads.get(name, (None, None))
        builder.add_node(name, _node(name, body, equipment, choose), destinations=rooms)
    builder.add_edge(START, "planner")
    for name in ("planner", "approval", "compensator"):
        builder.add_edge(name, "policy_gate")
    builder.add_edge("finalizer", END)
    return builder


def _node(
    name: str, body: Body, equipment: Equipment, choose: Choose | None
) -> Callable[..., Awaitable[dict[str, Any] | Command[Any]]]:
    """A LangGraph node around a body: only in a held run, and what it staged goes when it raises."""

    async def node(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any] | Command[Any]:
        session = session_of(config)
        if session is None:
            raise NotHeld(
                f"{name} was entered without the run's lease: a graph compiled elsewhere, another checkpointer, "
                "or a run that has ended. Enter through the graph that build_graph() returned."
            )
        state = upgraded(state, to=STATE_SCHEMA)
        check_version(state)
        task: str = config["configurable"]["__pregel_task_id"]
        if name not in AHEAD:
            await session.durable()
        session.enter(name, task)
        try:
            update = await body(state, Visit(session=session, task=task, equipment=equipment))
            return update if choose is None else Command(update=update, goto=choose(state, update))
        except BaseException:
            session.drop(task)
            raise

    node.__name__ = name
    return node
