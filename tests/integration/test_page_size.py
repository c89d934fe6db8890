"""Tries to make the pages of a long run long: they ask, fetch and weigh no more than those of a short one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest

from gatepost import (
    Checkpointer,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Step,
    Workflow,
    build_graph,
    tool,
)
from gatepost.checkpointing.keys import Keys
from gatepost.service.http.app import guarded
from gatepost.service.http.guard import Place
from gatepost.service.http.house import House

SHORT, LONG = 60, 300
ALL = Policy('@id("all") permit (principal, action, resource);')
SIGN_IN = {"Origin": "http://localhost"}


@tool(effect="write", on_doubt="retry")
def note(ctx: EffectContext, at: int) -> dict[str, int]:
    """Note a number."""
    return {"noted": at}


def _workflow(steps: int) -> Workflow:
    plan = Plan(
        steps=tuple(
            Step(id=f"s{at}", tool="note", args={"at": at}, needs=(f"s{at - 1}",) if at else ()) for at in range(steps)
        )
    )
    return Workflow(name=f"w{steps}", goals=(f"w{steps}",), strategy=FixedPlan(plan), tools=(note,))


@pytest.fixture(scope="module")
def graph(town_hall: Checkpointer) -> GatepostGraph:
    """A short run and a long one, which have ended."""
    graph = build_graph([_workflow(steps) for steps in (SHORT, LONG)], town_hall, policy=ALL)
    for steps in (SHORT, LONG):
        done = graph.invoke({"goal": f"w{steps}"}, {"configurable": {"thread_id": f"run_{steps}"}})
        assert done["status"] == "succeeded"
    return graph


class Look:
    """A signed-in client in this process, and what its last page cost."""

    def __init__(self, graph: GatepostGraph, asked: list[int]) -> None:
        self._hall = graph.saver
        self._asked = asked
        self._app = guarded(House(graph, Place(frozenset({"localhost"}))))
        made = Keys(self._hall.pools).create(
            tenant="local", principal="alice", scopes=("read",), lasts=timedelta(hours=1), created_by="test"
        )
        self._secret = self._hall.bridge.run(made).secret
        self._cookies: dict[str, str] = {}

    def at(self, path: str) -> str:
        """A page."""
        return self._hall.bridge.run(self._page(path))

    async def _page(self, path: str) -> str:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", cookies=self._cookies) as client:
            if not self._cookies:
                answer = await client.post("/sign-in", data={"key": self._secret}, headers=SIGN_IN)
                self._cookies = dict(answer.cookies)
                client.cookies.update(self._cookies)
            self._asked.clear()
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            return answer.text


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each statement fetched."""
    found: list[int] = []
    fetchall: Callable[..., Any] = psycopg.AsyncCursor.fetchall

    async def noted(cursor: Any) -> Any:
        rows = await fetchall(cursor)
        found.append(len(rows))
        return rows

    monkeypatch.setattr(psycopg.AsyncCursor, "fetchall", noted)
    return found


def _elements(page: str) -> int:
    return len(re.findall(r"<[a-z]", page))


def test_the_page_of_a_long_run_is_no_longer_than_that_of_a_short_one(graph: GatepostGraph, asked: list[int]) -> None:
    look = Look(graph, asked)
    sizes = {}
    for steps in (SHORT, LONG):
        page = look.at(f"/runs/run_{steps}")
        sizes[steps] = (len(page), _elements(page), len(asked), max(asked))
    (short, few, statements, rows), (long, many, more, most) = sizes[SHORT], sizes[LONG]
    assert long < short * 1.05
    assert many <= few * 1.05
    assert many < 3_000
    assert more <= statements  # a plan too long to be drawn is not even read
    assert max(most, rows) <= 200


def test_older_and_older_leads_through_every_transition_once(graph: GatepostGraph, asked: list[int]) -> None:
    look, path, seen = Look(graph, asked), f"/runs/run_{LONG}", []
    back: list[str] = []
    while path:
        page = look.at(path)
        seen += [int(seq) for seq in re.findall(rf'/runs/run_{LONG}/states\?at=(\d+)" title', page)]
        older = re.search(r'href="([^"]*)">← Older', page)
        newer = re.search(r'href="([^"]*)">Newer →', page)
        back += [newer[1]] if newer else []
        path = older[1] if older else ""
    assert len(seen) > LONG
    assert seen == list(range(seen[0], seen[-1] - 1, -1))
    assert (seen[-1], seen[0]) == (1, graph.saver.bridge.run(graph.saver.runs.get(f"run_{LONG}", "local"))["seq"])
    assert len(back) == len(set(back)) >= 2


def test_a_step_through_a_long_run_reads_two_states(graph: GatepostGraph, asked: list[int]) -> None:
    look = Look(graph, asked)
    last = graph.saver.bridge.run(graph.saver.runs.get(f"run_{LONG}", "local"))["seq"]
    first, then = (len(look.at(f"/runs/run_{LONG}/states?at={at}")) for at in (40, last - 4))
    assert then < 2 * first
    assert len(asked) <= 40
    assert max(asked) <= 200
    far = look.at(f"/runs/run_{LONG}/states?at={last}&against=3")
    assert "more steps moved in between" in far
    assert _elements(far) < 2_500
