"""Tries to have an effect that is SQL in our own database happen twice, without its result, or under a lost lease."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Retry, Step, Workflow, tool
from gatepost.state.errors import LostRun

ALL = Policy('@id("all") permit (principal, action, resource);')
BOOK = "CREATE TABLE IF NOT EXISTS public.booked (key text NOT NULL, what text NOT NULL CHECK (what <> ''))"
QUICK = Retry(attempts=3, first=timedelta(milliseconds=1))


class Register:
    """A register in the same database."""

    def __init__(self, build: Callable[..., GatepostGraph], owner: Any) -> None:
        owner.change(BOOK)
        owner.change("GRANT SELECT, INSERT ON public.booked TO gatepost_app")
        self._owner = owner
        self.calls = 0
        self.ends: list[Exception | None] = []
        self.returns: Any = "booked"
        self.inside = threading.Event()
        self.waits: threading.Event | None = None

        @tool(effect="write", on_doubt="transaction", retry=QUICK)
        async def book(ctx: EffectContext, what: str) -> str:
            assert ctx.connection is not None
            self.calls += 1
            await ctx.connection.execute("INSERT INTO public.booked VALUES (%s, %s)", [ctx.idempotency_key, what])
            self.inside.set()
            while self.waits is not None and not self.waits.is_set():  # noqa: ASYNC110 (another thread sets it)
                await asyncio.sleep(0.005)
            if self.ends and (error := self.ends.pop(0)) is not None:
                raise error
            return self.returns  # type: ignore[no-any-return]

        plan = Plan(steps=(Step(id="book", tool="book", args={"what": "tea"}),))
        self.workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(plan), tools=(book,))
        self.graph = build([self.workflow], policy=ALL)

    def booked(self, run: str) -> int:
        return len(
            self._owner.rows(
                "SELECT FROM public.booked WHERE key IN (SELECT key FROM gatepost.effect WHERE run_id = %s)", run
            )
        )


@pytest.fixture
def register(build: Any, owner: Any) -> Register:
    return Register(build, owner)


def test_the_effect_and_its_result_are_one_transaction(register: Register, shop: Any, owner: Any) -> None:
    result = register.graph.invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["steps"]["book"]["output"]) == ("succeeded", "booked")
    (effect,) = owner.effects(shop.run())
    assert (effect["state"], effect["result"], register.booked(shop.run())) == ("succeeded", "booked", 1)


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), psycopg.OperationalError("gone")])
def test_what_fails_is_rolled_back_and_leaves_no_doubt(
    register: Register, shop: Any, owner: Any, error: Exception
) -> None:
    register.ends = [error]
    assert register.graph.invoke({"goal": "w"}, shop.config())["status"] == "succeeded"
    assert (register.calls, register.booked(shop.run())) == (2, 1)


@pytest.mark.parametrize("returns", [7, "\x00"], ids=["another type", "not storable"])
def test_a_result_that_cannot_be_recorded_is_an_effect_that_did_not_happen(
    register: Register, shop: Any, returns: Any
) -> None:
    register.returns = returns
    result = register.graph.invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["steps"]["book"]["failure"]["kind"]) == ("failed", "validation")
    assert register.booked(shop.run()) == 0


def test_what_the_database_refuses_did_not_happen(register: Register, build: Any, shop: Any) -> None:
    plan = Plan(steps=(Step(id="book", tool="book", args={"what": ""}),))
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(plan), tools=register.workflow.tools)
    result = build([workflow], policy=ALL).invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["steps"]["book"]["failure"]["kind"]) == ("failed", "validation")


def test_what_was_cut_off_is_done_anew_and_asks_nobody(register: Register, shop: Any, owner: Any) -> None:
    register.waits = threading.Event()

    async def cut() -> None:
        running = asyncio.ensure_future(register.graph.ainvoke({"goal": "w"}, shop.config()))
        await asyncio.to_thread(register.inside.wait, 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cut())
    assert register.booked(shop.run()) == 0
    register.waits.set()
    assert register.graph.invoke(None, shop.config())["status"] == "succeeded"
    (effect,) = owner.effects(shop.run())
    assert (effect["attempts"], register.calls, register.booked(shop.run())) == (2, 2, 1)


def test_whoever_lost_the_run_commits_nothing(register: Register, shop: Any, owner: Any) -> None:
    """Another owner takes the run over while the tool's transaction is open."""
    register.waits = waits = threading.Event()

    async def overtaken() -> None:
        running = asyncio.ensure_future(register.graph.ainvoke({"goal": "w"}, shop.config()))
        await asyncio.to_thread(register.inside.wait, 20)
        owner.change("UPDATE gatepost.run SET epoch = epoch + 1 WHERE run_id = %s", shop.run())
        waits.set()
        with pytest.raises(LostRun):
            await running

    asyncio.run(overtaken())
    assert register.booked(shop.run()) == 0
    (effect,) = owner.effects(shop.run())
    assert effect["state"] == "intended"
