"""What the tests of gates run, in processes of their own: payments that several people answer for.

What was paid is told by a file, a line for each call that reached the provider: processes of a test meet there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from gatepost import ApprovalRequest, EffectContext, FixedPlan, Gate, Plan, Step, Workflow, tool

BOOKS = "GATED_BOOKS"
"""The environment variable with the file's path."""
TWO = Gate(quorum=2, decide_within=timedelta(days=1), act_within=timedelta(days=1))
CHAIN = Gate(
    roles=("finance",),
    quorum=2,
    decide_within=timedelta(seconds=1),
    on_timeout="escalate",
    escalate_to=("cfo", "ceo"),
)


@tool(effect="write", on_doubt="retry")
def pay(ctx: EffectContext, customer: str, cents: int) -> str:
    """Pay somebody."""
    with Path(os.environ[BOOKS]).open("a") as books:
        books.write(f"{ctx.idempotency_key} {customer}:{cents}\n")
    return f"paid {cents}"


@tool(effect="read")
def look(name: str) -> str:
    """Look something up."""
    return name


def paid() -> Counter[str]:
    """How often each key was paid."""
    books = Path(os.environ[BOOKS])
    return Counter(line.partition(" ")[0] for line in books.read_text().splitlines()) if books.exists() else Counter()


_asked: Counter[str] = Counter()


def answer(asked: ApprovalRequest) -> Mapping[str, Any]:
    """A different person each time that it is asked; the same ones in the same order in every process."""
    _asked[asked.id] += 1
    return asked.approve(by=("alice", "bob", "carol")[(_asked[asked.id] - 1) % 3])


def nobody(asked: ApprovalRequest) -> None:
    """No answer."""


def cfo(asked: ApprovalRequest) -> Mapping[str, Any]:
    """The one who is asked when the others have not answered."""
    return asked.approve(by="eve")


def _workflow(name: str, *steps: Step, gate: Gate) -> Workflow:
    strategy = FixedPlan(Plan(steps=steps))
    return Workflow(name=name, goals=(name,), strategy=strategy, tools=(pay, look), gates={"pay": gate})


def _pay(step: str, cents: int) -> Step:
    return Step(id=step, tool="pay", args={"customer": "ada", "cents": cents})


WORKFLOWS = [
    _workflow("two", _pay("pay", 100), gate=TWO),
    _workflow("chain", _pay("pay", 100), gate=CHAIN),
    _workflow("one", _pay("pay", 100), gate=Gate()),
    _workflow("silent", _pay("pay", 100), gate=Gate(decide_within=timedelta(seconds=1))),
]
