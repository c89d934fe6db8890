"""What is killed while its facts are read again: a purchase whose price moves while a person thinks. Imported by
processes of their own, which share a folder: the market's price and the shop's books are files in it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from gatepost import ApprovalRequest, EffectContext, FixedPlan, Plan, Step, Workflow, ref, tool

FOLDER = "MARKET_FOLDER"
"""The environment variable that names the folder."""


def _file(name: str) -> Path:
    return Path(os.environ[FOLDER]) / name


@tool(effect="read")
def quote(ctx: EffectContext) -> dict[str, int]:
    """100, until the price of this run has moved."""
    return {"price": 120 if _file(f"moved-{ctx.run_id}").exists() else 100}


@tool(effect="write", on_doubt="retry")
def buy(ctx: EffectContext, price: int) -> str:
    """Booked once under its key, as a provider does that dedupes."""
    with suppress(FileExistsError), _file(ctx.idempotency_key).open("x") as book:
        book.write(f"{ctx.run_id} {price}")
    return "bought"


def answer(asked: ApprovalRequest) -> Mapping[str, Any]:
    """Approve; the price moves before the first answer is given."""
    if asked.supersedes is None:
        _file(f"moved-{asked.run}").touch()
    return asked.approve(by="alice")


WORKFLOW = Workflow(
    name="buy",
    goals=("buy",),
    strategy=FixedPlan(
        Plan(
            steps=(
                Step(id="quote", tool="quote"),
                Step(
                    id="buy",
                    tool="buy",
                    args={"price": ref("quote", "/price")},
                    relies_on={"quote": timedelta(microseconds=1)},
                ),
            )
        )
    ),
    tools=(quote, buy),
)
