"""Tries to notice that a node of ours runs without what LangGraph puts around a node."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph

from gatepost.graph.straight import Straight, straighten

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


SET: ContextVar[str] = ContextVar("set", default="nothing")


class State(TypedDict, total=False):
    seen: list[Any]


class Listener(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.names: list[str] = []

    async def on_chain_start(self, *_: Any, name: str = "", **__: Any) -> None:
        self.names.append(name)


def idle(state: State) -> State:
    return {}


def straight(node: Any, *, also: Any = idle) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_node("next", also)
    builder.add_edge(START, "node")
    builder.add_edge("node", "next")
    builder.add_edge("next", END)
    graph = builder.compile()
    straighten(graph)
    assert type(graph.nodes["node"].node) is Straight
    return graph


async def test_what_a_node_sets_in_its_context_ends_with_it() -> None:
    async def sets(_: State) -> State:
        SET.set("by the node")
        await asyncio.sleep(0)
        return {"seen": [SET.get()]}

    async def looks(state: State) -> State:
        return {"seen": [*state["seen"], SET.get()]}

    assert await straight(sets, also=looks).ainvoke({}) == {"seen": ["by the node", "nothing"]}
    assert SET.get() == "nothing"


async def test_a_node_finds_its_config_and_gives_it_to_what_it_calls() -> None:
    def called(_: str, config: RunnableConfig) -> Any:
        return config["metadata"]["langgraph_node"], config.get("run_name")

    async def calls(_: State) -> State:
        return {"seen": [get_config()["metadata"]["asked_by"], await RunnableLambda(called).ainvoke("")]}

    found = await straight(calls).ainvoke({}, {"metadata": {"asked_by": "ada"}, "run_name": "outside"})
    assert found == {"seen": ["ada", ("node", None)]}


async def test_whoever_listens_is_told_of_every_node() -> None:
    listener = Listener()
    graph = straight(idle)
    await graph.ainvoke({}, {"callbacks": [listener]})
    assert {"node", "next"} <= set(listener.names)
    events = [event async for event in graph.astream_events({}, version="v2")]
    assert {"node", "next"} <= {event["name"] for event in events if event["event"] == "on_chain_start"}


async def test_a_node_that_is_called_off_may_clear_up() -> None:
    began, cleared = asyncio.Event(), asyncio.Event()

    async def waits(_: State) -> State:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleared.set()
        return {}

    task = asyncio.create_task(straight(waits).ainvoke({}))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleared.is_set()


async def test_what_a_node_raises_comes_out() -> None:
    async def fails(_: State) -> State:
        await asyncio.sleep(0)
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        await straight(fails).ainvoke({})
