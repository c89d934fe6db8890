"""Questions to a policy: what it can look at when a step is to run, and how Cedar takes it. Pure.

Invariant: only `args` holds what a plan says; everything else comes from declarations, rows and the caller's context.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Question:
    """May this step run?"""

    principal: str
    """Who asked for the run."""
    tenant: str
    step: str
    tool: str
    effect: str
    args: Mapping[str, JsonValue]
    origin: str
    """Who wrote the plan: file, person or model."""
    purpose: str = "run"
    """`run`, or `compensate`: the tool undoes what the step did."""
    workflow: str = ""
    cost: int = 0
    """Of this call, in the units that the tools declare."""
    spent: int = 0
    """By the run so far, this call not counted."""
    budget: int | None = None
    """What the run may spend, where its workflow says."""
    now: datetime | None = None
    """UTC, of the transition that judges; None where nobody knows, which asks if a policy looks at it."""

    def key(self) -> bytes | None:
        """What all questions have in common to which a set says the same; None: each is asked by itself.

        Types count: to Cedar, 1.0 and 1 are two values. A difference in the order of members costs a question more.
        """
        now = None if self.now is None else self.now.isoformat()
        said = (self.principal, self.tenant, self.step, self.tool, str(self.effect), self.origin, self.purpose)
        whole: Any = (*said, self.workflow, self.cost, self.spent, self.budget, now, self.args)
        try:
            return marshal.dumps(whole, 2)  # this version does not tell whether two texts are one object
        except ValueError:
            return None  # a subclass of a plain type, or nested too deep


def request_of(principal: str, action: str, step: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """A question as Cedar takes it."""
    return {
        "principal": {"type": "User", "id": principal},
        "action": {"type": "Action", "id": action},
        "resource": {"type": "Step", "id": step},
        "context": dict(context),
    }


def context_of(question: Question) -> dict[str, Any]:
    """What a policy can look at when a step is to run. Only `args` holds what a plan says."""
    names = ("tool", "effect", "tenant", "workflow", "origin", "purpose", "cost", "spent")
    context: dict[str, Any] = {name: getattr(question, name) for name in names}
    context["requester"] = question.principal
    context["args"] = cedar_value(dict(question.args))
    if question.budget is not None:
        context["budget"] = question.budget
    if (now := question.now) is not None:
        context["time"] = {"hour": now.hour, "minutes": now.hour * 60 + now.minute, "weekday": now.isoweekday()}
    return context


def cedar_value(value: JsonValue) -> Any:
    """Arguments as Cedar sees them.

    Cedar has no floats and no null: floats become decimals where four places hold them, and what
    has no Cedar form is left out, so that a policy about it fails to evaluate, which asks.
    """
    if isinstance(value, dict):
        members = {key: cedar_value(member) for key, member in value.items() if not key.startswith("__")}
        return {key: member for key, member in members.items() if member is not None}
    if isinstance(value, list):
        listed = [cedar_value(member) for member in value]
        return None if None in listed else listed  # a set without a member would be another set
    if isinstance(value, float):
        exact = Decimal(str(value))
        fits = abs(exact) < 10**14 and exact == round(exact, 4)  # in this order: round() raises beyond 28 digits
        return {"__extn": {"fn": "decimal", "arg": f"{exact:.4f}"}} if fits else None
    return value
