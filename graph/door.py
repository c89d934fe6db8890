"""The doors: what may be asked of the graph, checked before the engine hears of it.

LangGraph leaves ways round a gate open (each measured; `tests/integration/test_doors.py` shows the
stock behaviour beside ours). They are closed here and nowhere else: `admit()` turns a caller's
input and config into an `Entry`, or refuses.

Invariant: what reaches the engine is a start, a plain resume, or a resume after a decision that
was committed; never a caller's own resume value, goto or update.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from gatepost.state.answer_shapes import Answers, read
from gatepost.state.approval import Decision
from gatepost.state.errors import DoorClosed, InvalidValue
from gatepost.state.ids import RunId, new_run_id, run_id_of
from gatepost.state.values import storable, storable_text

GATES = ("approval",)
"""Nodes the compiled graph pauses before."""
_STREAMING = "__pregel_stream_messages_v2"
"""The one internal key that is let in: `stream_events` v3 sets it, and it only shapes what is streamed."""
_INPUT = frozenset({"goal", "input"})


@dataclass(frozen=True, slots=True)
class Start:
    """A goal and its input."""

    goal: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on from where the run is."""


Asked: TypeAlias = Start | Continue | Decision | Answers


@dataclass(frozen=True, slots=True)
class Entry:
    """What a caller asks for, checked."""

    run_id: RunId
    asked: Asked
    config: RunnableConfig
    """The caller's config with a fresh run_id of ours; the session is added when the run is held."""


def admit(given: object, config: RunnableConfig) -> Entry:
    """Check one call.

    Args:
        given: the graph's input: a goal, None, or `Command(resume=<decision>)`.
        config: the caller's config, merged with the graph's own.

    Raises:
        DoorClosed: a way round the gate, or one that would wedge the run; says what to do instead.
        InvalidDecision: a resume that is an answer in none of the shapes of `state.answer_shapes`.
        InvalidValue: a value that cannot be stored.
    """
    asked = _asked(given)
    place = dict(config.get("configurable") or {})
    _closed(place)
    if "thread_id" in place:
        run_id = run_id_of(place["thread_id"])
    elif isinstance(asked, Start):
        run_id = new_run_id()
    else:
        raise InvalidValue("which run? Pass its id: config={'configurable': {'thread_id': …}}.")
    return Entry(run_id=run_id, asked=asked, config=_own(config, run_id, place))


def gates(callers: Literal["*"] | Sequence[str] | None) -> Literal["*"] | list[str]:
    """A caller's `interrupt_before` adds to ours and never replaces it."""
    if callers == "*":
        return "*"
    return list(dict.fromkeys([*GATES, *(callers or ())]))


def durable(callers: str | None) -> None:
    """Every superstep is durable before the next one starts; a caller cannot ask for less.

    Raises:
        DoorClosed: another durability than `sync`.
    """
    if callers not in (None, "sync"):
        raise DoorClosed(
            f"durability={callers!r} would let steps run before what led to them is written. "
            "Leave it out: it is always 'sync'."
        )


def _asked(given: object) -> Asked:
    if given is None:
        return Continue()
    if isinstance(given, Command):
        return _command(given)
    if not isinstance(given, Mapping):
        raise InvalidValue(f"the input is a {type(given).__name__}. Start a run with {{'goal': '…'}}.")
    if extra := sorted(map(str, given.keys() - _INPUT)):
        raise DoorClosed(
            f"a caller cannot set {', '.join(extra)}: a run starts with a goal and an input and owns the rest of its "
            "state. Put your data under 'input'."
        )
    goal = storable_text(given.get("goal"), where="the goal")
    data = {} if (data := given.get("input")) is None else data
    storable(data, where="the input")
    if not isinstance(data, dict):
        raise InvalidValue(f"the input is a {type(data).__name__}, not a dict.")
    return Start(goal=goal, input=data)


def _command(command: Command[Any]) -> Decision | Answers:
    if command.goto:
        raise DoorClosed(
            f"Command(goto={command.goto!r}) would run a node that the gate did not send for. "
            "The gate decides what runs; answer its approval, or hold the run."
        )
    if command.update:
        raise DoorClosed(
            "Command(update=…) would change the run's state past the gate. Answer the approval with an edit: "
            "Command(resume=result['approval'].edit(by=…, <argument>=<value>))."
        )
    if command.graph is not None:
        raise DoorClosed("Command(graph=…) addresses another graph; a Gatepost graph takes only its own answers.")
    answers = read(command.resume)
    return answers.complete[0] if len(answers.complete) == 1 else answers


def _closed(place: Mapping[str, Any]) -> None:
    if "__pregel_checkpointer" in place:
        raise DoorClosed(
            "another checkpointer in the config would run effects that our ledger does not see. "
            "Call the graph with its own; inside another graph, call it from a node with a thread_id of its own."
        )
    if place.get("checkpoint_id"):
        raise DoorClosed(
            f"checkpoint_id {place['checkpoint_id']!r} addresses the past of a live run: going on from there would do "
            "again what is done. Read it with get_state; leave checkpoint_id out to go on."
        )
    if place.get("checkpoint_ns"):
        raise DoorClosed("a Gatepost graph has no subgraph namespaces; leave checkpoint_ns out.")
    if place.get("checkpoint_map"):
        raise DoorClosed("checkpoint_map addresses the past, as checkpoint_id does; leave it out to go on.")
    if private := sorted(name for name in map(str, place) if name.startswith("__") and name != _STREAMING):
        raise DoorClosed(f"{', '.join(private)} is internal to the engine; leave it out of the config.")


def _own(config: RunnableConfig, run_id: RunId, place: Mapping[str, Any]) -> RunnableConfig:
    """The config that the engine gets: our own run_id, because an equal one makes LangGraph resume past a gate."""
    storable({name: value if _primitive(value) else None for name, value in place.items()}, where="configurable")
    metadata = {**(config.get("metadata") or {}), "run_id": str(uuid.uuid4())}
    noted = {name: value if _primitive(value) else None for name, value in metadata.items()}
    storable(noted, where="the config's metadata")
    return {**config, "metadata": metadata, "configurable": {**place, "thread_id": run_id}}


def _primitive(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
