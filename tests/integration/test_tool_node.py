"""Tries to have a tool called twice by an ordinary LangGraph graph that runs its node again: after a crash, a retry, an
answer, a loop, time travel.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy

from gatepost import ApprovalRequest, Checkpointer, EffectContext, NotDone, Policy, Retry, ToolFailed, tool, tool_node
from gatepost.state.errors import RunExists

ALL = Policy('@id("all") permit (principal, action, resource);')


class State(TypedDict, total=False):
    customer: str
    cents: int
    receipt: str
    round: int


class Till:
    """A tool in a node of an ordinary graph."""

    def __init__(
        self, checkpointer: Checkpointer, *, policy: Policy | None = ALL, on_doubt: str = "retry", **node: Any
    ) -> None:
        self.keys: list[str] = []
        self.ends: list[Exception | None] = []
        self.after: list[Exception | None] = []
        self.inside = threading.Event()
        self.waits = False

        @tool(effect="write", on_doubt=on_doubt, retry=Retry(attempts=1))
        async def charge(ctx: EffectContext, customer: str, cents: int) -> str:
            self.keys.append(ctx.idempotency_key)
            self.inside.set()
            if self.waits:
                await asyncio.Event().wait()
            if self.ends and (error := self.ends.pop(0)) is not None:
                raise error
            return f"{customer} paid {cents}"

        def later(state: State) -> State:
            if self.after and (error := self.after.pop(0)) is not None:
                raise error
            return {"round": state.get("round", 0) + 1}

        builder = StateGraph(State)
        builder.add_node("charge", tool_node(charge, checkpointer, output="receipt", policy=policy, **node))
        builder.add_node("later", later)
        builder.add_edge(START, "charge")
        builder.add_edge("charge", "later")
        builder.add_conditional_edges(
            "later", lambda state: "charge" if state["round"] < state.get("cents", 0) else END
        )
        self.builder = builder
        self.graph = builder.compile(checkpointer=InMemorySaver())
        self.config: Any = {"configurable": {"thread_id": f"t-{secrets.token_hex(4)}"}}


ASKED: State = {"customer": "ada", "cents": 1}


@pytest.mark.parametrize("door", ["invoke", "ainvoke"])
def test_the_node_calls_its_tool_and_gives_the_result(town_hall: Checkpointer, door: str, owner: Any) -> None:
    till = Till(town_hall)
    result = (
        till.graph.invoke(ASKED, till.config)
        if door == "invoke"
        else asyncio.run(till.graph.ainvoke(ASKED, till.config))
    )
    assert result["receipt"] == "ada paid 1"
    run = f"{till.config['configurable']['thread_id']}--charge"
    (effect,) = owner.effects(run)
    assert (effect["state"], effect["key"]) == ("succeeded", till.keys[0])


def test_a_node_that_runs_again_gives_what_is_recorded(town_hall: Checkpointer) -> None:
    """What follows fails, and the graph is sent back to a checkpoint before the charge."""
    till = Till(town_hall)
    till.after = [ValueError("later")]
    with pytest.raises(ValueError, match="later"):
        till.graph.invoke(ASKED, till.config)
    first = list(till.graph.get_state_history(till.config))[-2].config
    assert till.graph.invoke(None, first)["receipt"] == "ada paid 1"
    assert len(till.keys) == 1


def test_a_node_that_was_cut_off_goes_on_under_its_key(town_hall: Checkpointer) -> None:
    till = Till(town_hall)
    till.waits = True

    async def cut() -> None:
        running = asyncio.ensure_future(till.graph.ainvoke(ASKED, till.config))
        await asyncio.to_thread(till.inside.wait, 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cut())
    till.waits = False
    assert till.graph.invoke(None, till.config)["receipt"] == "ada paid 1"
    assert (len(till.keys), len(set(till.keys))) == (2, 1)


@pytest.mark.parametrize("door", ["invoke", "ainvoke"])
def test_what_the_policy_asks_interrupts_the_graph_around(town_hall: Checkpointer, door: str) -> None:
    till = Till(town_hall, policy=None)

    def go(given: Any) -> Any:
        if door == "invoke":
            return till.graph.invoke(given, till.config)
        return asyncio.run(till.graph.ainvoke(given, till.config))

    (paused,) = go(ASKED)["__interrupt__"]
    asked = ApprovalRequest.model_validate(paused.value["approval"])
    assert (asked.tool, asked.args, till.keys) == ("charge", {"customer": "ada", "cents": 1}, [])
    (paused,) = go(Command(resume="yes"))["__interrupt__"]
    assert "addressed to no approval" in paused.value["problem"]
    assert go(Command(resume=asked.approve(by="alice")))["receipt"] == "ada paid 1"
    assert len(till.keys) == 1


def test_a_no_is_a_failure_of_the_node(town_hall: Checkpointer) -> None:
    till = Till(town_hall, policy=None)
    (paused,) = till.graph.invoke(ASKED, till.config)["__interrupt__"]
    asked = ApprovalRequest.model_validate(paused.value["approval"])
    with pytest.raises(ToolFailed, match="rejected by alice"):
        till.graph.invoke(Command(resume=asked.reject(by="alice")), till.config)
    assert till.keys == []


def test_doubt_interrupts_as_well(town_hall: Checkpointer) -> None:
    till = Till(town_hall, on_doubt="ask")
    till.ends = [TimeoutError()]
    (paused,) = till.graph.invoke(ASKED, till.config)["__interrupt__"]
    asked = ApprovalRequest.model_validate(paused.value["approval"])
    assert asked.kind == "doubt"
    found = till.graph.invoke(Command(resume=asked.happened(by="alice", result="paid, says the bank")), till.config)
    assert (found["receipt"], len(till.keys)) == ("paid, says the bank", 1)


def test_a_definite_failure_is_raised_and_stays(town_hall: Checkpointer) -> None:
    """LangGraph's own retries run the node again, and the tool is not called again."""
    till = Till(town_hall)
    till.ends = [NotDone("the card is blocked")]
    graph = till.builder.compile(checkpointer=InMemorySaver())
    graph.nodes["charge"].retry_policy = [RetryPolicy(max_attempts=3, initial_interval=0.001, jitter=False)]
    with pytest.raises(ToolFailed, match="the card is blocked") as failed:
        graph.invoke(ASKED, till.config)
    assert failed.value.failure is not None
    assert (failed.value.failure.kind, len(till.keys)) == ("validation", 1)


def test_a_loop_says_which_call_it_is(town_hall: Checkpointer) -> None:
    till = Till(town_hall, call=lambda state: f"round-{state.get('round', 0)}")
    till.graph.invoke({**ASKED, "cents": 3}, till.config)
    assert (len(till.keys), len(set(till.keys))) == (3, 3)


def test_a_loop_that_does_not_say_so_does_nothing_again(town_hall: Checkpointer) -> None:
    till = Till(town_hall)
    till.graph.invoke({**ASKED, "cents": 3}, till.config)
    assert len(till.keys) == 1


def test_another_call_under_the_same_name_is_refused(town_hall: Checkpointer) -> None:
    till = Till(town_hall, args=lambda state: {"customer": "ada", "cents": state.get("round", 0)})
    with pytest.raises(RunExists):
        till.graph.invoke({**ASKED, "cents": 2}, till.config)
    assert len(till.keys) == 1


def test_a_thread_of_any_name_has_a_run_of_its_own(town_hall: Checkpointer) -> None:
    till = Till(town_hall)
    for thread in ("für ada / 1", "für ada / 2", "x" * 200):
        till.graph.invoke(ASKED, {"configurable": {"thread_id": thread + secrets.token_hex(4)}})
    assert len(set(till.keys)) == 3
