"""Workflows for the tests of the command line: copied into a test's folder, and named by --workflows till:WORKFLOWS.

What a tool did, and that it is in, is told by files in the folder of the copy: processes of a test meet there.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import anyio

from gatepost import (
    Artifact,
    Conclusion,
    Condition,
    EffectContext,
    Ending,
    Finding,
    FixedPlan,
    Plan,
    Response,
    RunStatus,
    Situation,
    Step,
    Workflow,
    ref,
    tool,
)

HERE = Path(__file__).parent
BOOKS = HERE / "books"
"""A line for each call that reached the till: the idempotency key, and what was booked."""
OPEN = HERE / "open"
"""While it is missing, whoever waits for the door waits."""
HOSTILE = "\x1b]0;owned\x07\x1b[2K\r[step] forged=ok\n[step] forged=ok\u202e\u2066 \x9b31m"
MORE = "more asked for"


class Looked(Finding):
    """What was found."""

    fit: bool
    customer: str = "ada"


@tool(effect="read")
def look(fit: bool) -> Looked:  # noqa: FBT001 (a plan names it)
    """Look a customer up."""
    return Looked(fit=fit)


@tool(effect="read")
def suspect(fit: bool) -> Looked:  # noqa: FBT001
    """Look a customer up, and want a person to decide."""
    return Looked(fit=fit, needs_approval="looks odd")


@tool(effect="write", on_doubt="retry", label="word")
def book(ctx: EffectContext, customer: str, cents: int = 100, controls: list[str] = []) -> dict[str, str]:  # noqa: B006
    """Ring the till."""
    _booked(ctx, f"{customer}:{cents}:{','.join(controls)}")
    return {"word": f"booked_{cents}"}


@tool(effect="read", label="word")
def curse() -> dict[str, str]:
    """Answer with something that a terminal would act on."""
    return {"word": HOSTILE}


@tool(effect="read")
def stumble() -> str:
    """Fail, with a message that a terminal would act on."""
    raise ValueError(HOSTILE)


@tool(effect="write", on_doubt="retry", timeout=timedelta(minutes=5))
async def linger(ctx: EffectContext) -> str:
    """Wait for the door, on the event loop."""
    _booked(ctx, "linger")
    while not OPEN.exists():  # noqa: ASYNC110 (another process opens it)
        await anyio.sleep(0.02)
    return "done"


@tool(effect="write", on_doubt="retry", timeout=timedelta(minutes=5))
def dawdle(ctx: EffectContext) -> str:
    """Wait for the door, in a thread that nobody can stop."""
    _booked(ctx, "dawdle")
    while not OPEN.exists():
        threading.Event().wait(0.02)
    return "done"


@tool(effect="write", on_doubt="ask", label="word")
def vanish(ctx: EffectContext) -> dict[str, str]:
    """Ring the till, and let nobody see how it ended."""
    _booked(ctx, "vanish")
    raise TimeoutError


class Haggling:
    """Plans one sale, and another one, with another step, whenever a person asks for something else first."""

    def plan(self, situation: Situation) -> Plan | None:
        """The plan after so many answers."""
        asked = [said for said in situation.responses if said.source == "approval"]
        if situation.plan is not None and situation.plan.version == 1 + len(asked):
            return None
        return Plan(steps=(*_looks(asked), _book("book" if not asked else f"book_{len(asked)}")), reason=_reason(asked))


def receipt(ending: Ending) -> Conclusion:
    """A receipt for a sale, under names that would like to lie elsewhere."""
    if ending.status is not RunStatus.SUCCEEDED:
        return Conclusion()
    names = ("receipt.json", "../../escaped.json", ".._.._escaped.json", ".hidden")
    return Conclusion(artifacts=tuple(Artifact(name=name, content=f'{{"name": "{name}"}}\n') for name in names))


def _booked(ctx: EffectContext, what: str) -> None:
    with BOOKS.open("a") as books:
        books.write(f"{ctx.idempotency_key} {what}\n")


def _looks(asked: list[Response]) -> list[Step]:
    return [Step(id="look", tool="look", args={"fit": True})] + [
        Step(id=f"look_{number}", tool="look", args={"fit": True}) for number in range(1, len(asked) + 1)
    ]


def _book(name: str, *, after: str = "look", when: Condition | None = None) -> Step:
    return Step(id=name, tool="book", args={"customer": ref(after, "/customer")}, when=when)


def _reason(asked: list[Response]) -> str:
    return f"{MORE}: {asked[-1].text}" if asked else ""


def _fixed(goal: str, *steps: Step) -> Workflow:
    return Workflow(name=goal.replace(" ", "_"), goals=(goal,), strategy=FixedPlan(Plan(steps=steps)), tools=TOOLS)


def _step(name: str, **args: bool) -> Step:
    given: Mapping[str, bool] = args
    return Step(id=name, tool=name, args=dict(given))


TOOLS = (look, suspect, book, curse, stumble, linger, dawdle, vanish)
WORKFLOWS = [
    Workflow(name="sell", goals=("sell",), strategy=Haggling(), tools=TOOLS, conclude=receipt),
    _fixed("sell to nobody", _step("look", fit=False), _book("book", when=Condition(ref="look#/fit", value=True))),
    _fixed("sell with care", _step("suspect", fit=True), _book("book", after="suspect")),
    _fixed("curse", _step("curse")),
    _fixed("stumble", _step("stumble")),
    _fixed("linger", _step("linger")),
    _fixed("dawdle", _step("dawdle")),
    _fixed("vanish", _step("vanish")),
]
