"""Tries to make a tool hang, to hand it arguments in the wrong types, and to lose what it raised."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gatepost import EffectContext, Tool, tool
from gatepost.nodes.tool import InvalidArguments

CONTEXT = EffectContext(
    idempotency_key="eff_1", run_id="run_1", step_id="s", tenant="local", now=datetime(2026, 1, 1, tzinfo=UTC), seed=1
)
SOON = timedelta(milliseconds=50)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Lets threads go that a timeout has left behind."""
    event = threading.Event()
    yield event
    event.set()


@tool(effect="write")
def pay(ctx: EffectContext, to: str, amount: Decimal = Decimal(1)) -> tuple[str, str, Decimal, int]:
    return ctx.idempotency_key, to, amount, threading.get_ident()


@tool(effect="write")
async def apay(ctx: EffectContext, to: str, amount: Decimal = Decimal(1)) -> tuple[str, str, Decimal, int]:
    return ctx.idempotency_key, to, amount, threading.get_ident()


@pytest.mark.parametrize("declared", [pay, apay], ids=["sync", "async"])
def test_tool_gets_its_context_and_its_arguments_as_it_typed_them(declared: Any) -> None:
    key, to, amount, _ = asyncio.run(declared.call(CONTEXT, {"to": "ada", "amount": "2.50"}))
    assert (key, to, amount) == ("eff_1", "ada", Decimal("2.50"))
    assert type(amount) is Decimal


def test_sync_tool_does_not_block_the_loop() -> None:
    *_, thread = asyncio.run(pay.call(CONTEXT, {"to": "ada"}))
    assert thread != threading.get_ident()


def test_async_tool_runs_on_the_loop() -> None:
    *_, thread = asyncio.run(apay.call(CONTEXT, {"to": "ada"}))
    assert thread == threading.get_ident()


@pytest.mark.parametrize("declared", [pay, apay], ids=["sync", "async"])
def test_arguments_are_checked_once_more_before_the_call(declared: Tool[..., Any]) -> None:
    with pytest.raises(InvalidArguments, match="note: Extra inputs"):
        asyncio.run(declared.call(CONTEXT, {"to": "ada", "note": "x"}))


def test_sync_tool_that_hangs_is_given_up_and_its_result_ignored(released: threading.Event) -> None:
    @tool(effect="read", timeout=SOON)
    def hang() -> None:
        released.wait(30)

    async def call() -> None:
        try:
            await hang.call(CONTEXT, {})
        finally:
            released.set()

    before = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(call())
    assert time.monotonic() - before < 10


def test_async_tool_that_hangs_is_cancelled() -> None:
    ended: list[str] = []

    @tool(effect="read", timeout=SOON)
    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    with pytest.raises(TimeoutError):
        asyncio.run(hang.call(CONTEXT, {}))
    assert ended == ["cleaned up"]


class Refused(Exception):
    pass


@tool(effect="read")
def fail(why: str) -> None:
    raise Refused(why)


@tool(effect="read")
async def afail(why: str) -> None:
    raise Refused(why)


@pytest.mark.parametrize("declared", [fail, afail], ids=["sync", "async"])
def test_what_a_tool_raises_comes_out_as_it_is(declared: Tool[..., Any]) -> None:
    with pytest.raises(Refused, match="no credit"):
        asyncio.run(declared.call(CONTEXT, {"why": "no credit"}))


def find(ctx: EffectContext, to: str, amount: Decimal) -> str | None:
    return f"{ctx.idempotency_key} {to} {amount!r}" if to == "ada" else None


async def afind(ctx: EffectContext, to: str, amount: Decimal) -> str | None:
    return find(ctx, to, amount)


@pytest.mark.parametrize("lookup", [find, afind], ids=["sync", "async"])
def test_look_up_is_asked_with_the_context_and_the_same_arguments(lookup: Callable[..., Any]) -> None:
    @tool(effect="write", on_doubt="lookup", lookup=lookup, settle=SOON)
    def send(to: str, amount: Decimal = Decimal(1)) -> str:
        raise AssertionError(f"a look-up sends nothing: {to} {amount}")

    assert asyncio.run(send.look_up(CONTEXT, {"to": "ada"})) == "eff_1 ada Decimal('1')"
    assert asyncio.run(send.look_up(CONTEXT, {"to": "bob"})) is None


def test_look_up_that_hangs_is_given_up() -> None:
    async def hang(_ctx: EffectContext) -> None:
        await asyncio.Event().wait()

    @tool(effect="write", on_doubt="lookup", lookup=hang, timeout=SOON, settle=SOON)
    def send() -> None: ...

    with pytest.raises(TimeoutError):
        asyncio.run(send.look_up(CONTEXT, {}))
