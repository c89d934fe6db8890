"""Tries to make runs that commit together harm each other: a lost one, and one that cannot be written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, tool
from gatepost.checkpointing import ledger
from gatepost.checkpointing.commits import UNWRITABLE
from gatepost.checkpointing.session import RunSession
from gatepost.state.errors import LostRun

ALL = Policy('@id("all") permit (principal, action, resource);')
RUNS = 6
TAKEN_OVER = "UPDATE gatepost.run SET epoch = epoch + 1 WHERE run_id = %s"
IN_THE_WAY = """
INSERT INTO gatepost.transition (run_id, seq, source, nodes, next, status, actor, epoch)
SELECT run_id, seq + 1, 'loop', '{}', '{}', status, 'nobody', epoch FROM gatepost.run WHERE run_id = %s
"""
TRANSITIONS = "SELECT run_id, seq, xmin::text AS transaction FROM gatepost.transition WHERE run_id LIKE 'r%%'"
STATES = "SELECT run_id, state, count(*) AS n FROM gatepost.effect GROUP BY 1, 2 ORDER BY 1, 2"


class Chorus:
    """Runs of one effect step each, all of which are in their tool at the same moment."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.inside: set[str] = set()
        self.all_in = asyncio.Event()
        self.on_all_in: Callable[[], Any] = lambda: None

        @tool(effect="write", on_doubt="ask")
        async def sing(ctx: EffectContext) -> str:
            self.inside.add(ctx.run_id)
            if len(self.inside) == RUNS:
                self.on_all_in()
                self.all_in.set()
            await self.all_in.wait()
            return ctx.run_id

        plan = Plan(steps=(Step(id="sing", tool="sing"),))
        self.graph = build([Workflow(name="w", goals=("w",), strategy=FixedPlan(plan), tools=(sing,))], policy=ALL)

    async def perform(self) -> list[Any]:
        runs = (self.graph.ainvoke({"goal": "w"}, {"configurable": {"thread_id": f"r{n}"}}) for n in range(RUNS))
        found = await asyncio.gather(*runs, return_exceptions=True)
        await self.graph.saver.pools.close()
        return [one if isinstance(one, BaseException) else one["status"] for one in found]


@pytest.fixture
def chorus(gatepost_graph: Callable[..., GatepostGraph]) -> Chorus:
    return Chorus(gatepost_graph)


def test_what_comes_at_the_same_time_is_one_commit(chorus: Chorus, lone_owner: Any) -> None:
    assert asyncio.run(chorus.perform()) == ["succeeded"] * RUNS
    rows = lone_owner.rows(TRANSITIONS)
    by_run = {run: sorted(row["seq"] for row in rows if row["run_id"] == run) for run in chorus.inside}
    assert len(by_run) == RUNS
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in by_run.values())
    last = max(row["seq"] for row in rows)
    for seq in (last - 2, last - 1):  # after the tool, in which all of them waited for each other
        assert len({row["transaction"] for row in rows if row["seq"] == seq}) <= 3
    assert lone_owner.rows(STATES) == [{"run_id": f"r{n}", "state": "succeeded", "n": 1} for n in range(RUNS)]


@pytest.mark.parametrize("guilty", ["r0", "r3"])
def test_a_run_that_is_lost_is_lost_alone(chorus: Chorus, lone_owner: Any, guilty: str) -> None:
    chorus.on_all_in = lambda: lone_owner.change(TAKEN_OVER, guilty)
    found = asyncio.run(chorus.perform())
    lost = found.pop(int(guilty[1:]))
    assert isinstance(lost, LostRun)
    assert found == ["succeeded"] * (RUNS - 1)
    states = {row["run_id"]: row["state"] for row in lone_owner.rows(STATES)}
    assert states.pop(guilty) == "intended"
    assert set(states.values()) == {"succeeded"}


def test_a_superstep_that_cannot_be_written_fails_alone(chorus: Chorus, lone_owner: Any) -> None:
    chorus.on_all_in = lambda: lone_owner.change(IN_THE_WAY, "r2")
    found = asyncio.run(chorus.perform())
    assert isinstance(found.pop(2), psycopg.errors.UniqueViolation)
    assert found == ["succeeded"] * (RUNS - 1)


@pytest.mark.parametrize("table", ["supersteps", "intents"])
def test_what_is_too_much_together_is_done_one_by_one(
    chorus: Chorus, lone_owner: Any, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    execute = psycopg.AsyncConnection.execute
    refused: list[int] = []

    async def narrow(connection: Any, statement: Any, params: Any = None, **options: Any) -> Any:
        if isinstance(params, dict) and params.get(table) and (size := len(json.loads(params[table]))) > 1:
            refused.append(size)
            raise psycopg.errors.ProgramLimitExceeded("too much")
        return await execute(connection, statement, params, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", narrow)
    assert asyncio.run(chorus.perform()) == ["succeeded"] * RUNS
    assert refused
    assert lone_owner.rows(STATES) == [{"run_id": f"r{n}", "state": "succeeded", "n": 1} for n in range(RUNS)]


@pytest.mark.parametrize(("holder", "name"), [(RunSession, "rows"), (ledger, "row_of")])
def test_what_has_no_form_on_the_wire_fails_its_own_run(
    chorus: Chorus, monkeypatch: pytest.MonkeyPatch, holder: Any, name: str
) -> None:
    honest = getattr(holder, name)

    def poisoned(session: RunSession, asked: Any) -> Any:
        found = honest(session, asked)
        inside = session.run.run_id == "r4" and (name == "row_of" or len(chorus.inside) == RUNS)
        return {**found, "arguments" if name == "row_of" else "effect": [object()]} if inside else found

    chorus.all_in.set()  # r4's intent is refused: it never comes in
    monkeypatch.setattr(holder, name, poisoned)
    found = asyncio.run(chorus.perform())
    assert isinstance(found.pop(4), UNWRITABLE)
    assert found == ["succeeded"] * (RUNS - 1)
