"""Tries to make one door differ from the others: sync and async callers, sync and async tools, inside a running event
loop and outside, streams that are left early and calls that are cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, ref, tool
from gatepost.state.errors import DoorClosed

POLICY = Policy("""
@id("reads") permit (principal, action == Action::"run", resource) when { context.effect == "read" };
@id("decide") permit (principal, action == Action::"decide", resource);
""")


def _workflow(kind: str, calls: list[str]) -> Workflow:
    def look(name: str) -> dict[str, str]:
        calls.append(f"look {name} in {'a thread' if _no_loop() else 'the loop'}")
        return {"name": name}

    async def alook(name: str) -> dict[str, str]:
        await asyncio.sleep(0)
        return look(name)

    def send(ctx: EffectContext, to: str) -> str:
        calls.append(f"send {to}")
        return to

    async def asend(ctx: EffectContext, to: str) -> str:
        await asyncio.sleep(0)
        return send(ctx, to)

    reads = tool(effect="read", name="look")
    writes = tool(effect="write", on_doubt="retry", name="send")
    tools = (reads(look), writes(send)) if kind == "sync" else (reads(alook), writes(asend))
    steps = (
        Step(id="look", tool="look", args={"name": "ada"}),
        Step(id="send", tool="send", args={"to": ref("look", "/name")}),
    )
    return Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=tools)


def _no_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def _invoke(graph: GatepostGraph, given: Any, config: Any) -> Any:
    return graph.invoke(given, config)


def _stream(graph: GatepostGraph, given: Any, config: Any) -> Any:
    return list(graph.stream(given, config, stream_mode="values"))[-1]


def _ainvoke(graph: GatepostGraph, given: Any, config: Any) -> Any:
    return asyncio.run(graph.ainvoke(given, config))


def _astream(graph: GatepostGraph, given: Any, config: Any) -> Any:
    async def collect() -> Any:
        return [chunk async for chunk in graph.astream(given, config, stream_mode="values")][-1]

    return asyncio.run(collect())


def _inside(call: Callable[..., Any]) -> Callable[..., Any]:
    """The sync door, used where an event loop runs already: in Jupyter, in FastAPI."""

    async def inside(graph: GatepostGraph, given: Any, config: Any) -> Any:
        return call(graph, given, config)

    return lambda *args: asyncio.run(inside(*args))


DOORS: dict[str, Callable[..., Any]] = {
    "invoke": _invoke,
    "stream": _stream,
    "ainvoke": _ainvoke,
    "astream": _astream,
    "invoke in a loop": _inside(_invoke),
    "stream in a loop": _inside(_stream),
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
def test_every_door_runs_every_kind_of_tool(
    build: Callable[..., GatepostGraph], shop: Any, kind: str, door: Callable[..., Any]
) -> None:
    calls: list[str] = []
    graph = build([_workflow(kind, calls)], policy=POLICY)
    paused = door(graph, {"goal": "w"}, shop.config())
    asked = graph.get_state(shop.config()).values["approval"]
    done = door(graph, Command(resume=asked.approve(by="alice")), shop.config())
    assert calls == [f"look ada in {'a thread' if kind == 'sync' else 'the loop'}", "send ada"]
    assert done["outcome"] == {"status": "succeeded", "reason": "", "artifacts": []}
    assert (paused["status"], paused["approval"].id, done["status"]) == ("blocked", asked.id, "succeeded")


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
def test_every_door_shows_the_same_run(
    build: Callable[..., GatepostGraph], shop: Any, door: Callable[..., Any]
) -> None:
    graph = build([_workflow("sync", [])], policy=POLICY)
    shown = door(graph, {"goal": "w"}, shop.config())
    state = graph.get_state(shop.config()).values
    again = graph.invoke(None, shop.config())
    for view in (shown, again):
        assert {name: view[name] for name in state} == state
    assert set(shown) - set(state) <= {"__interrupt__", "decision"}


def test_every_chunk_shows_a_whole_run(build: Callable[..., GatepostGraph], shop: Any) -> None:
    graph = build([_workflow("sync", [])], policy=POLICY)
    chunks = list(graph.stream({"goal": "w"}, shop.config(), stream_mode="values"))
    whole = [chunk for chunk in chunks if chunk.get("plan_version")]
    assert len(whole) >= 3
    for chunk in whole:
        assert set(chunk["steps"]) == {"look", "send"}
        assert [step["id"] for step in chunk["plan"]["steps"]] == ["look", "send"]


# left early


@pytest.mark.parametrize("chunks", [1, 2, 3, 4])
@pytest.mark.parametrize("door", ["stream", "astream"])
def test_a_stream_that_is_left_early_can_be_gone_on_with(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any, door: str, chunks: int
) -> None:
    calls: list[str] = []
    graph = build([_workflow("async", calls)], policy=POLICY)

    async def leave() -> None:
        left = 0
        async for _ in graph.astream({"goal": "w"}, shop.config()):
            left += 1
            if left == chunks:
                break

    if door == "astream":
        asyncio.run(leave())
    else:
        stream = graph.stream({"goal": "w"}, shop.config())
        for _ in range(chunks):
            next(stream)
        stream.close()  # type: ignore[attr-defined]
    row = owner.run(shop.run())
    assert (row["owner"], row["lease_expires_at"]) == (None, None)
    result = graph.invoke(None, shop.config())
    assert result["status"] == "blocked"
    assert calls == ["look ada in the loop"]
    assert graph.invoke(Command(resume=result["approval"].approve(by="alice")), shop.config())["status"] == "succeeded"
    assert calls == ["look ada in the loop", "send ada"]


def test_a_stream_that_nobody_reads_moves_nothing(build: Callable[..., GatepostGraph], shop: Any, owner: Any) -> None:
    graph = build([_workflow("sync", [])], policy=POLICY)
    graph.stream({"goal": "w"}, shop.config())
    assert owner.rows("SELECT FROM gatepost.run WHERE run_id = %s", shop.run()) == []


class Slow:
    """A tool in the middle of its call."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.calls = 0
        self.inside = threading.Event()
        self.go_on = threading.Event()

        @tool(effect="write", on_doubt="retry")
        async def wait(ctx: EffectContext) -> str:
            self.calls += 1
            self.inside.set()
            while not self.go_on.is_set():  # noqa: ASYNC110 (several loops wait)
                await asyncio.sleep(0.002)
            return "done"

        steps = (Step(id="wait", tool="wait"),)
        workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(wait,))
        self.graph = build([workflow], policy=Policy('@id("all") permit (principal, action, resource);'))


@pytest.mark.parametrize("how", ["cancel", "timeout", "end of the loop"])
def test_a_cancelled_call_lets_go_and_can_be_gone_on_with(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any, how: str
) -> None:
    slow = Slow(build)

    async def cancelled() -> None:
        running = asyncio.ensure_future(slow.graph.ainvoke({"goal": "w"}, shop.config()))
        await asyncio.to_thread(slow.inside.wait, 20)
        if how == "cancel":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        elif how == "timeout":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(running, timeout=0.01)

    asyncio.run(cancelled())
    row = owner.run(shop.run())
    assert (row["owner"], row["status"]) == (None, "queued")
    slow.go_on.set()
    assert slow.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert slow.calls == 2
    (effect,) = owner.effects(shop.run())
    assert (effect["state"], effect["attempts"]) == ("succeeded", 2)


# refusals


def test_a_refused_stream_raises_and_leaves_nothing_in_the_log(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An exception that asyncio finds unseen is logged when the garbage is collected."""
    import gc  # noqa: PLC0415

    with caplog.at_level(logging.ERROR, logger="asyncio"):
        with pytest.raises(DoorClosed):
            list(shop.graph.stream({"goal": "sell", "frontier": {}}, shop.config()))
        gc.collect()
    assert caplog.records == []


def test_the_sync_door_inside_a_tool_of_the_same_graph_moves_another_run(
    build: Callable[..., GatepostGraph], shop: Any
) -> None:
    found: list[str] = []

    @tool(effect="read")
    def inner() -> str:
        return "inner"

    @tool(effect="read")
    def outer() -> str:
        found.append(graph.invoke({"goal": "inner"}, shop.config("inner"))["status"])
        return "outer"

    plans = {name: FixedPlan(Plan(steps=(Step(id=name, tool=name),))) for name in ("inner", "outer")}
    graph = build([Workflow(name=n, goals=(n,), strategy=plan, tools=(inner, outer)) for n, plan in plans.items()])
    assert graph.invoke({"goal": "outer"}, shop.config("outer"))["status"] == "succeeded"
    assert found == ["succeeded"]


def test_the_sync_door_inside_an_async_tool_says_what_to_do(build: Callable[..., GatepostGraph], shop: Any) -> None:
    @tool(effect="read")
    async def outer() -> str:
        return str(graph.invoke({"goal": "outer"}, shop.config("inner")))

    plan = Plan(steps=(Step(id="outer", tool="outer"),))
    graph = build([Workflow(name="outer", goals=("outer",), strategy=FixedPlan(plan), tools=(outer,))])
    result = graph.invoke({"goal": "outer"}, shop.config("outer"))
    assert result["status"] == "failed"
    assert "await the async one" in result["outcome"]["reason"]
