"""Tries to get a step called, or a caller answered, before the superstep before it is committed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.acceptance.processes import wait_until

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, tool
from gatepost.state.errors import DatabaseUnavailable, LostRun
from gatepost.testing import Database

ALL = Policy('@id("all") permit (principal, action, resource);')
STEPS = FixedPlan(Plan(steps=(Step(id="first", tool="work"), Step(id="second", tool="work", needs=("first",)))))
RUN: Any = {"configurable": {"thread_id": "run"}}
LOCK = "SELECT FROM gatepost.run WHERE run_id = 'run' FOR UPDATE"
TAKEN_OVER = "UPDATE gatepost.run SET epoch = epoch + 1 WHERE run_id = 'run'"
ENDS_LATE_AND_LOST = """
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock(1);
    RAISE EXCEPTION 'lost' USING ERRCODE = 'GP001';
END $$;
CREATE TRIGGER late BEFORE UPDATE ON gatepost.run FOR EACH ROW WHEN (NEW.status = 'succeeded') EXECUTE FUNCTION late();
"""
REFUSED = """
CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'no' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER refused BEFORE UPDATE ON gatepost.run FOR EACH ROW WHEN (NEW.seq > 3) EXECUTE FUNCTION refused();
"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Work:
    """A run of two steps, whose commits somebody holds up from a certain step on."""

    def __init__(self, build: Callable[..., GatepostGraph], url: str, *, held_from: str = "") -> None:
        self.came: list[str] = []
        self._url, self._step = url, held_from
        self._reached, self._locked = threading.Event(), threading.Event()

        @tool(effect="read")  # an intent would wait for the same lock
        def work(ctx: EffectContext) -> str:
            self.came.append(ctx.step_id)
            if ctx.step_id == held_from:
                self._reached.set()
                assert self._locked.wait(60)
            return ctx.step_id

        self._graph = build([Workflow(name="w", goals=("w",), strategy=STEPS, tools=(work,))], policy=ALL)

    def run(self) -> dict[str, Any]:
        result: dict[str, Any] = self._graph.invoke({"goal": "w"}, RUN)
        return result

    @contextmanager
    def held_up(self) -> Iterator[tuple[psycopg.Connection, Future[dict[str, Any]]]]:
        """The run is moved to where its commit waits for the connection that is given; it ends with the block."""
        with ThreadPoolExecutor(1) as pool, psycopg.connect(self._url) as holder:
            run = pool.submit(self.run)
            assert self._reached.wait(60)
            holder.execute(LOCK)
            self._locked.set()
            wait_until(lambda: _waiting(self._url) == 1)
            yield holder, run


def _waiting(url: str) -> int:
    with psycopg.connect(url) as watch:
        ((number,),) = watch.execute(WAITING).fetchall()
    found: int = number
    return found


@pytest.fixture
def url(gatepost_database: Database) -> str:
    return gatepost_database.url


def test_no_step_is_called_before_the_one_before_it_is_committed(gatepost_graph: Any, url: str) -> None:
    work = Work(gatepost_graph, url, held_from="first")
    with work.held_up() as (holder, run):
        assert work.came == ["first"]
        holder.rollback()
        assert run.result(60)["status"] == "succeeded"
    assert work.came == ["first", "second"]


def test_nobody_is_answered_before_the_last_superstep_is_committed(
    gatepost_graph: Any, url: str, lone_owner: Any
) -> None:
    work = Work(gatepost_graph, url)
    lone_owner.change(ENDS_LATE_AND_LOST)
    with psycopg.connect(url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT pg_advisory_xact_lock(1)")
        run = pool.submit(work.run)
        wait_until(lambda: _waiting(url) == 1 or run.done())
        assert not run.done()
        holder.rollback()
        with pytest.raises(LostRun):
            run.result(60)


def test_a_run_that_was_taken_over_while_it_committed_goes_no_further(
    gatepost_graph: Any, url: str, lone_owner: Any
) -> None:
    work = Work(gatepost_graph, url, held_from="first")
    with work.held_up() as (holder, run):
        holder.execute(TAKEN_OVER)
        holder.commit()
        with pytest.raises(LostRun):
            run.result(60)
    assert work.came == ["first"]
    assert lone_owner.rows("SELECT * FROM public.checkpoint_writes WHERE channel = '__error__'") == []
    last = "SELECT status FROM gatepost.step WHERE step_id = 'first' ORDER BY seq DESC LIMIT 1"
    assert lone_owner.rows(last) == [{"status": "running"}], "what the zombie learned is in nobody's history"


def test_a_superstep_that_could_not_be_committed_leaves_nothing_of_the_next(
    gatepost_graph: Any, url: str, lone_owner: Any
) -> None:
    lone_owner.change(REFUSED)
    with pytest.raises(DatabaseUnavailable):
        Work(gatepost_graph, url).run()
    assert lone_owner.run("run")["seq"] == 3
    assert lone_owner.rows("SELECT * FROM public.checkpoint_writes") == []
