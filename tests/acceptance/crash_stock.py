"""The crash matrix on stock LangGraph: the same charge, check and refund as nodes of an ordinary StateGraph with
LangGraph's own PostgresSaver and `durability="sync"`, killed at every instant and gone on with by `invoke(None)`.

The reference that the provider is sent is derived from the thread and the node, as a careful author would do by hand.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any, TypedDict, cast

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from tests.acceptance.crash_workflows import send

from gatepost import EffectContext
from gatepost.state import crash
from gatepost.state.crash import here
from gatepost.testing.forks import forked, side_by_side
from gatepost.testing.killed import numbered

DATABASE = "GATEPOST_DATABASE_URL"


class State(TypedDict, total=False):
    """What the graph carries."""

    receipt: str


class Saver(PostgresSaver):
    """LangGraph's own, with instants before and after it commits a superstep."""

    node = "input"

    def put(self, *args: Any, **options: Any) -> Any:
        """Commit."""
        here(f"put.before.{self.node}")
        stored = super().put(*args, **options)
        here(f"put.after.{self.node}")
        return stored


def _kill_and_finish(kind: str) -> None:
    passed: list[str] = []
    reader, writer = os.pipe()

    def left_alone() -> None:
        fate = crash.Fate(passed=passed)
        crash.meet(fate)
        _drive(kind, f"stock-{kind}")
        os.write(writer, json.dumps(passed).encode())

    forked(left_alone)
    os.close(writer)
    with os.fdopen(reader) as lines:
        instants = numbered(json.loads(lines.read()))
    threads = {f"stock-{kind}-{number}": instant for number, instant in enumerate(instants)}
    for thread, instant in threads.items():
        forked(partial(_die, kind, thread, instant), may_die=True)
    forked(partial(_finish, kind, threads))
    for thread, instant in threads.items():
        told = {"kind": kind, "instant": instant, "references": [f"{thread}:charge", f"{thread}:refund"]}
        print(json.dumps(told))


def _finish(kind: str, threads: Iterable[str]) -> None:
    for thread in threads:
        _drive(kind, thread)


def _die(kind: str, thread: str, instant: str) -> None:
    crash.meet(crash.Fate.at(instant))
    _drive(kind, thread)


def _drive(kind: str, thread: str) -> None:
    """Start the thread, or go on with it, and let the person say yes."""
    config: Any = {"configurable": {"thread_id": thread}}
    with _graph(kind, thread) as graph:
        given: Any = {"receipt": ""} if not graph.get_state(config).created_at else None
        while True:
            graph.invoke(given, config, durability="sync")
            state = graph.get_state(config)
            if not state.next:
                return
            given = Command(resume="yes") if any(task.interrupts for task in state.tasks) else None


@contextmanager
def _graph(kind: str, thread: str) -> Iterator[Any]:
    with Saver.from_conn_string(os.environ[DATABASE]) as opened:
        saver = cast("Saver", opened)
        builder: Any = StateGraph(State)

        def node(name: str, act: Callable[[], None]) -> None:
            def run(_: State) -> State:
                saver.node = name
                here(f"node.before.{name}")
                act()
                here(f"node.after.{name}")
                return {"receipt": name}

            builder.add_node(name, run)

        node("approval", lambda: interrupt("may it be charged?"))
        node("charge", lambda: _act(kind, f"{thread}:charge"))
        node("check", lambda: None)
        node("refund", lambda: _act(kind, f"{thread}:refund"))
        for before, after in pairwise((START, "approval", "charge", "check", "refund", END)):
            builder.add_edge(before, after)
        yield builder.compile(checkpointer=saver)


def _act(kind: str, reference: str) -> None:
    if kind == "transaction":
        here("provider.before")
        with psycopg.connect(os.environ[DATABASE], autocommit=True) as connection:
            connection.execute("INSERT INTO public.booked VALUES (%s)", [reference])
        here("provider.after")
        return
    now = datetime(2026, 1, 1, tzinfo=UTC)
    context = EffectContext(idempotency_key=reference, run_id="", step_id="", tenant="", now=now, seed=0)
    send(context, key=reference if kind == "retry" else None)


if __name__ == "__main__":
    side_by_side([partial(_kill_and_finish, kind) for kind in sys.argv[1:]])
