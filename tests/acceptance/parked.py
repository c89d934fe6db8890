"""A workflow of which one step is parked for an hour while a person is asked about the other; copied into a folder."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import anyio

from gatepost import EffectContext, FixedPlan, NotDone, Plan, Step, Workflow, tool

HERE = Path(__file__).parent


@tool(effect="read", timeout=timedelta(minutes=5))
async def busy() -> str:
    """Wait for the door, and be told to come back in an hour."""
    (HERE / "in").touch()
    while not (HERE / "open").exists():  # noqa: ASYNC110 (another process opens it)
        await anyio.sleep(0.02)
    raise NotDone("come back later", retry_after=timedelta(hours=1))


@tool(effect="write", on_doubt="retry")
def book(ctx: EffectContext, customer: str) -> str:
    """Ring the till."""
    with (HERE / "books").open("a") as books:
        books.write(f"{ctx.idempotency_key} {customer}\n")
    return "booked"


STEPS = (Step(id="busy", tool="busy"), Step(id="book", tool="book", args={"customer": "ada"}))
SALE = Workflow(name="sale", goals=("sale",), strategy=FixedPlan(Plan(steps=STEPS[1:])), tools=(book,))
BOTH = Workflow(name="both", goals=("both",), strategy=FixedPlan(Plan(steps=STEPS)), tools=(busy, book))
WORKFLOWS = [SALE, BOTH]
