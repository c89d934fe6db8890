"""Tries to get a step called, or a caller answered, before the superstep before it is committed."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import psycopg
import pytest
import time_machine
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from pydantic import AfterValidator
from tests.acceptance.processes import wait_until

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, record, ref, replay, tool
from gatepost.state.errors import DatabaseUnavailable, LostRun
from gatepost.state.watch import Act
from gatepost.testing import Database

ALL = Policy('@id("all") permit (principal, action, resource);')
FROM_THE_FIRST = ref("first", "")
"""What can only be judged after the first step, in the gate; with anything else the executor goes straight on."""
NIGHT = timedelta(hours=8)
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


JUDGED: list[str] = []


def _look(text: str) -> str:
    JUDGED.append(text)
    return text


Looked = Annotated[str, AfterValidator(_look)]
"""An argument; whoever works out what a step is called with looks at it."""


class Work:
    """A run of two steps, whose commits somebody holds up from a certain step on."""

    def __init__(
        self, build: Callable[..., GatepostGraph], url: str, *, held_from: str = "", second: Any = FROM_THE_FIRST
    ) -> None:
        self.came: list[str] = []
        self.control = RunControl()
        self.meanwhile: Callable[[], Any] = lambda: None
        """Done in the step from which on commits are held up."""
        JUDGED.clear()
        self._url, self._step = url, held_from
        self._reached, self._locked = threading.Event(), threading.Event()

        @tool(effect="read")  # an intent would wait for the same lock
        def work(ctx: EffectContext, text: Looked) -> str:
            self.came.append(ctx.step_id)
            if ctx.step_id == held_from:
                self._reached.set()
                assert self._locked.wait(60)
                self.meanwhile()
            return ctx.step_id

        first = Step(id="first", tool="work", args={"text": "0"})
        then = Step(id="second", tool="work", args={"text": second}, needs=("first",))
        plan = FixedPlan(Plan(steps=(first, then)))
        self.graph = build([Workflow(name="w", goals=("w",), strategy=plan, tools=(work,))], policy=ALL)

        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[Any] | None = None

    def run(self) -> dict[str, Any]:
        return asyncio.run(self._run())

    async def _run(self) -> dict[str, Any]:
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        result: dict[str, Any] = await self.graph.ainvoke({"goal": "w"}, RUN, control=self.control)
        return result

    def stop(self) -> None:
        """Cancel it while its engine waits for a commit, and wait until it has heard of that."""
        wait_until(self.puts)
        assert self.loop is not None
        assert self.task is not None
        self.loop.call_soon_threadsafe(self.task.cancel)
        wait_until(lambda: not self.puts())

    def puts(self) -> bool:
        """Whether a superstep waits for the one before it."""
        return any("_checkpointer_put_after_previous" in str(task) for task in asyncio.all_tasks(self.loop))

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


@pytest.mark.parametrize("second", [FROM_THE_FIRST, "judged beforehand"])
def test_no_step_is_called_before_the_one_before_it_is_committed(gatepost_graph: Any, url: str, second: Any) -> None:
    work = Work(gatepost_graph, url, held_from="first", second=second)
    with work.held_up() as (holder, run):
        assert work.came == ["first"]
        holder.rollback()
        assert run.result(60)["status"] == "succeeded"
    assert work.came == ["first", "second"]


def test_the_gate_judges_while_the_superstep_before_it_is_committed_and_a_replay_is_told_the_same_time(
    gatepost_graph: Any, url: str, lone_owner: Any
) -> None:
    work = Work(gatepost_graph, url, held_from="first")
    with work.held_up() as (holder, run):
        wait_until(lambda: "first" in JUDGED)  # what the first returned, as an argument of the second
        assert work.came == ["first"]
        holder.rollback()
        assert run.result(60)["status"] == "succeeded"
    told = "SELECT at, next_now FROM gatepost.transition WHERE next_now IS NOT NULL"
    rows = lone_owner.rows(told)
    assert rows
    assert all(row["next_now"] <= row["at"] for row in rows), "what a superstep is told is never early"
    steps = "SELECT record ->> 'now' AS now FROM gatepost.step WHERE step_id = 'second' AND status = 'running'"
    assert lone_owner.rows(steps)[0]["now"] in {row["next_now"].isoformat() for row in rows}
    report = replay(record(work.graph, "run"), work.graph)
    assert report.identical, report.divergence


@pytest.mark.parametrize("when", ["in a step", "in a commit"])
def test_no_superstep_is_told_an_old_time_when_the_machine_has_slept(
    gatepost_graph: Any, gatepost_database: Database, lone_owner: Any, when: str
) -> None:
    work = Work(gatepost_graph, gatepost_database.url, held_from="first")
    with time_machine.travel(datetime.now(UTC), tick=True) as machine:

        def sleep() -> None:
            machine.shift(NIGHT)
            gatepost_database.clock.shift(NIGHT)

        if when == "in a step":
            work.meanwhile = sleep
        with work.held_up() as (holder, run):
            if when == "in a commit":
                sleep()
            holder.rollback()
            assert run.result(60)["status"] == "succeeded"
    told = lone_owner.rows("SELECT at, next_now FROM gatepost.transition WHERE next_now IS NOT NULL")
    assert told
    assert all(row["at"] - row["next_now"] < NIGHT / 2 for row in told)
    report = replay(record(work.graph, "run"), work.graph)
    assert report.identical, report.divergence


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


class Listener(BaseCallbackHandler):
    """A callback of the caller's: it hears how each node begins and ends, and the whole run."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        self.heard.append(str(inputs))

    def on_chain_end(self, outputs: Any, **_: Any) -> None:
        self.heard.append(str(outputs))


@pytest.mark.parametrize("how", [{}, {"print_mode": "values"}, {"debug": True}])
def test_nobody_who_listens_is_told_of_what_is_not_committed(
    gatepost_graph: Any, url: str, lone_owner: Any, capsys: pytest.CaptureFixture[str], how: dict[str, Any]
) -> None:
    listener = Listener()
    work = Work(gatepost_graph, url)
    config: Any = RUN if how else {**RUN, "callbacks": [listener]}
    lone_owner.change(ENDS_LATE_AND_LOST)
    with psycopg.connect(url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT pg_advisory_xact_lock(1)")
        run = pool.submit(lambda: work.graph.invoke({"goal": "w"}, config, **how))
        wait_until(lambda: _waiting(url) == 1 or run.done())
        holder.rollback()
        with pytest.raises(LostRun):
            run.result(60)
    states = [line for line in (*listener.heard, *capsys.readouterr().out.splitlines()) if "'run_id': 'run'" in line]
    assert states
    assert all("'outcome': None" in state for state in states), "that the run has ended"


class Watching:
    """A watcher that hears how a run is left."""

    def __init__(self) -> None:
        self.left: list[tuple[str, int]] = []

    def begins(self, act: Act) -> None:
        """Nothing."""

    def ends(self, act: Act) -> None:
        if act.kind == "run":
            self.left.append((act.error, act.facts["transitions"]))

    def claims(self, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def admits(self, run_id: str, tenant: str, workflow: str) -> None:
        """Nothing."""


@pytest.mark.parametrize("lost", [False, True])
def test_who_watches_is_told_how_a_run_is_left_when_that_is_known(
    gatepost_graph: Any, url: str, lone_owner: Any, *, lost: bool
) -> None:
    work, watching = Work(gatepost_graph, url, held_from="first"), Watching()
    work.graph.equipment.watchers.append(watching)
    work.meanwhile = work.control.request_drain
    with work.held_up() as (holder, run):
        holder.execute(TAKEN_OVER if lost else "SELECT")
        assert not watching.left
        holder.commit()
        with pytest.raises(LostRun if lost else GraphDrained):
            run.result(60)
    assert watching.left == [("LostRun" if lost else "drained", lone_owner.run("run")["seq"])]


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


def test_a_run_that_is_stopped_while_it_loses_its_commit_leaves_no_complaint(
    gatepost_graph: Any, url: str, lone_owner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(gatepost_graph, url, held_from="first")
    with work.held_up() as (holder, run):
        work.stop()
        holder.execute(TAKEN_OVER)
        holder.commit()
        with pytest.raises(asyncio.CancelledError):
            run.result(60)
    del work, run
    gc.collect()  # asyncio complains of what nobody has looked at when it is thrown away
    assert not caplog.records
    assert lone_owner.run("run")["epoch"] == 2


def test_a_superstep_that_could_not_be_committed_leaves_nothing_of_the_next(
    gatepost_graph: Any, url: str, lone_owner: Any
) -> None:
    lone_owner.change(REFUSED)
    with pytest.raises(DatabaseUnavailable):
        Work(gatepost_graph, url).run()
    assert lone_owner.run("run")["seq"] == 3
    assert lone_owner.rows("SELECT * FROM public.checkpoint_writes") == []
