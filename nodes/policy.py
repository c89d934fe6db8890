"""Policy: may this step run unattended, must a person be asked, or is it never to run?

Invariant: nothing that a model wrote sets risk, effect class, approver or tenant: those come from
the tool's declaration, the run's row and the caller's context. Whatever the engine cannot answer
cleanly asks a person; only a deciding `forbid` refuses. The engine is Cedar (cedarpy).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from importlib.resources import files
from typing import Any

import cedarpy
from pydantic import JsonValue

from gatepost.state.errors import CallerMistake
from gatepost.state.values import printable


class Verdict(StrEnum):
    """What the policy says about a step."""

    RUN = "run"
    """unattended"""
    ASK = "ask"
    """under an approval"""
    FORBID = "forbid"
    """never"""


class InvalidPolicy(CallerMistake):
    """A policy set that Cedar cannot read."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what led to it."""

    verdict: Verdict
    policies: tuple[str, ...]
    """Ids (`@id`) of the policies that decided."""
    reasons: tuple[str, ...]
    """Readable, for the approval and the record."""
    version: str
    """Of the policy set."""


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
    cost: str = "none"
    purpose: str = "run"
    """`run`, or `compensate`: the tool undoes what the step did."""


REMEMBERED = 1024
"""Judgements kept in memory."""


class Policy:
    """A set of Cedar policies, parsed once.

    Args:
        text: the policies.
        name: where they come from, for errors.

    Raises:
        InvalidPolicy: they cannot be read; the message has Cedar's own line and column.
    """

    def __init__(self, text: str, *, name: str = "the policy set") -> None:
        try:
            self._set = cedarpy.PolicySet.from_str(text)
        except ValueError as error:
            raise InvalidPolicy(
                f"{name} cannot be read: {printable(str(error))}. Correct it; nothing runs under a broken policy."
            ) from None
        self._names = _declared_ids(text)
        self._said: dict[str, Judgement] = {}
        self.version = hashlib.sha256(text.encode()).hexdigest()[:12]

    @classmethod
    def default(cls) -> Policy:
        """Reads run, everything else asks."""
        return cls((files("gatepost.nodes") / "default.cedar").read_text(), name="default.cedar")

    def judge(self, question: Question) -> Judgement:
        """May this step run unattended?

        The gate and the executor ask the same: what a set said of a question, it says again.
        """
        # As JSON and not canonically: to Cedar, 1.0 and 1 are two values.
        asked = json.dumps([getattr(question, name) for name in Question.__slots__], sort_keys=True)
        if (known := self._said.get(asked)) is None:
            if len(self._said) >= REMEMBERED:
                self._said.clear()
            known = self._said[asked] = self._judge(question)
        return known

    def _judge(self, question: Question) -> Judgement:
        context = {
            "tool": question.tool,
            "effect": question.effect,
            "tenant": question.tenant,
            "origin": question.origin,
            "cost": question.cost,
            "purpose": question.purpose,
            "args": cedar_value(dict(question.args)),
        }
        answer = self._ask(question.principal, "run", ("Step", question.step), context)
        policies = self._ids(answer)
        if answer.decision is cedarpy.Decision.Allow and not answer.diagnostics.errors:
            return Judgement(Verdict.RUN, policies, (), self.version)
        if answer.decision is cedarpy.Decision.Deny and policies:
            return Judgement(Verdict.FORBID, policies, (f"forbidden by {', '.join(policies)}",), self.version)
        return Judgement(Verdict.ASK, policies, self._why_ask(answer, question), self.version)

    def may_decide(
        self,
        *,
        principal: str,
        requester: str,
        tenant: str,
        step: str,
        tool: str,
        roles: Sequence[str] = (),
        effect: str = "",
    ) -> Judgement:
        """May this person answer this approval? RUN means yes; anything else no."""
        context = {
            "principal": principal,
            "requester": requester,
            "tenant": tenant,
            "tool": tool,
            "roles": sorted(roles),
            "effect": effect,
        }
        answer = self._ask(principal, "decide", ("Step", step), context)
        yes = answer.decision is cedarpy.Decision.Allow and not answer.diagnostics.errors
        return Judgement(Verdict.RUN if yes else Verdict.FORBID, self._ids(answer), (), self.version)

    def _ask(
        self, principal: str, action: str, resource: tuple[str, str], context: dict[str, Any]
    ) -> cedarpy.AuthzResult:
        request = {
            "principal": {"type": "User", "id": principal},
            "action": {"type": "Action", "id": action},
            "resource": {"type": resource[0], "id": resource[1]},
            "context": context,
        }
        return cedarpy.is_authorized(request, self._set, [])

    def _ids(self, answer: cedarpy.AuthzResult) -> tuple[str, ...]:
        return tuple(sorted(self._names.get(found, found) for found in answer.diagnostics.reasons))

    def _why_ask(self, answer: cedarpy.AuthzResult, question: Question) -> tuple[str, ...]:
        errors = tuple(
            f"a policy could not be evaluated: {self._named(str(error))}" for error in answer.diagnostics.errors
        )
        return errors or (f"no policy lets {question.tool} ({question.effect}) run unattended",)

    def _named(self, text: str) -> str:
        for internal, name in self._names.items():
            text = text.replace(f"`{internal}`", f"`{name}`")
        return printable(text, limit=300)


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


def _declared_ids(text: str) -> dict[str, str]:
    """Cedar's internal ids (`policy0`) and the `@id` each policy declares."""
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    return {
        internal: policy.get("annotations", {}).get("id") or internal
        for internal, policy in parsed["staticPolicies"].items()
    }
