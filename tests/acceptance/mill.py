"""Workflows for the tests of workers: copied into a test's folder, and named by --workflows mill:WORKFLOWS.

The provider is a SQLite file in that folder, which every worker process shares: it books each attempt under its
idempotency key, and the tests count there and not in our own tables. It stays when workers are killed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio

from gatepost import EffectContext, FixedPlan, Plan, Retry, Step, Workflow, tool

HERE = Path(__file__).parent
BOOKS = HERE / "books.sqlite"
OPEN = HERE / "open"
"""While it is missing, whoever waits for the door waits."""
TABLE = "CREATE TABLE IF NOT EXISTS attempt (key TEXT, run TEXT, step TEXT, pid INTEGER)"
GRIND = tuple(f"grind_{number}" for number in range(int(os.environ.get("MILL_STEPS", "6"))))
"""The steps of the fight's workflow, one after the other."""
STUBBORN = Retry(attempts=100)
"""Attempts are counted across the deaths of workers, and in a fight there are many."""
PACE = float(os.environ.get("MILL_PACE", "1"))


def booked(ctx: EffectContext) -> None:
    """The provider sees a call."""
    with closing(sqlite3.connect(BOOKS, timeout=60, isolation_level=None)) as books:
        books.execute(TABLE)
        row = (ctx.idempotency_key, ctx.run_id, ctx.step_id, os.getpid())
        books.execute("INSERT INTO attempt VALUES (?, ?, ?, ?)", row)


@tool(effect="write", on_doubt="retry", retry=STUBBORN)
async def grind(ctx: EffectContext) -> str:
    """A call that takes its time: 10 to 90 ms at the common pace, the same for every attempt of a step."""
    await anyio.sleep(PACE * (0.01 + (ctx.seed % 80) / 1000))
    booked(ctx)
    return "ground"


@tool(effect="write", on_doubt="retry", timeout=timedelta(minutes=5))
async def linger(ctx: EffectContext) -> str:
    """Wait for the door, on the event loop."""
    booked(ctx)
    while not OPEN.exists():  # noqa: ASYNC110 (another process opens it)
        await anyio.sleep(0.02)
    return "done"


@tool(effect="write", on_doubt="retry")
def crush(ctx: EffectContext) -> str:
    """Kill whoever runs it."""
    booked(ctx)
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@tool(effect="irreversible", on_doubt="retry", retry=STUBBORN)
def press(ctx: EffectContext) -> str:
    """What a person has to allow, whatever the policy."""
    booked(ctx)
    return "pressed"


TOOLS = (grind, linger, crush, press)


def _chain(*steps: tuple[str, str]) -> tuple[Step, ...]:
    """Steps one after the other."""
    names = [name for name, _ in steps]
    return tuple(
        Step(id=name, tool=called, needs=(names[number - 1],) if number else ())
        for number, (name, called) in enumerate(steps)
    )


def _workflow(goal: str, *steps: tuple[str, str]) -> Workflow:
    return Workflow(name=goal, goals=(goal,), strategy=FixedPlan(Plan(steps=_chain(*steps))), tools=TOOLS)


WORKFLOWS = [
    _workflow("grind", *((name, "grind") for name in GRIND)),
    _workflow("short", ("grind_0", "grind")),
    _workflow("linger", ("linger", "linger"), ("after", "grind")),
    _workflow("crush", ("crush", "crush")),
    _workflow("press", ("grind_0", "grind"), ("press", "press"), ("after", "grind")),
]
POLICY = """
permit (principal, action == Action::"run", resource) when { context.effect != "irreversible" };
permit (principal, action == Action::"decide", resource);
"""
