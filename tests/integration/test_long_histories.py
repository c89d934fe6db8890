"""Tries to make the history of a long run cost the square of its length, and to show another past than there was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from typing import Any, cast

import psycopg
import pytest

from gatepost import FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, ref, tool
from gatepost.checkpointing import places

ALL = Policy('@id("all") permit (principal, action, resource);')
CONFIG: Any = {"configurable": {"thread_id": "long"}}
PAGE = 5


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the database, in small pages."""
    monkeypatch.setattr(places, "PAGE", PAGE)
    asked: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def noted(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        asked.append(str(query))
        return await execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", noted)
    return asked


@pytest.fixture
def ran(gatepost_graph: Callable[..., GatepostGraph]) -> Callable[[int], GatepostGraph]:
    def run(n: int) -> GatepostGraph:
        @tool(effect="read")
        def look(at: Any) -> int:
            return n

        steps = tuple(
            Step(id=f"s{i}", tool="look", args={"at": ref(f"s{i - 1}") if i else 0}, needs=(f"s{i - 1}",) if i else ())
            for i in range(n)
        )
        workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(look,))
        graph = gatepost_graph([workflow], policy=ALL)
        assert graph.invoke({"goal": "w"}, CONFIG)["status"] == "succeeded"
        return graph

    return run


def test_each_item_shows_what_get_state_shows_of_it(ran: Callable[[int], GatepostGraph]) -> None:
    graph = ran(6)
    items = list(graph.get_state_history(CONFIG))
    assert len(items) > 12
    for item in items:
        alone = graph.get_state(item.config)
        assert item.values == alone.values
        assert list(item.values.get("steps", ())) == list(alone.values.get("steps", ()))
    counts = [sum(step["status"] == "succeeded" for step in item.values.get("steps", {}).values()) for item in items]
    assert counts[0] == 6
    assert counts == sorted(counts, reverse=True)
    assert {step["status"] for step in items[-3].values["steps"].values()} <= {"pending", "running"}


def test_a_history_asks_once_for_the_steps_and_once_for_each_page(
    ran: Callable[[int], GatepostGraph], statements: list[str]
) -> None:
    graph = ran(12)
    statements.clear()
    items = sum(1 for _ in graph.get_state_history(CONFIG))
    assert items > 4 * PAGE
    assert len(statements) <= 2 * (items // PAGE + 1) + 6
    assert sum("gatepost.step" in statement for statement in statements) == 1


def test_who_stops_looking_has_not_read_the_rest(ran: Callable[[int], GatepostGraph], statements: list[str]) -> None:
    graph = ran(12)
    statements.clear()
    with closing(cast("Any", graph.get_state_history(CONFIG))) as history:
        seqs = [item.metadata["seq"] for item in islice(history, 3)]
    assert seqs == [seqs[0], seqs[0] - 1, seqs[0] - 2]
    pages = [statement for statement in statements if statement.rstrip().endswith("LIMIT %s")]
    assert len(pages) == 1
