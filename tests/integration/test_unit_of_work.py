"""Tries to tear a superstep apart: its rows from its checkpoint, a finished branch from its unfinished sibling, an
owner that lost the run from the refusal to write.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from gatepost import (
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Step,
    Workflow,
    ref,
    tool,
)
from gatepost.state.errors import GatepostError, LostRun

ALL = Policy('@id("all") permit (principal, action, resource);')

CONTROL = ("__interrupt__", "__resume__", "__error__", "__scheduled__", "__error_source_node__")


class Pair:
    """Two steps at once, of which one ends when it is told to, and a third that needs both."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.calls: list[str] = []
        self.keys: dict[str, set[str]] = {}
        self.go_on = threading.Event()
        self.slow_is_in = threading.Event()
        self.on_slow: Callable[[], None] = lambda: None

        @tool(effect="write", on_doubt="retry")
        async def fast(ctx: EffectContext) -> str:
            self.note("fast", ctx)
            return "fast"

        @tool(effect="write", on_doubt="retry")
        async def slow(ctx: EffectContext) -> str:
            self.note("slow", ctx)
            self.on_slow()
            self.slow_is_in.set()
            while not self.go_on.is_set():  # noqa: ASYNC110 (several loops wait, and one wait is cancelled)
                await asyncio.sleep(0.002)
            return "slow"

        @tool(effect="write", on_doubt="retry")
        def last(ctx: EffectContext, got: str) -> str:
            self.note("last", ctx)
            return got

        steps = (
            Step(id="fast", tool="fast"),
            Step(id="slow", tool="slow"),
            Step(id="last", tool="last", args={"got": ref("slow")}, needs=("fast", "slow")),
        )
        workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(fast, slow, last))
        self.graph = build([workflow], policy=ALL)

    def note(self, name: str, context: EffectContext) -> None:
        self.calls.append(name)
        self.keys.setdefault(name, set()).add(context.idempotency_key)


def test_the_rows_of_a_superstep_commit_with_its_checkpoint(shop: Any, owner: Any) -> None:
    result = shop.answer(shop.open().approve(by="alice"))
    assert result["status"] == "succeeded"
    rows = owner.rows(
        """
        SELECT t.seq, t.nodes, t.xmin::text AS transition, c.xmin::text AS checkpoint, (c.metadata ->> 'seq')::int AS n,
               array_agg(DISTINCT s.xmin::text) FILTER (WHERE s.step_id IS NOT NULL) AS steps,
               array_agg(DISTINCT p.xmin::text) FILTER (WHERE p.version IS NOT NULL) AS plans,
               array_agg(DISTINCT e.xmin::text) FILTER (WHERE e.key IS NOT NULL) AS effects
        FROM gatepost.transition t
        JOIN checkpoints c ON c.thread_id = t.run_id AND c.checkpoint_id = t.checkpoint_id
        LEFT JOIN gatepost.step s USING (run_id, seq)
        LEFT JOIN gatepost.plan p USING (run_id, seq)
        LEFT JOIN gatepost.effect e ON e.run_id = t.run_id AND s.step_id = e.step_id AND s.status = 'succeeded'
        WHERE t.run_id = %s GROUP BY 1, 2, 3, 4, 5 ORDER BY t.seq
        """,
        shop.run(),
    )
    assert [row["seq"] for row in rows] == [row["n"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) == owner.counts(shop.run())["checkpoints"] == owner.counts(shop.run())["transition"]
    for row in rows:
        together = {row["transition"], row["checkpoint"]}
        together |= {*(row["steps"] or ()), *(row["plans"] or ()), *(row["effects"] or ())}
        assert len(together) == 1, row
    assert sum(bool(row["effects"]) for row in rows) == sum(bool(row["plans"]) for row in rows) == 1
    last = owner.rows("SELECT xmin::text AS it FROM gatepost.run WHERE run_id = %s", shop.run())
    assert last[0]["it"] != rows[-1]["transition"]  # the lease, let go of afterwards


def test_a_superstep_is_one_commit_and_leaves_no_writes_behind(shop: Any, owner: Any) -> None:
    shop.answer(shop.open().approve(by="alice"))
    (found,) = owner.rows(
        """
        SELECT count(*) AS supersteps, count(DISTINCT t.xmin::text) AS commits,
               (SELECT count(*) FROM checkpoint_writes w
                WHERE w.thread_id = %s AND w.channel <> ALL(%s)) AS writes
        FROM gatepost.transition t WHERE t.run_id = %s
        """,
        shop.run(),
        list(CONTROL),
        shop.run(),
    )
    assert found["supersteps"] == found["commits"] > 5
    assert found["writes"] == 0


def test_a_finished_branch_is_durable_while_its_sibling_runs(build: Any, shop: Any, owner: Any) -> None:
    pair = Pair(build)

    async def killed() -> None:
        running = asyncio.ensure_future(pair.graph.ainvoke({"goal": "w"}, shop.config()))
        await asyncio.to_thread(_branch_done, owner, shop.run())
        assert pair.slow_is_in.is_set()
        assert owner.steps(shop.run()) == {"fast": "succeeded", "slow": "running"}
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(killed())
    pair.go_on.set()
    assert owner.run(shop.run())["owner"] is None
    (effect, _) = owner.effects(shop.run())
    assert (effect["step_id"], effect["state"], effect["result"]) == ("fast", "succeeded", "fast")
    assert pair.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert sorted(pair.calls) == ["fast", "last", "slow", "slow"]
    assert len(pair.keys["slow"]) == 1
    assert [effect["attempts"] for effect in owner.effects(shop.run())] == [1, 1, 2]


def _branch_done(owner: Any, run: str) -> None:
    owner.wait_for(
        "SELECT FROM gatepost.step s JOIN gatepost.effect e USING (run_id, step_id) "
        "WHERE run_id = %s AND step_id = 'fast' AND s.status = 'succeeded' AND e.state = 'succeeded'",
        run,
    )
    owner.wait_for("SELECT FROM gatepost.effect WHERE run_id = %s AND step_id = 'slow'", run)


# who lost the run writes nothing


def _same_counts(before: dict[str, int], after: dict[str, int]) -> None:
    assert after == before


def test_an_owner_whose_epoch_was_raised_writes_nothing(build: Any, shop: Any, owner: Any) -> None:
    pair = Pair(build)
    seen: list[dict[str, int]] = []

    def take_over() -> None:
        owner.change("UPDATE gatepost.run SET epoch = epoch + 1, owner = 'another' WHERE run_id = %s", shop.run())
        seen.append(owner.counts(shop.run()))

    pair.on_slow = take_over
    pair.go_on.set()
    with pytest.raises(LostRun, match=r"not held under epoch|its lease was taken over"):
        pair.graph.invoke({"goal": "w"}, shop.config())
    after = owner.counts(shop.run())
    assert {**after, "effect": 0} == {**seen[0], "effect": 0}
    assert "last" not in pair.calls
    assert owner.run(shop.run())["owner"] == "another"
    assert owner.rows("SELECT FROM gatepost.effect WHERE run_id = %s AND state <> 'intended'", shop.run()) == []


def test_an_owner_whose_epoch_was_raised_before_the_call_calls_nothing(build: Any, shop: Any, owner: Any) -> None:
    called: list[str] = []

    @tool(effect="read")
    def theft() -> str:
        owner.change("UPDATE gatepost.run SET epoch = epoch + 1 WHERE run_id = %s", shop.run())
        return "stolen"

    @tool(effect="write", on_doubt="retry")
    def send(what: str) -> str:
        called.append(what)
        return what

    steps = (Step(id="theft", tool="theft"), Step(id="send", tool="send", args={"what": ref("theft")}))
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(theft, send))
    graph = build([workflow], policy=ALL)
    with pytest.raises(LostRun):
        graph.invoke({"goal": "w"}, shop.config())
    assert called == owner.effects(shop.run()) == []
    assert owner.steps(shop.run()) == {"theft": "running"}
    owner.change("UPDATE gatepost.run SET owner = NULL, lease_expires_at = NULL WHERE run_id = %s", shop.run())


def test_a_second_child_of_a_checkpoint_is_refused(build: Any, shop: Any, owner: Any) -> None:
    pair = Pair(build)
    pair.go_on.set()
    seen: list[dict[str, int]] = []

    def overtake() -> None:
        made = owner.change(
            """
            INSERT INTO checkpoints
                (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
            SELECT thread_id, checkpoint_ns, checkpoint_id || '-twin', checkpoint_id, checkpoint, metadata
            FROM checkpoints WHERE thread_id = %s ORDER BY checkpoint_id DESC LIMIT 1
            """,
            shop.run(),
        )
        assert made == 1
        seen.append(owner.counts(shop.run()))

    pair.on_slow = overtake
    with pytest.raises(LostRun, match="from the same checkpoint"):
        pair.graph.invoke({"goal": "w"}, shop.config())
    after = owner.counts(shop.run())
    for table in ("transition", "checkpoints", "plan", "approval"):
        assert after[table] == seen[0][table]
    assert "last" not in pair.calls


# a row that Postgres refuses

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no room for %', NEW.step_id; END $$
"""
TRIGGER = """
CREATE TRIGGER refuse BEFORE INSERT ON gatepost.step FOR EACH ROW
WHEN (NEW.step_id = 'fast' AND NEW.status = 'succeeded') EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize("how", ["together", "by itself"])
def test_a_refused_row_takes_its_superstep_with_it(gatepost_graph: Any, shop: Any, lone_owner: Any, how: str) -> None:
    """`together`: in the superstep's own transaction; `by itself`: while the sibling still runs."""
    pair = Pair(gatepost_graph)
    lone_owner.change(REFUSE)
    lone_owner.change(TRIGGER)
    with ThreadPoolExecutor(1) as thread:
        letting_go = thread.submit(pair.go_on.set) if how == "together" else thread.submit(_let_go, lone_owner, pair)
        with pytest.raises((GatepostError, psycopg.Error), match="no room for fast"):
            pair.graph.invoke({"goal": "w"}, shop.config())
        letting_go.result()
    states = {effect["step_id"]: effect["state"] for effect in lone_owner.effects(shop.run())}
    assert (lone_owner.steps(shop.run())["fast"], states["fast"]) == ("running", "intended")
    assert pair.graph.get_state(shop.config()).values["steps"]["fast"]["status"] == "running"
    lone_owner.change("DROP TRIGGER refuse ON gatepost.step")
    assert pair.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert len(pair.keys["fast"]) == 1
    assert {effect["state"] for effect in lone_owner.effects(shop.run())} == {"succeeded"}
    assert set(lone_owner.steps(shop.run()).values()) == {"succeeded"}


def _let_go(owner: Any, pair: Pair) -> None:
    """The flush by itself has failed once Postgres has counted a transaction that was rolled back."""
    pair.slow_is_in.wait(20)
    owner.wait_for("SELECT FROM pg_stat_database WHERE datname = current_database() AND xact_rollback > 0")
    pair.go_on.set()


# time


def test_what_a_tool_is_told_is_the_databases_time(
    gatepost_graph: Any, shop: Any, gatepost_database: Any, lone_owner: Any
) -> None:
    told: list[datetime] = []

    @tool(effect="read")
    def look(ctx: EffectContext) -> None:
        told.append(ctx.now)

    workflow = Workflow(
        name="w", goals=("w",), strategy=FixedPlan(Plan(steps=(Step(id="look", tool="look"),))), tools=(look,)
    )
    gatepost_database.clock.shift(timedelta(days=3))
    gatepost_graph([workflow]).invoke({"goal": "w"}, shop.config())
    assert told[0] - datetime.now(UTC) > timedelta(days=2)
    (row,) = lone_owner.rows("SELECT record ->> 'now' AS now FROM gatepost.step WHERE status = 'running'")
    assert datetime.fromisoformat(row["now"]) == told[0]
