"""Tries to wedge a run by cutting its owner off: the connection inside a commit, its answer after the commit, the
call in any await, the engine between a task's end and its superstep's.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from langgraph.types import Command

from gatepost import (
    Checkpointer,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Situation,
    Step,
    Workflow,
    build_graph,
    tool,
)
from gatepost.checkpointing.address import resolve
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.saver import GatepostSaver
from gatepost.state.errors import DatabaseUnavailable

ASKS_FOR_PAY = Policy(
    '@id("rest") permit (principal, action == Action::"run", resource) unless { context.tool == "pay" };\n'
    '@id("anybody") permit (principal, action == Action::"decide", resource);'
)
SUPERSTEPS = 9
"""Input, START, planner, gate, executor, gate (asks), approval, gate, executor; then the gate and the finalizer."""
SUPERSTEP = "ARRAY(SELECT key FROM announced)"
"""In the statement of every superstep, alone or with others."""


class Sale:
    """A step that runs by itself and one that is asked about, and how often each reached the world."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.booked: list[str] = []

        @tool(effect="write", on_doubt="retry")
        def note(ctx: EffectContext, what: str) -> str:
            self.booked.append(ctx.idempotency_key)
            return what

        @tool(effect="write", on_doubt="retry")
        def pay(ctx: EffectContext, cents: int) -> int:
            self.booked.append(ctx.idempotency_key)
            return cents

        steps = (
            Step(id="note", tool="note", args={"what": "a"}),
            Step(id="pay", tool="pay", args={"cents": 1}, needs=("note",)),
        )
        workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(note, pay))
        self.graph = build([workflow], policy=ASKS_FOR_PAY)

    def go_on(self, config: Any) -> dict[str, Any]:
        """Move the run once: start it, answer it, or let it go on."""
        snapshot = self.graph.get_state(config)
        asked = snapshot.values.get("approval") if snapshot.values else None
        result: dict[str, Any] = self.graph.invoke(
            Command(resume=asked.approve(by="alice")) if asked else {"goal": "w"}, config
        )
        return result

    def finishes(self, config: Any, owner: Any, run: str) -> None:
        """Within a few entries, with each effect booked under one key, and the row agreeing with the state."""
        result: dict[str, Any] = {}
        for _ in range(4):
            result = self.go_on(config)
            row = owner.run(run)
            assert row["plan_version"] == result["plan_version"]
            assert row["status"] == result["status"]
            if row["finished_at"]:
                break
        assert (result["status"], owner.steps(run)) == ("succeeded", {"note": "succeeded", "pay": "succeeded"})
        assert len(set(self.booked)) == 2
        assert {effect["state"] for effect in owner.effects(run)} == {"succeeded"}
        seqs = [found["seq"] for found in owner.rows("SELECT seq FROM gatepost.transition WHERE run_id = %s", run)]
        assert sorted(seqs) == list(range(1, len(seqs) + 1))


CUTS = (
    "CREATE SEQUENCE public.cuts",
    "CREATE TABLE public.cut_at (n int)",
    """
    CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF nextval('public.cuts') = (SELECT n FROM public.cut_at) THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER cut AFTER INSERT ON gatepost.transition FOR EACH ROW EXECUTE FUNCTION public.cut()",
    "GRANT USAGE ON SEQUENCE public.cuts TO gatepost_app",
)


def test_a_connection_cut_inside_any_commit_costs_nothing(gatepost_graph: Any, lone_owner: Any) -> None:
    """The server ends the session in the middle of the transaction; the same invoke goes on with another one."""
    for statement in CUTS:
        lone_owner.change(statement)
    for n in range(1, SUPERSTEPS + 3):
        sale = Sale(gatepost_graph)
        lone_owner.change("ALTER SEQUENCE public.cuts RESTART")
        lone_owner.change("DELETE FROM public.cut_at")
        lone_owner.change("INSERT INTO public.cut_at VALUES (%s)", n)
        sale.finishes({"configurable": {"thread_id": f"cut-{n}"}}, lone_owner, f"cut-{n}")
        assert lone_owner.rows("SELECT last_value >= %s AS reached FROM public.cuts", n) == [{"reached": True}]
        assert len(sale.booked) == 2


CUT_ALL = """
SELECT count(pg_terminate_backend(pid, 5000)) AS n FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def test_connections_cut_while_nobody_used_them_are_not_noticed(gatepost_graph: Any, lone_owner: Any) -> None:
    """As by a restart of the server, or by a pooler that is tired of them."""
    sale = Sale(gatepost_graph)
    config: Any = {"configurable": {"thread_id": "run"}}
    for status in ("blocked", "succeeded", "succeeded"):
        assert sale.go_on(config)["status"] == status
        assert lone_owner.rows(CUT_ALL)[0]["n"] > 0
    assert sale.graph.get_state(config).values["status"] == "succeeded"


class Deaf:
    """Lets a statement commit and loses its answer, once, at the `n`-th superstep (or what else is asked for)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int, said: str = SUPERSTEP) -> None:
        self.left = n
        execute = psycopg.AsyncConnection.execute

        async def deaf(connection: Any, statement: Any, *args: Any, **options: Any) -> Any:
            cursor = await execute(connection, statement, *args, **options)
            if said in str(statement):
                self.left -= 1
                if self.left == 0:
                    await connection.close()
                    raise psycopg.OperationalError("the connection is lost")
            return cursor

        monkeypatch.setattr(psycopg.AsyncConnection, "execute", deaf)


def test_a_commit_whose_answer_is_lost_is_found_again(
    gatepost_graph: Any, lone_owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(1, SUPERSTEPS + 3):
        with monkeypatch.context() as patch:
            sale, deaf = Sale(gatepost_graph), Deaf(patch, n)
            sale.finishes({"configurable": {"thread_id": f"deaf-{n}"}}, lone_owner, f"deaf-{n}")
            assert deaf.left <= 0
            assert len(sale.booked) == 2


class Asks:
    """Asks a model for its plan."""

    async def plan(self, situation: Situation) -> Plan | None:
        async def model(_: Any) -> str:
            return "look"

        if situation.plan is not None:
            return None
        said = await situation.ask({"goal": situation.goal}, model)
        return Plan(steps=(Step(id="look", tool=str(said)),))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("-- What a model said to the same prompt", id="the planner's"),
        pytest.param("-- A page of approvals", id="the finalizer's"),
    ],
)
def test_a_read_that_is_cut_off_is_no_failure_of_the_run(
    gatepost_graph: Any, lone_owner: Any, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    @tool(effect="read")
    def look() -> str:
        return "seen"

    graph = gatepost_graph([Workflow(name="w", goals=("w",), strategy=Asks(), tools=(look,))])
    config: Any = {"configurable": {"thread_id": "run"}}
    Deaf(monkeypatch, 1, said)
    with pytest.raises(DatabaseUnavailable):
        graph.invoke({"goal": "w"}, config)
    assert lone_owner.run("run")["status"] == "queued"
    assert graph.invoke({"goal": "w"}, config)["status"] == "succeeded"


def test_an_intent_whose_answer_is_lost_is_no_call_that_was_cut_off(
    gatepost_graph: Any, lone_owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them travels with the gate's superstep, the other goes by itself."""
    for n, said in ((4, SUPERSTEP), (1, "DO UPDATE SET attempts = e.attempts")):
        with monkeypatch.context() as patch:
            sale, deaf = Sale(gatepost_graph), Deaf(patch, n, said)
            sale.finishes({"configurable": {"thread_id": f"unsaid-{n}"}}, lone_owner, f"unsaid-{n}")
            assert deaf.left <= 0
            assert len(sale.booked) == 2
            attempts = lone_owner.rows("SELECT attempts FROM gatepost.effect WHERE run_id = %s", f"unsaid-{n}")
            assert {row["attempts"] for row in attempts} == {1}


def test_an_engine_that_stops_between_a_task_and_its_superstep_wedges_nothing(
    gatepost_graph: Any, lone_owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop was busy for longer than the flush timer, so what had finished was written; then the put failed."""
    put = GatepostSaver.aput
    for n in range(1, SUPERSTEPS + 3):
        puts = 0

        async def fails(saver: GatepostSaver, *args: Any, n: int = n) -> Any:
            nonlocal puts
            puts += 1
            if puts == n:
                await asyncio.sleep(0.05)
                raise DatabaseUnavailable("gone")
            return await put(saver, *args)

        sale, config = Sale(gatepost_graph), {"configurable": {"thread_id": f"stop-{n}"}}
        with monkeypatch.context() as patch:
            patch.setattr(GatepostSaver, "aput", fails)
            with suppress(DatabaseUnavailable):
                for _ in range(3):
                    sale.go_on(config)
        assert puts >= n
        sale.finishes(config, lone_owner, f"stop-{n}")


def test_a_call_cancelled_at_any_await_leaves_the_next_one_free(checkpointer: Checkpointer, lone_owner: Any) -> None:
    """Cancelled calls and their successors share the loop's connections."""
    sale = Sale(lambda workflows, **options: build_graph(workflows, checkpointer, **options))
    dice = random.Random(7)

    async def storm() -> None:
        for k in range(40):
            config: Any = {"configurable": {"thread_id": f"storm-{k}"}}
            call = asyncio.create_task(sale.graph.ainvoke({"goal": "w"}, config))
            await asyncio.wait({call}, timeout=dice.uniform(0.001, 0.04))
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            async with asyncio.timeout(20):
                result = await sale.graph.ainvoke({"goal": "w"}, config)
            assert result["status"] == "blocked"
            assert lone_owner.run(f"storm-{k}")["status"] == "blocked"
        await checkpointer.pools.close()

    asyncio.run(storm())
    assert len(set(sale.booked)) == 40


ENDS = """
import asyncio, sys
from gatepost.checkpointing.address import resolve
from gatepost.checkpointing.pool import Pools

async def main(k):
    pools = Pools(resolve(sys.argv[1]))
    async with pools.connection():
        second = asyncio.create_task(pools.connection().__aenter__())  # the pool grows in the background
        await asyncio.sleep(0.0004 * k)
        second.cancel()

for k in range(20):
    asyncio.run(main(k))
print("ended")
"""


def test_a_loop_that_ends_while_its_pool_grows_does_end(gatepost_database: Any) -> None:
    """psycopg-pool's worker takes the loop's cancellation for a failed attempt, and would wait for ever."""
    child = subprocess.run(
        [sys.executable, "-c", ENDS, gatepost_database.url], capture_output=True, text=True, timeout=60, check=True
    )
    assert child.stdout == "ended\n"


def test_one_statement_after_another_meets_one_server_process(gatepost_database: Any) -> None:
    """The pool has grown, and most of its connections rest: the last used one is taken, and it alone stays warm."""

    async def main() -> set[int]:
        pools = Pools(resolve(gatepost_database.url))
        async with pools.connection(), pools.connection(), pools.connection():
            pass
        met = set()
        for _ in range(6):
            async with pools.connection() as connection:
                met.add(connection.info.backend_pid)
        pool = await pools.here()
        for _ in range(2):  # what the library does every ten minutes; it may only look, the first time
            await pool._shrink_pool()
        assert 1 <= pool.get_stats()["pool_size"] < 3
        async with pools.connection() as connection:
            met.add(connection.info.backend_pid)
        await pools.close()
        return met

    assert len(asyncio.run(main())) == 1
