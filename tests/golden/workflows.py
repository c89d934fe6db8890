"""Workflows whose recorded histories are kept: one for each way that a run can go, with every part that may change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, JsonValue

from gatepost import (
    EffectContext,
    Finding,
    FixedPlan,
    NotDone,
    Plan,
    Policy,
    Retry,
    RunStatus,
    Situation,
    Step,
    Tool,
    Workflow,
    ref,
    tool,
)

ONCE = Retry(attempts=1)
ALL = Policy('@id("all") permit (principal, action, resource);')
CALLED: list[str] = []
"""What the tools below were called for."""


class Order(BaseModel):
    """What a sale starts from."""

    customer: str = "ada"
    cents: int = 100


class Receipt(BaseModel):
    """What a charge returns."""

    cents: int


class Price(Finding):
    """What a look at the prices finds."""

    cents: int = 0


@tool(effect="read")
def look(customer: str) -> dict[str, str]:
    CALLED.append("look")
    return {"customer": customer}


@tool(effect="read")
def find(why: str) -> Price:
    CALLED.append("find")
    return Price(cents=7, replan=why)


@tool(effect="write", on_doubt="retry", retry=ONCE)
def refund(customer: str) -> None:
    CALLED.append("refund")


@tool(effect="write", on_doubt="retry", retry=ONCE, compensate=refund)
def charge(ctx: EffectContext, customer: str, cents: int) -> Receipt:
    CALLED.append(f"charge {ctx.idempotency_key}")
    return Receipt(cents=cents)


@tool(effect="write", on_doubt="retry", retry=ONCE)
def mail(customer: str) -> str:
    CALLED.append("mail")
    if customer == "nobody":
        raise NotDone("there is no such address")
    return "sent"


def answer(prompt: JsonValue) -> JsonValue:
    """A model, as far as a recording is concerned."""
    CALLED.append("model")
    return {"tools": ["look", "charge"]} if prompt else None


@dataclass
class Picker:
    """A state machine that asks a model first, and after the charge decides whether to write."""

    task: str = "pick the tools"
    charge: str = "charge"
    worth_a_letter: int = 50
    late: Callable[[], bool] = field(default=lambda: False)

    async def plan(self, situation: Situation) -> Plan | None:
        """The next segment."""
        if situation.plan is None:
            picked: Any = await situation.ask({"task": self.task, "goal": situation.goal}, answer)
            return Plan(steps=self._first(picked["tools"]), final=False, origin="model")
        done = situation.steps[self.charge].output
        if len(situation.plan.steps) == 2 and (done["cents"] >= self.worth_a_letter or self.late()):  # type: ignore[index,call-overload,operator]
            letter = Step(id="mail", tool="mail", args={"customer": ref("input", "/customer")}, needs=(self.charge,))
            return Plan(steps=(*situation.plan.steps, letter), final=False)
        return None

    def _first(self, tools: list[str]) -> tuple[Step, ...]:
        customer: dict[str, JsonValue] = {"customer": ref("input", "/customer")}
        return (
            Step(id="look", tool=tools[0], args=customer),
            Step(id=self.charge, tool=tools[1], args={**customer, "cents": ref("input", "/cents")}, needs=("look",)),
        )


class Replanner:
    """Has another plan once somebody asks for it."""

    def plan(self, situation: Situation) -> Plan | None:
        """The first plan, then one that goes on from what was found."""
        found = Step(id="find", tool="find", args={"why": "it costs something"})
        pay = Step(id="pay", tool="charge", args={"customer": "ada", "cents": ref("find", "/cents")})
        if situation.plan is None:
            return Plan(steps=(found, Step(id="write", tool="mail", args={"customer": "ada"}, needs=("find",))))
        return Plan(steps=(found, pay)) if len(situation.responses) == situation.plan.version else None


def late_in_the_century() -> bool:
    """A branch on the wall clock."""
    return datetime.now(UTC) > datetime(2027, 6, 1, tzinfo=UTC)


def sale(*, request: type[BaseModel] = Order, charging: Tool[..., Any] = charge, **strategy: Any) -> Workflow:
    """Look, charge, and write about sales that are worth it."""
    return Workflow(
        name="sale", goals=("sell",), strategy=Picker(**strategy), tools=(look, charging, mail), input=request
    )  # fmt: skip


def lost_sale(name: str = "lost_sale", *, undo: bool = False) -> Workflow:
    """Charge, and write to an address that there is not: it fails, or it is undone."""
    pay = Step(id="pay", tool="charge", args={"customer": "ada", "cents": 5})
    write = Step(id="write", tool="mail", args={"customer": "nobody"}, needs=("pay",))
    return Workflow(
        name=name,
        goals=(name,),
        strategy=FixedPlan(Plan(steps=(pay, write))),
        tools=(charge, mail),
        compensate_on=frozenset({RunStatus.FAILED}) if undo else frozenset(),
    )


def chain(steps: int) -> Workflow:
    """Many steps, one after the other."""
    ids = [f"s{number}" for number in range(steps)]
    plan = Plan(
        steps=tuple(
            Step(id=step, tool="look", args={"customer": step}, needs=(before,) if before else ())
            for step, before in zip(ids, ["", *ids], strict=False)
        )
    )
    return Workflow(name="chain", goals=("chain",), strategy=FixedPlan(plan), tools=(look,))


WORKFLOWS = [
    sale(),
    lost_sale(),
    lost_sale("undone_sale", undo=True),
    Workflow(name="replanned", goals=("replan",), strategy=Replanner(), tools=(find, charge, mail)),
]
GOALS = {"finished": "sell", "failed": "lost_sale", "compensated": "undone_sale", "replanned": "replan"}
"""Recorded history by name, and the goal that makes it."""
