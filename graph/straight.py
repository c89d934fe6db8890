"""Going straight: a node runs without LangChain's callbacks, and without a task of its own, where nobody listens.

For each visit of a node, LangGraph starts and ends a chain run, makes a callback manager for each of its parts, and
runs them in two more tasks of the event loop: about a tenth of what a step takes. Handlers (a tracer, `astream_events`,
a callback of the caller's) are known when the node is entered; where there is one, everything goes LangGraph's way.

Invariant: nothing else changes. The node sees the same config, and has a context of its own: what it sets there ends
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph._internal._runnable import RunnableCallable, RunnableSeq
from langgraph.pregel import Pregel

Call = Callable[[Any, RunnableConfig], Coroutine[Any, Any, Any]]


class Straight(RunnableSeq):
    """A node and what writes its update, one after another."""

    def __init__(self, *steps: Any, **options: Any) -> None:
        super().__init__(*steps, **options)
        self._calls = [_call(step) for step in self.steps]

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """As LangGraph's; nobody is told of it where nobody listens."""
        callbacks = (config or {}).get("callbacks")
        if config is None or kwargs or not isinstance(callbacks, BaseCallbackManager) or callbacks.handlers:
            return await super().ainvoke(input, config, **kwargs)
        config = config.copy()
        config.pop("run_name", None)  # it is the node's, and not of what the node calls
        config.pop("run_id", None)
        context = copy_context()
        context.run(var_child_runnable_config.set, config)
        node, *writers = self._calls
        found = await _Inside(context, node(input, config))
        for write in writers:
            found = await write(found, config)
        return found


def _call(step: Any) -> Call:
    """What a step does: its function itself, where that takes what the step is given, and the config.

    LangGraph would look whether such a function returned another runnable. None of these nodes does.
    """
    plain = isinstance(step, RunnableCallable) and not (step.trace or step.explode_args or step.kwargs)
    if not plain or step.afunc is None or step.func_accepts.keys() != {"config"}:
        return step.ainvoke  # type: ignore[no-any-return]
    function: Any = step.afunc
    return lambda given, config: function(given, config=config)


class _Inside:
    """A coroutine that runs in a context of its own, and in the task that waits for it."""

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._context, self._coroutine = context, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        step, given = self._coroutine.send, None
        while True:
            try:
                waits_for = self._context.run(step, given)
            except StopIteration as end:
                return end.value
            try:
                step, given = self._coroutine.send, (yield waits_for)
            except BaseException as error:  # noqa: BLE001 (a cancellation, too: it is the coroutine's)
                step, given = self._coroutine.throw, error


def straighten(graph: Pregel[Any, Any, Any, Any]) -> None:
    """Let the nodes of a compiled graph go straight."""
    for node in graph.nodes.values():
        if type(node.node) is RunnableSeq:
            # In place of what LangGraph has put together from the same parts, and keeps.
            node.node = Straight(*node.node.steps, name=node.node.name, trace_policy=node.trace_policy)
