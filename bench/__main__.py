"""`make bench`: a chain of steps on Gatepost and a chain of nodes on stock LangGraph, side by side.

Both run on one private Postgres with fsync on, turn about, each several times; the median counts.
Times are only good as ratios of one run. An effect step has its intent and result in the ledger as well.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from rich.console import Console
from rich.table import Table

from gatepost import Checkpointer, FixedPlan, Plan, Policy, Step, Workflow, build_graph, tool
from gatepost.checkpointing.address import resolve
from gatepost.checkpointing.embedded import ensure_server, stop_server
from gatepost.checkpointing.runs import Lease
from gatepost.testing.database import Databases

STEPS = 50
ROUNDS = 5
UNATTENDED = Policy('@id("bench") permit (principal, action == Action::"run", resource);', name="bench")


class Cost(NamedTuple):
    """What one run took."""

    supersteps: int
    seconds: float
    wal_bytes: int


class Doc(TypedDict):
    """Stock LangGraph's state: about as much as a step of ours leaves in the channels."""

    n: int
    doc: dict[str, Any]


def main() -> None:
    """Measure and print one table."""
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as folder:
        home = Path(folder) / "home"
        server = ensure_server(home)
        try:
            databases = Databases(resolve(server))
            with databases.migrated() as database:
                _print(_measure(database.url))
            databases.close()
        finally:
            stop_server(home)


def _measure(url: str) -> dict[str, list[Cost]]:
    found: dict[str, list[Cost]] = {}
    with Checkpointer(resolve(url), lease=Lease()) as checkpointer, PostgresSaver.from_conn_string(url) as stock:
        entries: dict[str, Callable[[str], int]] = {
            "stock LangGraph (PostgresSaver, sync)": lambda run: _stock(stock, run),
            "Gatepost: steps that read": lambda run: _gatepost(checkpointer, "read", run),
            "Gatepost: steps with an effect": lambda run: _gatepost(checkpointer, "write", run),
        }
        for turn in range(ROUNDS + 1):
            for name, work in entries.items():
                with _watched(url) as cost:
                    supersteps = work(f"{turn}-{len(name)}")
                if turn:  # the first turn warms caches up
                    found.setdefault(name, []).append(Cost(supersteps, *cost))
    return found


def _stock(saver: PostgresSaver, run: str) -> int:
    builder = StateGraph(Doc)
    names = [f"n{index}" for index in range(STEPS)]
    for name in names:
        builder.add_node(name, lambda state: {"n": state["n"] + 1, "doc": {"text": "x" * 200, "n": state["n"]}})
    for before, after in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(before, after)
    graph = builder.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": f"stock-{run}"}}
    graph.invoke({"n": 0, "doc": {}}, config, durability="sync")
    return STEPS


def _gatepost(checkpointer: Checkpointer, effect: str, run: str) -> int:
    @tool(effect=effect, on_doubt="retry")
    async def work(text: str) -> dict[str, str]:
        return {"text": text}

    plan = Plan(
        steps=tuple(
            Step(id=f"s{index}", tool="work", args={"text": "x" * 200}, needs=(f"s{index - 1}",) if index else ())
            for index in range(STEPS)
        )
    )
    workflow = Workflow(name="bench", goals=("bench",), strategy=FixedPlan(plan), tools=(work,))
    graph = build_graph([workflow], checkpointer, policy=UNATTENDED)
    config: Any = {"configurable": {"thread_id": f"{effect}-{run}"}}
    result = graph.invoke({"goal": "bench"}, config)
    assert result["status"] == "succeeded"
    return len(list(checkpointer.bridge.run(checkpointer.history.transitions(f"{effect}-{run}", limit=10_000))))


@contextmanager
def _watched(url: str) -> Iterator[list[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cost: list[Any] = []
        before, start = _wal(connection), time.perf_counter()
        yield cost
        seconds = time.perf_counter() - start
        cost += [seconds, _wal(connection) - before]


def _wal(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
    return 0 if row is None else int(row[0])


def _print(found: dict[str, list[Cost]]) -> None:
    table = Table(title=f"A chain of {STEPS} steps, one run at a time, fsync on; median of {ROUNDS}")
    for column in ("", "supersteps", "ms/step", "ms/superstep", "ratio to stock", "WAL bytes/superstep"):
        table.add_column(column, justify="left" if not column else "right")
    base = None
    for name, costs in found.items():
        cost = sorted(costs, key=lambda found: found.seconds)[len(costs) // 2]
        wal = statistics.median(one.wal_bytes for one in costs)
        each = 1000 * cost.seconds / cost.supersteps
        base = base or each
        table.add_row(
            name,
            str(cost.supersteps),
            f"{1000 * cost.seconds / STEPS:.2f}",
            f"{each:.2f}",
            f"{each / base:.2f}",
            f"{wal / cost.supersteps:.0f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
