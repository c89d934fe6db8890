"""Tries every door that LangGraph leaves open round a gate: shows that the stock graph lets the gated step run, on
the installed version, and that ours refuses or is unmoved and can still be answered, once.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from gatepost import ApprovalRequest, Decision, GatepostGraph
from gatepost.graph.routing import from_executor, from_gate
from gatepost.state.errors import (
    AlreadyDecided,
    DoorClosed,
    InvalidDecision,
    InvalidValue,
    NotHeld,
    RunExists,
    RunOwned,
    UnknownApproval,
    UnknownRun,
)
from gatepost.testing import Database


class Goal(TypedDict):
    goal: str


class Sale(TypedDict, total=False):
    goal: str
    decision: Any
    said: Annotated[list[Any], lambda left, right: [*(left or []), *(right or [])]]


class Stock:
    """planner → approval → executor, as LangGraph's own documentation builds it."""

    def __init__(self, saver: PostgresSaver, url: str, thread: str) -> None:
        self.saver = saver
        self.url = url
        self.thread = thread
        self.booked: list[Any] = []
        self.inside: Callable[[], Any] = lambda: None
        """Called by the executor, to look round while the effect happens."""

    def graph(self, *, asks: bool = True) -> Any:
        """The graph; with `asks=False` its only gate is `interrupt_before`."""
        builder = StateGraph(Sale)
        builder.add_node("planner", lambda state: {})
        builder.add_node("approval", lambda state: {"decision": interrupt("may I?")} if asks else {})
        builder.add_node("executor", self._execute)
        builder.add_node("finalizer", lambda state: {})
        for before, after in ((START, "planner"), ("planner", "approval"), ("approval", "executor")):
            builder.add_edge(before, after)
        builder.add_edge("executor", "finalizer")
        builder.add_edge("finalizer", END)
        return builder.compile(checkpointer=self.saver, interrupt_before=["approval"])

    def paused(self, *, asks: bool = True) -> tuple[Any, Any]:
        """The graph at its gate, and the config that addresses it."""
        graph, config = self.graph(asks=asks), self.config()
        graph.invoke({"goal": "sell"}, config, durability="sync")
        assert graph.get_state(config).next == ("approval",)
        assert self.booked == []
        return graph, config

    def forge(self, shop: Any, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Work on our nodes and our tables as somebody who compiled them elsewhere, as the tables' owner."""

        async def forge() -> Any:
            async with AsyncPostgresSaver.from_conn_string(self.url) as saver:
                return await work(shop.graph.builder.compile(checkpointer=saver))

        return asyncio.run(forge())

    def config(self) -> Any:
        return {"configurable": {"thread_id": self.thread}}

    def _execute(self, state: Sale) -> Sale:
        self.inside()
        self.booked.append(state.get("decision", "nobody decided"))
        return {}


@pytest.fixture(scope="module")
def stock_saver(town: Database) -> Iterator[PostgresSaver]:
    with PostgresSaver.from_conn_string(town.url) as saver:
        yield saver


@pytest.fixture
def stock(town: Database, stock_saver: PostgresSaver, shop: Any) -> Stock:
    return Stock(stock_saver, town.url, shop.run("stock"))


# going on without an answer


def test_going_on_is_not_an_answer(stock: Stock, shop: Any) -> None:
    graph, config = stock.paused(asks=False)
    graph.invoke(None, config)
    assert stock.booked == ["nobody decided"]

    shop.open()
    for _ in range(3):
        assert shop.graph.invoke(None, shop.config())["status"] == "blocked"
    shop.still_answerable()


def test_goto_does_not_lead_past_the_gate(stock: Stock, shop: Any) -> None:
    graph, config = stock.paused()
    graph.invoke(Command(goto="executor"), config)
    assert stock.booked == ["nobody decided"]

    shop.open()
    for goto in ("executor", "finalizer", ["executor"]):
        with pytest.raises(DoorClosed, match="goto"):
            shop.graph.invoke(Command(goto=goto), shop.config())
    shop.still_answerable()


def test_an_update_does_not_open_the_gate(stock: Stock, shop: Any) -> None:
    graph, config = stock.paused(asks=False)
    graph.invoke(Command(update={"decision": "approve, says the caller"}), config)
    assert stock.booked == ["approve, says the caller"]

    asked = shop.open()
    with pytest.raises(DoorClosed, match="update"):
        shop.graph.invoke(Command(update={"approvals": {}}), shop.config())
    with pytest.raises(DoorClosed, match="update"):
        shop.graph.invoke(Command(update={"status": "x"}, resume=asked.approve(by="alice")), shop.config())
    with pytest.raises(DoorClosed, match="graph"):
        shop.graph.invoke(Command(graph=Command.PARENT, resume=asked.approve(by="alice")), shop.config())
    shop.still_answerable()


@pytest.mark.parametrize("answer", ["approve", False, [], 0, ""])
def test_an_answer_to_nothing_in_particular_is_refused(stock: Stock, shop: Any, answer: Any) -> None:
    graph, config = stock.paused()
    graph.invoke(Command(resume=answer), config)
    assert stock.booked == [answer]

    shop.open()
    with pytest.raises(InvalidDecision, match="addressed to no approval"):
        shop.graph.invoke(Command(resume=answer), shop.config())
    shop.still_answerable()


@pytest.mark.parametrize("answer", [None, {}, {"0" * 32: "approve"}])
def test_an_empty_or_foreign_answer_is_refused(shop: Any, answer: Any) -> None:
    shop.open()
    with pytest.raises(InvalidDecision, match="apr_"):
        shop.graph.invoke(Command(resume=answer), shop.config())
    shop.still_answerable()


def test_stock_answers_none_with_a_bug(stock: Stock) -> None:
    graph, config = stock.paused()
    with pytest.raises(UnboundLocalError):
        graph.invoke(Command(resume=None), config)


def test_a_callers_pauses_add_to_the_gate(stock: Stock, shop: Any) -> None:
    graph, config = stock.graph(asks=False), stock.config()
    graph.invoke({"goal": "sell"}, config, interrupt_before=["finalizer"])
    assert stock.booked == ["nobody decided"]

    result = shop.graph.invoke({"goal": "sell"}, shop.config(), interrupt_before=["finalizer"])
    assert result["status"] == "blocked"
    assert shop.graph.get_state(shop.config()).interrupts == ()  # our pause before the node, not the node's own
    result = shop.graph.invoke(
        Command(resume=result["approval"].approve(by="alice")), shop.config(), interrupt_before=["finalizer"]
    )
    assert (result["status"], shop.sold()) == ("running", ["ada:100"])
    assert shop.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert shop.sold() == ["ada:100"]


def test_pausing_everywhere_still_ends_at_the_gate(shop: Any) -> None:
    result = shop.graph.invoke({"goal": "sell"}, shop.config(), interrupt_before="*")
    for _ in range(20):
        if result.get("status") == "blocked":
            break
        result = shop.graph.invoke(None, shop.config(), interrupt_before="*")
    for _ in range(3):
        assert shop.graph.invoke(None, shop.config(), interrupt_before="*")["status"] == "blocked"
    shop.still_answerable()


def test_a_constant_run_id_is_no_answer(stock: Stock, shop: Any, owner: Any) -> None:
    graph, config = stock.graph(asks=False), {**stock.config(), "metadata": {"run_id": "always"}}
    graph.invoke({"goal": "sell"}, config)
    assert stock.booked == []
    graph.invoke({"goal": "something else"}, config)
    assert stock.booked == ["nobody decided"]
    assert graph.get_state(config).values["goal"] == "sell"

    same = {**shop.config(), "metadata": {"run_id": "always"}, "run_id": "00000000-0000-0000-0000-000000000001"}
    shop.graph.invoke({"goal": "sell"}, same)
    assert shop.graph.invoke({"goal": "sell"}, same)["status"] == "blocked"
    with pytest.raises(RunExists, match="belongs to another run"):
        shop.graph.invoke({"goal": "sell twice"}, same)
    entries = owner.rows(
        "SELECT DISTINCT metadata ->> 'run_id' AS entry FROM checkpoints WHERE thread_id = %s", shop.run()
    )
    assert len({row["entry"] for row in entries} - {None, "always"}) == len(entries)
    shop.still_answerable()


# addressing the past


def _old(graph: Any, config: Any, *, next_node: str) -> Any:
    return next(found.config for found in graph.get_state_history(config) if found.next == (next_node,))


def _ways(asked: ApprovalRequest) -> list[Any]:
    return [None, {"goal": "sell"}, Command(resume=asked.approve(by="alice"))]


def test_the_past_of_a_run_cannot_be_gone_on_from(stock: Stock, shop: Any) -> None:
    graph, config = stock.paused()
    graph.invoke(Command(resume="approve"), config)
    graph.invoke(None, _old(graph, config, next_node="executor"))
    assert stock.booked == ["approve"] * 2

    asked = shop.open()
    past = [found.config for found in shop.graph.get_state_history(shop.config())]
    for config in past:
        for given in _ways(asked):
            with pytest.raises(DoorClosed, match="past"):
                shop.graph.invoke(given, config)
    shop.still_answerable()
    with pytest.raises(DoorClosed, match="past"):
        shop.graph.invoke(None, past[0])
    assert shop.sold() == ["ada:100"]


def test_a_checkpoint_map_is_no_back_door_into_the_past(stock: Stock, shop: Any) -> None:
    graph, config = stock.paused(asks=False)
    graph.invoke(None, config)
    old = _old(graph, config, next_node="executor")["configurable"]["checkpoint_id"]
    graph.invoke(None, stock.config() | {"configurable": {"thread_id": stock.thread, "checkpoint_map": {"": old}}})

    asked = shop.open()
    past = _old(shop.graph, shop.config(), next_node="policy_gate")["configurable"]["checkpoint_id"]
    for given in _ways(asked):
        with pytest.raises(DoorClosed, match="checkpoint_map"):
            shop.graph.invoke(given, shop.config(checkpoint_map={"": past}, checkpoint_ns=""))
    shop.still_answerable()


# the engine's own keys


def test_another_checkpointer_in_the_config_is_refused(stock: Stock, shop: Any) -> None:
    graph, config = stock.paused(asks=False)
    config["configurable"]["__pregel_checkpointer"] = InMemorySaver()
    graph.invoke({"goal": "sell"}, config)
    graph.invoke(None, config)
    assert stock.booked == ["nobody decided"]
    assert graph.get_state(stock.config()).next == ("approval",)

    shop.open()
    for saver in (InMemorySaver(), stock.saver, shop.graph.saver, None):
        with pytest.raises(DoorClosed, match="checkpointer"):
            shop.graph.invoke(None, shop.config(__pregel_checkpointer=saver))
    with pytest.raises(DoorClosed, match="checkpointer"):
        shop.graph.with_config(configurable={"__pregel_checkpointer": InMemorySaver()}).invoke(None, shop.config())
    shop.still_answerable()


def test_another_checkpointer_on_the_graph_is_refused(shop: Any) -> None:
    shop.open()
    with pytest.raises(DoorClosed, match="checkpointer"):
        shop.graph.copy({"checkpointer": InMemorySaver()}).invoke({"goal": "sell"}, shop.config())
    shop.still_answerable()


@pytest.mark.parametrize(
    "key",
    [
        "__pregel_resuming",
        "__pregel_strict_resume",
        "__pregel_resume_map",
        "__pregel_durability",
        "__pregel_task_id",
        "__pregel_send",
        "__pregel_read",
        "__pregel_replay_state",
        "__pregel_scratchpad",
        "__pregel_runtime",
        "__gatepost_session",
        "__made_up",
    ],
)
def test_keys_of_the_engine_are_refused(shop: Any, key: str) -> None:
    shop.open()
    with pytest.raises(DoorClosed, match=key):
        shop.graph.invoke(None, shop.config(**{key: True}))
    shop.still_answerable()


def test_a_namespace_is_refused(shop: Any) -> None:
    shop.open()
    with pytest.raises(DoorClosed, match="checkpoint_ns"):
        shop.graph.invoke(None, shop.config(checkpoint_ns="elsewhere"))
    shop.still_answerable()


@pytest.mark.parametrize("durability", ["async", "exit"])
def test_less_than_durable_is_refused(stock: Stock, shop: Any, durability: Any, owner: Any) -> None:
    seen: list[int] = []
    stock.inside = lambda: seen.append(owner.counts(stock.thread)["checkpoints"])
    stock.graph(asks=False).invoke({"goal": "sell"}, stock.config(), durability="exit", interrupt_before=[])
    stock.graph(asks=False).invoke(None, stock.config(), durability="exit")
    assert seen == [1]  # of the three supersteps before the effect

    shop.open()
    with pytest.raises(DoorClosed, match="sync"):
        shop.graph.invoke(None, shop.config(), durability=durability)
    with pytest.raises(DoorClosed, match="sync"):
        list(shop.graph.stream({"goal": "sell"}, shop.config("r2"), durability=durability))
    shop.still_answerable()


def test_the_old_name_of_durability_is_refused_as_well(shop: Any) -> None:
    shop.open()
    with pytest.raises(DoorClosed, match="checkpoint_during"):
        shop.graph.invoke(None, shop.config(), checkpoint_during=False)
    shop.still_answerable()


# answers that are none


def test_an_answer_belongs_to_its_run(shop: Any) -> None:
    other, mine = shop.open("r2"), shop.open("r1")
    with pytest.raises(DoorClosed, match=f"{other.id} belongs to run {shop.run('r2')}"):
        shop.answer(other.approve(by="alice"), "r1")
    assert [asked.id for asked in shop.asks("r2")] == [other.id]
    assert [asked.id for asked in shop.asks("r1")] == [mine.id]
    shop.still_answerable("r1")


def test_an_unknown_approval_is_named(shop: Any) -> None:
    asked = shop.open()
    with pytest.raises(UnknownApproval, match="apr_nobody"):
        shop.answer({**asked.approve(by="alice"), "approval": "apr_nobody"})
    shop.still_answerable()


def test_an_unknown_run_is_named(shop: Any) -> None:
    asked = shop.open()
    with pytest.raises(UnknownRun, match="r404"):
        shop.graph.invoke(None, shop.config("r404"))
    with pytest.raises(DoorClosed, match=f"belongs to run {shop.run('r1')}"):
        shop.answer(asked.approve(by="alice"), "r404")
    with pytest.raises(InvalidValue, match="which run"):
        shop.graph.invoke(None, {})
    shop.still_answerable()


MALFORMED: dict[str, dict[str, Any]] = {
    "an unknown type": {"type": "approved"},
    "a type of another type": {"type": ["approve"]},
    "approved:true": {"approved": True},
    "a digest": {"digest": "0" * 64},
    "a tenant": {"tenant": "local"},
    "a schema version": {"schema_version": 1},
    "an edit without arguments": {"type": "edit"},
    "arguments without an edit": {"args": {"customer": "eve", "cents": 1}},
    "arguments that are none": {"type": "edit", "args": [1, 2]},
    "an edit that lacks one": {"type": "edit", "args": {"customer": "eve"}},
    "an edit with one too many": {"type": "edit", "args": {"customer": "eve", "cents": 1, "to": "eve"}},
    "an edit of the wrong type": {"type": "edit", "args": {"customer": "eve", "cents": "a lot"}},
    "a response without text": {"type": "respond"},
    "a response of spaces": {"type": "respond", "comment": "  \n"},
    "nobody": {"by": ""},
    "nobody in spaces": {"by": "   "},
    "somebody who is None": {"by": None},
    "no type": {"type": None},
    "a NUL in the comment": {"comment": "a\x00b"},
    "a NUL in the name": {"by": "ali\x00ce"},
    "a surrogate in the comment": {"comment": "\ud800"},
    "NaN in an edit": {"type": "edit", "args": {"customer": "eve", "cents": float("nan")}},
    "a NUL in the address": {"approval": "apr_\x00"},
    "an address that is none": {"approval": ["apr_1"]},
    "an address of None": {"approval": None},
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_answer_is_refused(shop: Any, change: dict[str, Any]) -> None:
    asked = shop.open()
    with pytest.raises(InvalidDecision):
        shop.answer({**asked.approve(by="alice"), **change})
    shop.still_answerable()


@pytest.mark.parametrize("change", [{"by": " "}, {"comment": "\x00"}, {"type": "edit"}, {"type": "respond"}])
def test_a_malformed_answer_is_refused_also_as_an_object(shop: Any, change: dict[str, Any]) -> None:
    asked = shop.open()
    decision = Decision(**{"approval": asked.id, "type": "approve", "by": "alice", **change})
    with pytest.raises(InvalidDecision):
        shop.graph.invoke(Command(resume=decision), shop.config())
    with pytest.raises(InvalidDecision):
        shop.graph.decide(decision)
    shop.still_answerable()


# an answer counts once


def test_a_duplicate_answer_does_not_answer_the_next_question(stock: Stock, shop: Any) -> None:
    builder = StateGraph(Sale)
    builder.add_node("first", lambda state: {"said": [interrupt("first?")]})
    builder.add_node("second", lambda state: {"said": [interrupt("second?")]})
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    graph = builder.compile(checkpointer=stock.saver)
    graph.invoke({"goal": "sell"}, stock.config())
    for _ in range(2):
        graph.invoke(Command(resume="approve"), stock.config())
    assert graph.get_state(stock.config()).values["said"] == ["approve", "approve"]

    asked = shop.open(goal="sell twice")
    first = shop.answer(asked.approve(by="alice"))
    again = shop.answer(asked.approve(by="alice"))
    assert (first["decision"]["repeated"], again["decision"]["repeated"]) == (False, True)
    assert first["approval"].id == again["approval"].id != asked.id
    assert shop.sold() == ["ada:1"]
    assert shop.answer(again["approval"].approve(by="alice"))["status"] == "succeeded"
    assert shop.sold() == ["ada:1", "bob:2"]


def test_a_stale_resume_does_not_answer_the_next_question(stock: Stock, shop: Any) -> None:
    def both(_: Sale) -> dict[str, Any]:
        return {"said": [interrupt("first?"), interrupt("second?")]}

    builder = StateGraph(Sale)
    node: Any = both
    builder.add_node("both", node)
    builder.add_edge(START, "both")
    graph = builder.compile(checkpointer=stock.saver)
    graph.invoke({"goal": "sell"}, stock.config())
    graph.invoke(Command(resume="approve"), stock.config())
    graph.invoke(None, stock.config())
    assert graph.get_state(stock.config()).values["said"] == ["approve", "approve"]

    asked = shop.open(goal="sell to two")
    shop.answer(asked.approve(by="alice"))
    for _ in range(3):
        assert shop.graph.invoke(None, shop.config())["status"] == "blocked"
    assert shop.sold() == ["ada:1"]
    (other,) = shop.asks()
    assert shop.answer(other.reject(by="alice"))["status"] == "rejected"
    assert shop.sold() == ["ada:1"]


def test_a_resume_row_planted_in_the_checkpoint_answers_nothing(stock: Stock, shop: Any) -> None:
    """What stock LangGraph leaves behind, as the owner of the tables might write it."""
    asked = shop.open()
    shop.graph.invoke(None, shop.config())
    forged: Any = Command(resume={"type": "approve", "approval": asked.id, "by": "mallory"})
    with pytest.raises(NotHeld):
        stock.forge(shop, lambda raw: raw.ainvoke(forged, shop.config()))
    with pytest.raises(InvalidDecision, match="no answer is recorded"):
        shop.graph.invoke(None, shop.config())
    shop.still_answerable()


def test_two_answers_at_once_run_the_step_once(stock: Stock, shop: Any) -> None:
    graph, config = stock.paused()
    meeting = threading.Barrier(2)
    stock.inside = lambda: meeting.wait(timeout=20)
    with ThreadPoolExecutor(2) as threads:
        for running in [threads.submit(graph.invoke, Command(resume=word), config) for word in ("yes", "no")]:
            running.exception()
    assert len(stock.booked) == 2

    asked = shop.open()
    start = threading.Barrier(4)

    def answer(decision: dict[str, Any]) -> Any:
        start.wait(timeout=20)
        try:
            return shop.answer(decision)
        except (AlreadyDecided, RunOwned) as refusal:
            return refusal

    words = [asked.approve(by="alice"), asked.approve(by="alice"), asked.approve(by="bob"), asked.approve(by="alice")]
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(answer, words))
    assert shop.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert shop.sold() == ["ada:100"]
    accepted = [one["decision"] for one in told if isinstance(one, dict)]
    refused = [one for one in told if isinstance(one, AlreadyDecided)]
    assert len({(one["by"], one["at"]) for one in accepted}) == 1
    assert sum(not one["repeated"] for one in accepted) == 1
    assert len(refused) in (1, 3)


# changing the state


def test_the_state_cannot_be_written(stock: Stock, shop: Any) -> None:
    graph, config = stock.paused()
    graph.update_state(config, {"decision": "approve, says the caller"}, as_node="approval")
    graph.invoke(None, config)
    assert stock.booked == ["approve, says the caller"]

    shop.open()
    with pytest.raises(DoorClosed, match="update_state"):
        shop.graph.update_state(shop.config(), {"approvals": None}, as_node="approval")
    with pytest.raises(DoorClosed, match="update_state"):
        shop.graph.bulk_update_state(shop.config(), [])
    with pytest.raises(DoorClosed, match="update_state"):
        asyncio.run(shop.graph.aupdate_state(shop.config(), {"approvals": None}, as_node="approval"))
    with pytest.raises(DoorClosed, match="update_state"):
        asyncio.run(shop.graph.abulk_update_state(shop.config(), []))
    shop.still_answerable()


@pytest.mark.parametrize("key", ["approvals", "frontier", "status", "risk", "signals", "ending", "run_id", "tenant"])
def test_a_caller_sets_a_goal_and_an_input_and_nothing_else(shop: Any, key: str, owner: Any) -> None:
    with pytest.raises(DoorClosed, match=key):
        shop.graph.invoke({"goal": "sell", key: {}}, shop.config())
    assert owner.rows("SELECT * FROM gatepost.run WHERE run_id = %s", shop.run()) == []
    shop.open()
    shop.still_answerable()


# another graph


async def _invoke(graph: Any, *, given: Any, config: Any) -> Any:
    return await graph.ainvoke(given, config)


@pytest.mark.parametrize("where", ["r1", "r2"])
def test_a_graph_compiled_elsewhere_runs_nothing(stock: Stock, shop: Any, where: str) -> None:
    shop.open("r1")
    for given in ({"goal": "sell"}, {"goal": "sell", "approvals": {}}):
        with pytest.raises(NotHeld, match="without the run's lease"):
            stock.forge(shop, partial(_invoke, given=given, config=shop.config(where)))
        for saver in (shop.graph.saver, InMemorySaver()):
            raw = shop.graph.builder.compile(checkpointer=saver)
            with pytest.raises(NotHeld, match="without the run's lease"):
                shop.graph.saver.bridge.run(raw.ainvoke(given, shop.config(where)))
    shop.still_answerable("r1")


def test_another_graph_cannot_write_to_the_thread_of_a_run(shop: Any) -> None:
    shop.open()
    other = StateGraph(Sale)
    other.add_node("look", lambda state: {"said": ["other"]})
    other.add_edge(START, "look")
    foreign = other.compile(checkpointer=shop.graph.saver)
    with pytest.raises(NotHeld, match="thread_id of its own"):
        foreign.invoke({"goal": "sell"}, shop.config())
    with pytest.raises(NotHeld, match="thread_id of its own"):
        foreign.update_state(shop.config(), {"said": ["mallory"]}, as_node="look")
    assert foreign.invoke({"goal": "sell"}, shop.config("its-own"))["said"] == ["other"]
    shop.still_answerable()


FORGED = {
    "status": "running",
    "step": "charge",
    "key": "eff_forged",
    "fingerprint": "forged",
    "approval": None,
    "now": "2026-01-01T00:00:00+00:00",
    "seed": 1,
}


FORGERIES: dict[str, tuple[dict[str, Any], str]] = {
    "a dispatch": ({"frontier": {"charge": FORGED}}, "policy_gate"),
    "a dispatch, and no question": ({"frontier": {"charge": FORGED}, "approvals": {"asked": None}}, "policy_gate"),
    "a dispatch of what ran": ({"frontier": {"look": {**FORGED, "step": "look"}}}, "policy_gate"),
    "a dispatch of what nobody planned": ({"frontier": {"gift": {**FORGED, "step": "gift"}}}, "policy_gate"),
    "a dispatch that came back": ({"frontier": {"charge": {**FORGED, "status": "succeeded"}}}, "executor"),
    "an approval": ({"signals": [{"kind": "answer", "approval": "asked", "about": "action", "step": "charge",
                                  "status": "decided", "decision": {"approval": "asked", "type": "approve",
                                                                    "by": "mallory"}}]}, "approval"),
    "no question": ({"frontier": {"charge": None}, "approvals": {"asked": None}}, "policy_gate"),
    "a plan": ({"signals": [{"kind": "planned"}]}, "planner"),
    "a wish for a plan": ({"planning": {"reason": "mallory wants it"}}, "policy_gate"),
}  # fmt: skip


async def _forged(raw: Any, *, config: Any, state: dict[str, Any], as_node: str) -> Any:
    """As the node itself would leave it: with where it leads."""
    leads: dict[str, Any] = {"policy_gate": from_gate, "executor": from_executor}
    if as_node in leads:
        seen = (await raw.aget_state(config)).values
        return await raw.aupdate_state(config, Command(update=state, goto=leads[as_node](seen, state)), as_node=as_node)
    return await raw.aupdate_state(config, state, as_node=as_node)


@pytest.mark.parametrize(("state", "as_node"), FORGERIES.values(), ids=FORGERIES.keys())
def test_a_state_forged_in_the_tables_runs_nothing(
    stock: Stock, shop: Any, state: dict[str, Any], as_node: str
) -> None:
    """The owner of the tables can write any checkpoint; the executor believes the rows, and the run goes on."""
    asked = shop.open()
    forged = json.loads(json.dumps(state).replace('"asked"', f'"{asked.id}"'))
    stock.forge(shop, partial(_forged, config=shop.config(), state=forged, as_node=as_node))
    result = shop.graph.invoke(None, {**shop.config(), "recursion_limit": 30})
    assert shop.booked == []
    if result["status"] == "blocked":
        shop.still_answerable()
    else:
        assert result["status"] in ("failed", "stranded", "succeeded")
        assert result["outcome"]["reason"] or result["status"] == "succeeded"


def test_a_true_dispatch_given_twice_runs_nothing_twice(stock: Stock, shop: Any) -> None:
    """The gate's own words about a step that ran, put back into the frontier."""
    shop.open()
    record = shop.graph.get_state(shop.config()).values["steps"]["look"]
    true = {name: record[name] for name in ("step", "key", "fingerprint", "now")}
    forged = {"frontier": {"look": {**true, "status": "running", "approval": None, "seed": 1}}}
    stock.forge(shop, partial(_forged, config=shop.config(), state=forged, as_node="policy_gate"))
    shop.graph.invoke(None, {**shop.config(), "recursion_limit": 30})
    assert shop.looked == ["ada"]
    shop.still_answerable()


@pytest.mark.parametrize("name", ["executor", "compensator", "finalizer", "approval", "planner", "policy_gate"])
def test_a_node_by_itself_runs_nothing(shop: Any, name: str) -> None:
    shop.open()
    task = {**FORGED, "approvals": {}, "ending": {"status": "succeeded"}}
    with pytest.raises(NotHeld):
        asyncio.run(shop.graph.nodes[name].ainvoke(task, shop.config()))
    shop.still_answerable()


def test_use_as_a_subgraph_is_refused(stock: Stock, shop: Any) -> None:
    builder = StateGraph(Goal)
    builder.add_node("inner", shop.graph)
    builder.add_edge(START, "inner")
    with pytest.raises(DoorClosed, match="call it from a node with a thread_id of its own"):
        builder.compile(checkpointer=stock.saver).invoke({"goal": "sell"}, shop.config("outer"))
    with pytest.raises(DoorClosed):
        builder.compile().invoke({"goal": "sell"})
    shop.open()
    shop.still_answerable()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_called_from_a_node_of_another_graph_it_is_a_run_of_its_own(stock: Stock, shop: Any, kind: str) -> None:
    def plain(_: Sale) -> dict[str, Any]:
        return {"decision": shop.graph.invoke({"goal": "sell"}, shop.config("inner"))["status"]}

    async def awaited(_: Sale) -> dict[str, Any]:
        return {"decision": (await shop.graph.ainvoke({"goal": "sell"}, shop.config("inner")))["status"]}

    builder = StateGraph(Sale)
    calls: Any = plain if kind == "sync" else awaited
    builder.add_node("calls", calls)
    builder.add_edge(START, "calls")
    outer = builder.compile(checkpointer=InMemorySaver())
    result = asyncio.run(outer.ainvoke({"goal": "sell"}, shop.config("outer")))
    assert result["decision"] == "blocked"
    shop.still_answerable("inner")


# other ways to call it


def _batch(graph: GatepostGraph, given: Any, config: Any) -> Any:
    return graph.batch([given], [config])


def _abatch(graph: GatepostGraph, given: Any, config: Any) -> Any:
    return asyncio.run(graph.abatch([given], [config]))


def _stream(graph: GatepostGraph, given: Any, config: Any) -> Any:
    return list(graph.stream(given, config, stream_mode="updates"))


def _events_v2(graph: GatepostGraph, given: Any, config: Any) -> Any:
    async def collect() -> list[Any]:
        return [event async for event in graph.astream_events(given, config, version="v2")]

    return asyncio.run(collect())


def _events_v3(graph: GatepostGraph, given: Any, config: Any) -> Any:
    return graph.stream_events(given, config, version="v3").output


def _aevents_v3(graph: GatepostGraph, given: Any, config: Any) -> Any:
    async def collect() -> Any:
        run = await graph.astream_events(given, config, version="v3")
        return await run.output()

    return asyncio.run(collect())


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
@pytest.mark.parametrize("call", [_batch, _abatch, _stream, _events_v2, _events_v3, _aevents_v3])
def test_every_way_to_call_it_leads_through_the_door(shop: Any, call: Callable[..., Any]) -> None:
    with pytest.raises(DoorClosed, match="frontier"):
        call(shop.graph, {"goal": "sell", "frontier": {}}, shop.config())
    call(shop.graph, {"goal": "sell"}, shop.config())
    with pytest.raises(DoorClosed, match="goto"):
        call(shop.graph, Command(goto="executor"), shop.config())
    with pytest.raises(InvalidDecision):
        call(shop.graph, Command(resume="approve"), shop.config())
    call(shop.graph, None, shop.config())
    assert shop.booked == []
    (asked,) = shop.asks()
    call(shop.graph, Command(resume=asked.approve(by="alice")), shop.config())
    assert shop.sold() == ["ada:100"]
    assert shop.graph.get_state(shop.config()).values["status"] == "succeeded"
