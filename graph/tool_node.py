"""One tool as a node of somebody else's graph: intent, call, result, doubt and approval as in a graph of ours.

Invariant: one node of one thread is one call, whatever the engine around it repeats: a crash, a
retry, a fork. Behind the node is a run of one step, named after thread and node, so everything
that holds for runs holds for it; what it asks becomes an `interrupt()` of the graph around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.types import Command, interrupt

from gatepost.checkpointing.open import Checkpointer
from gatepost.graph.build import build_graph
from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.nodes.policy import Policy
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.workflow import FixedPlan, Workflow
from gatepost.state.answer_shapes import answer_to
from gatepost.state.canonical import digest_of
from gatepost.state.errors import CallerMistake, InvalidValue
from gatepost.state.ids import run_id_of
from gatepost.state.plan import Plan, Step
from gatepost.state.reference import ref
from gatepost.state.status import RunStatus
from gatepost.state.step import Failure

STEP = "call"


class ToolFailed(Exception):
    """A tool in a node did not succeed, for certain; nothing is left in doubt.

    Args:
        message: the cause.
        failure: its class and its own words.
    """

    def __init__(self, message: str, failure: Failure | None = None) -> None:
        super().__init__(message, failure)
        self.failure = failure

    def __str__(self) -> str:
        return str(self.args[0])


def tool_node(
    tool: AnyTool,
    checkpointer: Checkpointer,
    *,
    args: Callable[[Any], Mapping[str, Any]] | None = None,
    output: str | None = None,
    call: Callable[[Any], str] | None = None,
    policy: Policy | None = None,
    context: RunContext | None = None,
) -> RunnableLambda[Any, dict[str, Any]]:
    """Make a node of a tool, for any `StateGraph` (its checkpointer may be any, too).

        builder.add_node("charge", tool_node(charge, checkpointer, output="receipt"))

    The node calls once for each thread: executed again, it gives what is recorded. A node that is meant to call more
    than once says which call it is (`call=`). What the policy asks, or a call whose end nobody saw, interrupts the
    graph around it with the request; resume it with an answer (`ApprovalRequest(**payload["approval"])` makes them).

    Args:
        tool: what is called.
        checkpointer: where its ledger is, from `open_checkpointer()`.
        args: the arguments, from the state; by default the state's values of the same names.
        output: where in the state the result goes; by default under the tool's name.
        call: which call of the node this is, from the state: an order's number, a round.
        policy: what the gate asks; by default a write asks a person. Pass one that permits where your graph has a
            gate of its own.
        context: for whom it runs.

    Raises:
        ToolFailed: (when the node runs) the tool did not succeed, for certain.
    """
    graph = build_graph([_workflow(tool)], checkpointer, policy=policy)
    node = _Node(graph, tool, args=args, output=output or tool.name, call=call, context=context)
    return RunnableLambda(node.run, afunc=node.arun, name=tool.name)


class _Node:
    """What runs when the node runs, in a sync graph or an async one."""

    def __init__(
        self,
        graph: GatepostGraph,
        tool: AnyTool,
        *,
        args: Callable[[Any], Mapping[str, Any]] | None,
        output: str,
        call: Callable[[Any], str] | None,
        context: RunContext | None,
    ) -> None:
        self._graph = graph
        self._tool = tool
        self._args = args or self._from_state
        self._output = output
        self._call = call or (lambda _: "")
        self._context = context
        self._principal = context.principal if context else ""

    async def arun(self, state: Any, config: RunnableConfig) -> dict[str, Any]:
        """In an async graph."""
        inner, given = self._prepared(state, config)
        result = await self._graph.ainvoke(given, inner, context=self._context)
        problem = ""
        while (asked := result["approval"]) is not None:
            answer = interrupt({**asked.payload(), "problem": problem})
            try:
                said = answer_to(asked, answer, by=self._principal)
                result = await self._graph.ainvoke(Command(resume=said), inner, context=self._context)
                problem = ""
            except CallerMistake as error:
                problem = str(error)
        return self._update(result)

    def run(self, state: Any, config: RunnableConfig) -> dict[str, Any]:
        """In a sync one."""
        inner, given = self._prepared(state, config)
        result = self._graph.invoke(given, inner, context=self._context)
        problem = ""
        while (asked := result["approval"]) is not None:
            answer = interrupt({**asked.payload(), "problem": problem})
            try:
                said = answer_to(asked, answer, by=self._principal)
                result = self._graph.invoke(Command(resume=said), inner, context=self._context)
                problem = ""
            except CallerMistake as error:
                problem = str(error)
        return self._update(result)

    def _prepared(self, state: Any, config: RunnableConfig) -> tuple[RunnableConfig, dict[str, Any]]:
        args = self._tool.normalise(dict(self._args(state)))
        run = _run_id(config, self._call(state))
        return {"configurable": {"thread_id": run}}, {"goal": self._tool.name, "input": args}

    def _from_state(self, state: Any) -> Mapping[str, Any]:
        values = state if isinstance(state, Mapping) else vars(state)
        return {name: values[name] for name in self._tool.arguments.model_fields if name in values}

    def _update(self, result: Mapping[str, Any]) -> dict[str, Any]:
        step = result["steps"][STEP]
        if result["status"] == RunStatus.SUCCEEDED:
            return {self._output: step.get("output")}
        failure = Failure.model_validate(step["failure"]) if step.get("failure") else None
        raise ToolFailed(
            f"{self._tool.name} {result['status']}: {step.get('reason') or 'no reason is recorded'}", failure
        )


def _workflow(tool: AnyTool) -> Workflow:
    step = Step(id=STEP, tool=tool.name, args={name: ref("input", f"/{name}") for name in tool.arguments.model_fields})
    return Workflow(
        name=f"node of {tool.name}", goals=(tool.name,), strategy=FixedPlan(Plan(steps=(step,))), tools=(tool,)
    )


def _run_id(config: RunnableConfig, call: str) -> str:
    """The run behind a node: named after its thread, its place and the call, the same after any crash."""
    place = config.get("configurable", {})
    if "thread_id" not in place:
        raise InvalidValue("the graph around the node has no thread: compile it with a checkpointer, pass a thread_id.")
    above = [part.partition(":")[0] for part in str(place.get("checkpoint_ns", "")).split("|")]
    node = str(config.get("metadata", {}).get("langgraph_node", above[-1]))
    parts = [str(place["thread_id"]), *above[:-1], node, *([call] if call else [])]
    try:
        return run_id_of("--".join(parts))
    except InvalidValue:
        return f"node_{digest_of(*parts)[:32]}"
