"""Tries to have a provider called that everybody was told to leave alone: by another run, too early, or by many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gatepost import EffectContext, FixedPlan, GatepostGraph, NotDone, Plan, Policy, Retry, Step, Workflow, tool
from gatepost.checkpointing.breakers import OPEN_AFTER, OPEN_FOR
from gatepost.testing import Database

ALL = Policy('@id("all") permit (principal, action, resource);')
BUSY = NotDone("busy", again=True)
SECOND = timedelta(seconds=1)


class Bank:
    """A provider that several tools call, from several runs."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.calls: list[str] = []
        self.ends: Exception | None = None
        self.inside = asyncio.Event()
        self.goes_on: asyncio.Event | None = None

        async def call(ctx: EffectContext) -> str:
            self.calls.append(ctx.run_id)
            if self.goes_on is not None:
                self.inside.set()
                await self.goes_on.wait()
            if self.ends is not None:
                raise self.ends
            return "well"

        once = Retry(attempts=1)
        write = tool(effect="write", on_doubt="retry", provider="bank", retry=once, name="write")(call)
        read = tool(effect="read", provider="bank", retry=once, name="read")(call)
        other = tool(effect="read", provider="post", retry=once, name="other")(call)
        self.graph = build(
            [
                Workflow(name=one.name, goals=(one.name,), strategy=_only(one.name), tools=(one,))
                for one in (write, read, other)
            ],
            policy=ALL,
        )

    def run(self, run: str, goal: str = "read") -> Any:
        return self.graph.invoke({"goal": goal}, {"configurable": {"thread_id": run}})

    def again(self, run: str) -> Any:
        return self.graph.invoke(None, {"configurable": {"thread_id": run}})


def _only(name: str) -> FixedPlan:
    return FixedPlan(Plan(steps=(Step(id="call", tool=name),)))


@pytest.fixture
def bank(gatepost_graph: Callable[..., GatepostGraph]) -> Bank:
    return Bank(gatepost_graph)


def test_a_wish_to_be_left_alone_holds_for_every_run(bank: Bank, gatepost_database: Database, lone_owner: Any) -> None:
    bank.ends = NotDone("come back later", retry_after=timedelta(hours=1))
    assert bank.run("first")["status"] == "failed"
    bank.ends = None
    for run, goal in (("second", "read"), ("third", "write")):
        result = bank.run(run, goal)
        assert (result["status"], bank.calls) == ("waiting", ["first"])
        assert "nobody calls bank for now" in result["steps"]["call"]["reason"]
    assert lone_owner.effects("third") == []
    assert bank.run("elsewhere", "other")["status"] == "succeeded"
    gatepost_database.clock.shift(timedelta(hours=1))
    for run in ("second", "third"):
        assert bank.again(run)["status"] == "succeeded"
    assert bank.run("fourth")["status"] == "succeeded"


def test_many_failures_in_a_row_open_it_and_one_call_sees_whether_it_is_over(
    bank: Bank, gatepost_database: Database, lone_owner: Any
) -> None:
    bank.ends = BUSY
    for number in range(OPEN_AFTER):
        assert bank.run(f"r{number}", "write" if number % 2 else "read")["status"] == "failed"
    (breaker,) = lone_owner.rows("SELECT failures, open_until - gatepost.now() AS left FROM gatepost.breaker")
    assert (breaker["failures"], OPEN_FOR - breaker["left"] < 10 * SECOND) == (OPEN_AFTER, True)
    gatepost_database.clock.shift(OPEN_FOR)
    assert bank.run("probe")["status"] == "failed"
    (breaker,) = lone_owner.rows("SELECT open_until - gatepost.now() AS left FROM gatepost.breaker")
    assert breaker["left"] > timedelta(0), "one failure is enough while it is being seen to"
    gatepost_database.clock.shift(OPEN_FOR)
    bank.ends = None
    assert bank.run("well")["status"] == "succeeded"
    (breaker,) = lone_owner.rows("SELECT failures, open_until, probe_until FROM gatepost.breaker")
    assert breaker == {"failures": 0, "open_until": None, "probe_until": None}


@pytest.mark.parametrize("error", [NotDone("no such customer"), ValueError("a bug")])
def test_a_refusal_is_an_answer_and_a_bug_is_nobodys_bad_time(bank: Bank, lone_owner: Any, error: Exception) -> None:
    bank.ends = error
    for number in range(OPEN_AFTER + 1):
        bank.run(f"r{number}")
    assert len(bank.calls) == OPEN_AFTER + 1
    assert lone_owner.rows("SELECT FROM gatepost.breaker") == []


def test_a_success_between_failures_starts_the_count_anew(bank: Bank) -> None:
    for number in range(2 * OPEN_AFTER):
        bank.ends = None if number % (OPEN_AFTER - 1) == 0 else BUSY
        bank.run(f"r{number}")
    assert len(bank.calls) == 2 * OPEN_AFTER


def test_only_one_is_let_through_to_see(bank: Bank, gatepost_database: Database) -> None:
    bank.ends = NotDone("come back later", retry_after=timedelta(minutes=5))
    bank.run("first")
    gatepost_database.clock.shift(timedelta(minutes=5))
    bank.ends = None

    async def several() -> list[Any]:
        bank.goes_on = asyncio.Event()
        probe = asyncio.ensure_future(bank.graph.ainvoke({"goal": "read"}, {"configurable": {"thread_id": "probe"}}))
        await asyncio.wait_for(bank.inside.wait(), 20)
        others = [
            asyncio.ensure_future(bank.graph.ainvoke({"goal": "read"}, {"configurable": {"thread_id": f"o{number}"}}))
            for number in range(3)
        ]
        await asyncio.wait(others, timeout=0.3)
        assert bank.calls == ["first", "probe"]
        bank.goes_on.set()
        return list(await asyncio.gather(probe, *others))

    assert [result["status"] for result in asyncio.run(several())] == ["succeeded"] * 4


def test_whoever_was_to_see_and_died_is_not_waited_for_for_ever(
    bank: Bank, gatepost_database: Database, lone_owner: Any
) -> None:
    bank.ends = NotDone("come back later", retry_after=timedelta(minutes=5))
    bank.run("first")
    gatepost_database.clock.shift(timedelta(minutes=5))
    lone_owner.change("UPDATE gatepost.breaker SET probe_until = gatepost.now() - interval '1 second'")
    bank.ends = None
    assert bank.run("second")["status"] == "succeeded"
