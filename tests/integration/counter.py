"""A workflow for the service's tests, named on its command line: what a provider was asked is lines of a file."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost import (
    Artifact,
    Conclusion,
    EffectContext,
    Ending,
    FixedPlan,
    NotDone,
    Plan,
    Retry,
    RunStatus,
    Step,
    Workflow,
    ref,
    tool,
)

BOOK = "COUNTER_BOOK"


@tool(effect="read")
def look(name: str) -> dict[str, str]:
    """Look a customer up."""
    return {"name": name}


@tool(effect="write", on_doubt="retry")
def charge(ctx: EffectContext, customer: str, cents: int = 9, note: str = "", lines: list[dict[str, Any]] = []) -> str:  # noqa: B006
    """Charge a customer."""
    with Path(os.environ[BOOK]).open("a", encoding="utf-8") as book:
        book.write(f"{ctx.idempotency_key}\n")
    return f"charged {customer}"


SELL = Workflow(
    name="sell",
    goals=("sell",),
    strategy=FixedPlan(
        Plan(
            steps=(
                Step(id="look", tool="look", args={"name": ref("input", "/customer")}),
                Step(
                    id="charge",
                    tool="charge",
                    args={"customer": ref("look", "/name"), "cents": 100, "note": ref("input", "/note")},
                ),
            )
        )
    ),
    tools=(look, charge),
)


@tool(effect="write", on_doubt="retry")
def check_out(ctx: EffectContext, guest: str) -> None:
    """Give a room back."""
    with Path(os.environ[BOOK]).open("a", encoding="utf-8") as book:
        book.write(f"{ctx.idempotency_key}\n")


@tool(effect="write", on_doubt="retry", compensate=check_out)
def check_in(ctx: EffectContext, guest: str) -> str:
    """Take a room."""
    with Path(os.environ[BOOK]).open("a", encoding="utf-8") as book:
        book.write(f"{ctx.idempotency_key}\n")
    return guest


STAY = Workflow(
    name="stay",
    goals=("stay",),
    strategy=FixedPlan(
        Plan(
            steps=(
                Step(id="room", tool="check_in", args={"guest": ref("input", "/customer")}),
                Step(id="spa", tool="check_in", args={"guest": ref("input", "/customer")}, needs=("room",)),
            )
        )
    ),
    tools=(check_in,),
    compensate_on=frozenset({RunStatus.CANCELLED}),
)


@tool(effect="read", retry=Retry(attempts=1))
def weigh(what: str) -> int:
    """Weigh something, if the scales work: while a file says that they do not, they do not."""
    if Path(os.environ[BOOK]).with_name(f"broken-{what}").exists():
        raise NotDone("the scales are broken")
    return 3


def _ticket(ending: Ending) -> Conclusion:
    made = {"ticket.json": ("application/json", "{}"), "ticket.html": ("text/html", "<script>alert(1)</script>")}
    if ending.input.get("dated"):
        return Conclusion({"day": datetime.now().astimezone().isoformat()})  # what no workflow should do
    if ending.input.get("nosy"):
        return Conclusion({"secrets": " ".join(name for name in os.environ if name.startswith("GATEPOST_"))})
    if Path(os.environ[BOOK]).with_name("endless").exists():
        while True:
            pass
    tickets = [Artifact(name=name, content=text, media_type=kind) for name, (kind, text) in made.items()]
    return Conclusion(artifacts=tuple(tickets))


WEIGH = Workflow(
    name="weigh",
    goals=("weigh",),
    strategy=FixedPlan(
        Plan(
            steps=(
                Step(id="first", tool="weigh", args={"what": ref("input", "/customer")}),
                Step(id="second", tool="weigh", args={"what": "a second thing"}, needs=("first",)),
            )
        )
    ),
    tools=(weigh,),
    conclude=_ticket,
)
_BILLED: dict[str, Any] = {name: ref("input", f"/{name}") for name in ("customer", "note", "lines")}
BILL = Workflow(
    name="bill",
    goals=("bill",),
    strategy=FixedPlan(Plan(steps=(Step(id="charge", tool="charge", args=_BILLED),))),
    tools=(charge,),
)
WORKFLOWS = [SELL, STAY, WEIGH, BILL]
