"""Tries every way round the gate that a call's input and config can hold; nothing here reaches an engine."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from gatepost import ApprovalRequest, Decision, RunContext
from gatepost.checkpointing.session import SESSION_KEY
from gatepost.graph.door import GATES, Continue, Start, admit, durable, gates
from gatepost.state.errors import CallerMistake, DoorClosed, InvalidDecision, InvalidValue

ASKED = ApprovalRequest(id="apr_1", run="r1", step="s", tool="t", args={"n": 1}, effect="write", digest="00")
ANSWER = ASKED.approve(by="alice")
GOAL = {"goal": "sell"}


def config(**place: Any) -> RunnableConfig:
    return {"configurable": {"thread_id": "r1", **place}}


INPUTS: list[Any] = [
    pytest.param({"goal": "x", "frontier": {}}, DoorClosed, "cannot set frontier", "under 'input'", id="state"),
    pytest.param(
        {"goal": "x", "approvals": {}, "ending": {}}, DoorClosed, "approvals, ending", "'input'", id="more state"
    ),
    pytest.param({"goal": "x", 7: 1}, DoorClosed, "cannot set 7", "'input'", id="odd key"),
    pytest.param({}, InvalidValue, "the goal is NoneType", "Send a str", id="no goal"),
    pytest.param({"goal": ""}, InvalidValue, "the goal is empty", "Say something", id="empty goal"),
    pytest.param({"goal": "x" * 10_001}, InvalidValue, "at most 10000", "Shorten it", id="endless goal"),
    pytest.param({"goal": "a\x00"}, InvalidValue, "the goal contains a NUL", "remove it", id="NUL in the goal"),
    pytest.param({"goal": "x", "input": {"n": 2**65}}, InvalidValue, "the input at '/n'", "string", id="big integer"),
    pytest.param({"goal": "x", "input": {"d": {1}}}, InvalidValue, "is a set", "send dict", id="input that is no data"),
    pytest.param({"goal": "x", "input": [1]}, InvalidValue, "is a list, not a dict", "", id="input that is no object"),
    pytest.param("sell", InvalidValue, "is a str", "{'goal': '…'}", id="a mere text"),
    pytest.param([GOAL], InvalidValue, "is a list", "{'goal': '…'}", id="a list"),
    pytest.param(
        Command(goto="executor"), DoorClosed, "that the gate did not send for", "answer its approval", id="goto"
    ),
    pytest.param(Command(goto="x", resume=ANSWER), DoorClosed, "did not send for", "answer", id="goto with an answer"),
    pytest.param(Command(update={"x": 1}), DoorClosed, "past the gate", ".edit(by=…", id="update"),
    pytest.param(Command(update={"x": 1}, resume=ANSWER), DoorClosed, "past the gate", ".edit", id="update and answer"),
    pytest.param(Command(graph=Command.PARENT, resume=ANSWER), DoorClosed, "another graph", "its own", id="parent"),
    pytest.param(Command(resume=True), InvalidDecision, "addressed to no approval", "approve(by=", id="mere yes"),
    pytest.param(Command(resume="approve"), InvalidDecision, "addressed to no", "approve(by=", id="mere word"),
    pytest.param(Command(), InvalidDecision, "addressed to no approval", "approve(by=", id="empty command"),
    pytest.param(Command(resume={}), InvalidDecision, "names no approval", "approve(by=", id="empty answer"),
    pytest.param(
        Command(resume={"a" * 32: ANSWER}), InvalidDecision, "names no approval", "approve", id="by interrupt"
    ),
]
CONFIGS: list[Any] = [
    pytest.param({"checkpoint_id": "1ef"}, DoorClosed, "the past of a live run", "leave checkpoint_id out", id="past"),
    pytest.param(
        {"checkpoint_ns": "x|y"}, DoorClosed, "no subgraph namespaces", "leave checkpoint_ns out", id="subgraph"
    ),
    pytest.param({"__pregel_checkpointer": object()}, DoorClosed, "another checkpointer", "its own", id="saver"),
    pytest.param(
        {"__pregel_resuming": True}, DoorClosed, "__pregel_resuming is internal", "leave it out", id="resuming"
    ),
    pytest.param({"__pregel_task_id": "x"}, DoorClosed, "is internal to the engine", "leave it out", id="task"),
    pytest.param({SESSION_KEY: object()}, DoorClosed, "is internal to the engine", "leave it out", id="a session"),
    pytest.param({"thread_id": ""}, InvalidValue, "the run id '' is not usable", "leave it out", id="no id"),
    pytest.param({"thread_id": 7}, InvalidValue, "the run id 7", "Use 1 to 120 letters", id="number"),
    pytest.param({"thread_id": "a/b"}, InvalidValue, "the run id 'a/b'", "Use 1 to 120", id="slash"),
    pytest.param({"thread_id": "x\x00"}, InvalidValue, "is not usable", "Use 1 to 120", id="NUL in the id"),
    pytest.param({"user": "\x00"}, InvalidValue, "configurable at '/user' contains a NUL", "remove it", id="NUL"),
    pytest.param({"n": 2**70}, InvalidValue, "configurable at '/n'", "as a string", id="big integer"),
]


@pytest.mark.parametrize(("given", "error", "cause", "instead"), INPUTS)
def test_input_that_would_go_round_the_gate_is_refused_with_the_way_to_do_it(
    given: object, error: type[CallerMistake], cause: str, instead: str
) -> None:
    with pytest.raises(error) as refused:
        admit(given, config())
    assert cause in str(refused.value)
    assert instead in str(refused.value)


@pytest.mark.parametrize(("place", "error", "cause", "instead"), CONFIGS)
@pytest.mark.parametrize("given", [GOAL, None, Command(resume=ANSWER)], ids=["start", "continue", "answer"])
def test_config_that_would_go_round_the_gate_is_refused_with_the_way_to_do_it(
    given: object, place: dict[str, Any], error: type[CallerMistake], cause: str, instead: str
) -> None:
    with pytest.raises(error) as refused:
        admit(given, config(**place))
    assert cause in str(refused.value)
    assert instead in str(refused.value)


def test_metadata_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InvalidValue, match="the config's metadata at '/who' contains a NUL"):
        admit(GOAL, {**config(), "metadata": {"who": "\x00"}})


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        pytest.param(GOAL, Start("sell", {}), id="goal"),
        pytest.param({**GOAL, "input": {"n": 1}}, Start("sell", {"n": 1}), id="goal and input"),
        pytest.param({**GOAL, "input": None}, Start("sell", {}), id="no input"),
        pytest.param(None, Continue(), id="go on"),
        pytest.param(Command(resume=ANSWER), Decision(approval="apr_1", type="approve", by="alice"), id="answer"),
        pytest.param(
            Command(resume=Decision(approval="apr_1", type="reject", by="bob")),
            Decision(approval="apr_1", type="reject", by="bob"),
            id="a decision",
        ),
    ],
)
def test_what_is_left_is_a_start_a_resume_or_a_decision(given: object, asked: object) -> None:
    entry = admit(given, config())
    assert entry.asked == asked
    assert entry.run_id == "r1"


@pytest.mark.parametrize("given", [None, Command(resume=ANSWER)], ids=["continue", "answer"])
def test_only_a_start_may_leave_the_run_id_out(given: object) -> None:
    with pytest.raises(InvalidValue, match=r"which run\? Pass its id: config={'configurable': {'thread_id': …}}"):
        admit(given, {})


def test_a_start_without_an_id_gets_one_of_its_own() -> None:
    first, second = admit(GOAL, {}), admit(GOAL, {})
    assert first.run_id != second.run_id
    assert first.config["configurable"]["thread_id"] == first.run_id


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(config(), id="none given"),
        pytest.param({**config(), "metadata": {"run_id": "mine"}}, id="in the metadata"),
        pytest.param({**config(run_id="mine"), "metadata": {"k": "v"}}, id="in configurable"),
    ],
)
def test_every_entry_has_a_run_id_of_its_own_because_an_equal_one_resumes_past_a_gate(given: RunnableConfig) -> None:
    fresh = [admit(None, given).config["metadata"]["run_id"] for _ in range(3)]
    assert len(set(fresh)) == 3
    assert all(uuid.UUID(run_id).version == 4 for run_id in fresh)


def test_the_callers_config_is_kept_and_not_changed() -> None:
    tags = ["a"]
    given: RunnableConfig = {**config(user="ada", handle=tags), "metadata": {"k": "v"}, "tags": tags}
    before = repr(given)
    made = admit(GOAL, given).config
    assert made["tags"] == tags
    assert made["metadata"]["k"] == "v"
    assert made["configurable"]["user"] == "ada"
    assert made["configurable"]["handle"] is tags
    assert repr(given) == before


@pytest.mark.parametrize(
    ("callers", "stops"),
    [
        (None, ["approval"]),
        ([], ["approval"]),
        (["executor"], ["approval", "executor"]),
        (("approval",), ["approval"]),
        (["planner", "approval", "planner"], ["approval", "planner"]),
        ("*", "*"),
    ],
)
def test_a_callers_pauses_add_to_ours(callers: Any, stops: Any) -> None:
    assert gates(callers) == stops
    assert GATES == ("approval",)


@pytest.mark.parametrize("callers", [None, "sync"])
def test_durability_is_always_sync(callers: str | None) -> None:
    durable(callers)


@pytest.mark.parametrize("callers", ["async", "exit", ""])
def test_less_durability_is_refused(callers: str) -> None:
    with pytest.raises(DoorClosed, match=r"Leave it out: it is always 'sync'"):
        durable(callers)


@pytest.mark.parametrize("who", [{"tenant": ""}, {"tenant": "\x00"}, {"principal": "\ud800"}, {"principal": "x" * 201}])
def test_a_name_that_cannot_be_stored_is_refused_where_it_enters(who: dict[str, str]) -> None:
    with pytest.raises(InvalidValue, match=r"the (tenant|principal)"):
        RunContext(**who)


def test_who_acts_is_the_principal_or_the_user_of_the_system() -> None:
    assert RunContext(principal="alice").actor == "alice"
    assert RunContext().actor
    assert RunContext().tenant == "local"
