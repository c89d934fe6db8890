"""Tries to have two owners move one run, and a dead one hold it for ever."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gatepost import FixedPlan, GatepostGraph, Plan, Step, Workflow, build_graph, tool
from gatepost.state.errors import LostRun, RunOwned, UnknownRun
from gatepost.testing.plugin import LEASE

DEAD = """
UPDATE gatepost.run SET owner = 'a dead one', epoch = epoch + 1, lease_expires_at = gatepost.now() + %(left)s
WHERE run_id = %(run)s
"""


def test_a_second_owner_is_told_who_and_until_when(shop: Any, second_process: Callable[..., Any]) -> None:
    shop.open()

    async def meanwhile() -> str:
        async with shop.graph.saver.runs.hold(shop.run(), "local", actor="alice") as held:
            with second_process() as other:
                graph = build_graph(shop.workflows(), other)
                with pytest.raises(RunOwned) as refused:
                    await asyncio.to_thread(graph.invoke, None, shop.config())
            assert held.owner in str(refused.value)
            return str(refused.value)

    assert re.search(r"is owned by .+ until \d\d:\d\d:\d\d", asyncio.run(meanwhile()))
    shop.still_answerable()


def test_a_patient_owner_is_told_as_soon_as_the_holder_proves_alive(
    shop: Any, second_process: Callable[..., Any]
) -> None:
    shop.open()

    async def meanwhile() -> float:
        async with shop.graph.saver.runs.hold(shop.run(), "local", actor="alice"):
            with second_process(wait=True) as other:
                graph = build_graph(shop.workflows(), other)
                start = time.monotonic()
                with pytest.raises(RunOwned):
                    await asyncio.to_thread(graph.invoke, None, shop.config())
                return time.monotonic() - start

    assert asyncio.run(meanwhile()) < LEASE.total_seconds()
    shop.still_answerable()


def test_a_dead_owners_lease_is_waited_out(shop: Any, owner: Any) -> None:
    asked = shop.open()
    assert owner.change_named(DEAD, run=shop.run(), left=timedelta(seconds=0.4)) == 1
    start = time.monotonic()
    result = shop.answer(asked.approve(by="alice"))
    assert (result["status"], shop.sold()) == ("succeeded", ["ada:100"])
    assert time.monotonic() - start > 0.2


def test_without_patience_nobody_waits(shop: Any, owner: Any, second_process: Callable[..., Any]) -> None:
    shop.open()
    owner.change_named(DEAD, run=shop.run(), left=timedelta(hours=1))
    with second_process() as other:
        graph = build_graph(shop.workflows(), other)
        with pytest.raises(RunOwned, match="a dead one"):
            graph.invoke(None, shop.config())
    owner.change_named(DEAD, run=shop.run(), left=timedelta(0))
    shop.still_answerable()


def test_an_answer_is_recorded_while_another_owner_moves_the_run(
    shop: Any, owner: Any, second_process: Callable[..., Any]
) -> None:
    asked = shop.open()
    owner.change_named(DEAD, run=shop.run(), left=timedelta(hours=1))
    with second_process() as other:
        shop.graph = build_graph(shop.workflows(), other)
        assert shop.answer(asked.approve(by="alice"))["decision"]["repeated"] is False
        assert shop.answer(asked.approve(by="alice"))["decision"]["repeated"] is True
        assert shop.booked == []
        owner.change_named(DEAD, run=shop.run(), left=timedelta(0))
        assert shop.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert shop.sold() == ["ada:100"]


def test_a_lease_is_renewed_while_a_step_runs_longer_than_it(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any
) -> None:
    first = owner.rows("SELECT gatepost.now() AS now")[0]["now"]

    @tool(effect="read")
    def long() -> str:
        owner.wait_for(
            "SELECT FROM gatepost.run WHERE run_id = %s AND lease_expires_at > %s", shop.run(), first + LEASE * 1.5
        )
        return "renewed"

    workflow = Workflow(
        name="w", goals=("w",), strategy=FixedPlan(Plan(steps=(Step(id="long", tool="long"),))), tools=(long,)
    )
    assert build([workflow]).invoke({"goal": "w"}, shop.config())["status"] == "succeeded"


def test_a_zombie_notices_by_its_heartbeat_and_stops(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any
) -> None:
    """Its epoch is raised while a step runs; nothing of that step is written, and no other starts."""
    after: list[str] = []

    @tool(effect="read")
    def overtaken() -> str:
        owner.change_named(DEAD, run=shop.run(), left=timedelta(hours=1))
        return "too late"

    @tool(effect="read")
    def next_one(got: str) -> str:
        after.append(got)
        return got

    steps = (
        Step(id="overtaken", tool="overtaken"),
        Step(id="next", tool="next_one", args={"got": "x"}, needs=("overtaken",)),
    )
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(overtaken, next_one))
    with pytest.raises(LostRun, match="another owner"):
        build([workflow]).invoke({"goal": "w"}, shop.config())
    assert after == []
    assert owner.steps(shop.run()) == {"overtaken": "running", "next": "ready"}
    assert owner.run(shop.run())["owner"] == "a dead one"


def test_a_lease_is_let_go_when_the_run_cannot_be_read(shop: Any, owner: Any) -> None:
    shop.open()
    kept = owner.rows("SELECT plan::text AS plan FROM gatepost.plan WHERE run_id = %s", shop.run())[0]["plan"]
    owner.change("UPDATE gatepost.plan SET plan = '{}' WHERE run_id = %s", shop.run())
    with pytest.raises(Exception, match="plan"):
        shop.graph.invoke(None, shop.config())
    assert owner.run(shop.run())["owner"] is None
    owner.change("UPDATE gatepost.plan SET plan = %s::json WHERE run_id = %s", kept, shop.run())
    shop.still_answerable()


def test_another_tenants_run_cannot_be_held(shop: Any) -> None:
    shop.open()

    async def hold() -> None:
        async with shop.graph.saver.runs.hold(shop.run(), "acme", actor="mallory"):
            raise AssertionError

    with pytest.raises(UnknownRun):
        asyncio.run(hold())
