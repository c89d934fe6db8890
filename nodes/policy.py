"""Policy: may this step run unattended, must a person be asked, or is it never to run?

Invariant: nothing that a model wrote sets risk, effect class, approver or tenant: those come from
the tool's declaration, the run's row and the caller's context. Whatever the engine cannot answer
cleanly asks a person; only a deciding `forbid` refuses. The engine is Cedar (cedarpy).

How several sets judge together is in `nodes.policy_sets`; that a set fits the tools, in `nodes.policy_check`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

import cedarpy

from gatepost.nodes.policy_question import Question, context_of, request_of
from gatepost.nodes.policy_text import Source, unreadable
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
    """A policy set that cannot be read, or does not fit the tools."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what led to it."""

    verdict: Verdict
    policies: tuple[str, ...]
    """Ids (`@id`) of the policies that decided; those of a workflow's or tenant's set with its name before them."""
    reasons: tuple[str, ...]
    """Readable, for the approval and the record."""
    version: str
    """Of the sets that judged."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one set says to one question."""

    allows: bool
    ids: tuple[str, ...]
    """Of the policies that decided."""
    errors: tuple[str, ...]
    widens: bool = False
    """One of the permits may lift what wider sets leave to a person."""

    @property
    def forbids(self) -> bool:
        """A forbid decided."""
        return not self.allows and bool(self.ids)


REMEMBERED = 1024
"""Judgements kept in memory."""


class Policy:
    """A set of Cedar policies, parsed once.

    Args:
        text: the policies.
        name: where they come from, for errors.

    Raises:
        InvalidPolicy: they cannot be read; the message names line and column.
    """

    def __init__(self, text: str, *, name: str = "the policy set") -> None:
        try:
            self._set = cedarpy.PolicySet.from_str(text)
            parsed = json.loads(cedarpy.policies_to_json_str(text))
        except ValueError as error:
            raise InvalidPolicy(_unreadable(text, name, str(error))) from None
        if parsed["templates"]:
            raise InvalidPolicy(
                f"{name} has a template (?principal or ?resource), which nothing here links. Name whom."
            )
        self.text = text
        self.name = name
        self.version = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.written = Source(text, name).policies()
        self.plain: list[dict[str, Any]] = [
            parsed["staticPolicies"][f"policy{number}"] for number in range(len(parsed["staticPolicies"]))
        ]
        """The policies in Cedar's JSON form, in their order."""
        self.timed = any('"time"' in json.dumps(policy["conditions"]) for policy in self.plain)
        """Whether a policy looks at the time."""
        self._names = {
            f"policy{number}": policy.get("annotations", {}).get("id") or f"policy{number}"
            for number, policy in enumerate(self.plain)
        }
        self._said: dict[bytes, Judgement] = {}

    @classmethod
    def default(cls) -> Policy:
        """Reads run, everything else asks."""
        return cls((files("gatepost.nodes") / "default.cedar").read_text(), name="default.cedar")

    @classmethod
    def read(cls, path: Path) -> Policy:
        """The set in a file.

        Raises:
            InvalidPolicy: the file or its text cannot be read.
        """
        try:
            return cls(path.read_text(encoding="utf-8"), name=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidPolicy(f"the policy {path} cannot be read ({error}). Correct the path.") from None

    def narrows(self, action: str) -> bool:
        """Whether the set permits something, and therefore leaves the rest to a person; `@widens` does not count."""
        return any(
            policy["effect"] == "permit" and "widens" not in policy.get("annotations", {}) and about(policy, action)
            for policy in self.plain
        )

    def judge(self, question: Question) -> Judgement:
        """May this step run unattended?

        The gate and the executor ask the same: what a set said of a question, it says again.
        """
        question = question if self.timed or question.now is None else replace(question, now=None)
        if (asked := question.key()) is not None and (known := self._said.get(asked)) is not None:
            return known
        said = combined([("", self, self.say(question))], question, self.version)
        if asked is not None:
            if len(self._said) >= REMEMBERED:
                self._said.clear()
            self._said[asked] = said
        return said

    def may_decide(
        self, *, principal: str, requester: str, tenant: str, step: str, tool: str, **more: Any
    ) -> Judgement:
        """May this person answer this approval? RUN means yes; anything else no.

        Args:
            principal: who wants to.
            requester: who asked for the run.
            tenant: whose run it is.
            step: the step that the approval is about.
            tool: its tool.
            more: `roles` of the principal (texts), the tool's `effect`, the `workflow`.
        """
        context = {"principal": principal, "requester": requester, "tenant": tenant, "tool": tool, **more}
        said = self.say_decide(step, context)
        yes = said.allows and not said.errors
        return Judgement(Verdict.RUN if yes else Verdict.FORBID, said.ids, (), self.version)

    def say(self, question: Question) -> Said:
        """What the set says about running a step."""
        try:
            context = context_of(question)
        except Exception as error:  # noqa: BLE001 (as below)
            return _unasked(error)
        return self._ask(question.principal, "run", question.step, context)

    def say_decide(self, step: str, context: Mapping[str, Any]) -> Said:
        """What the set says about answering an approval; the context is that of `may_decide`."""
        whole = {"effect": "", "workflow": "", **context, "roles": sorted(set(context.get("roles", ())))}
        return self._ask(str(context["principal"]), "decide", step, whole)

    def _ask(self, principal: str, action: str, step: str, context: Mapping[str, Any]) -> Said:
        try:
            answer = cedarpy.is_authorized(request_of(principal, action, step, context), self._set, [])
        except Exception as error:  # noqa: BLE001 (whatever the engine cannot take, a person is asked about)
            return _unasked(error)
        found = answer.diagnostics.reasons
        errors = tuple(self._named(str(error)) for error in answer.diagnostics.errors)
        if answer.decision is cedarpy.Decision.NoDecision and not errors:
            errors = ("the policy engine gave no decision",)
        allows = answer.decision is cedarpy.Decision.Allow
        widens = allows and any("widens" in self.plain[_number(one)].get("annotations", {}) for one in found)
        return Said(allows, tuple(sorted(self._names.get(one, one) for one in found)), errors, widens)

    def _named(self, text: str) -> str:
        for internal, name in self._names.items():
            text = text.replace(f"`{internal}`", f"`{name}`")
        return printable(text, limit=300)


def combined(said: Sequence[tuple[str, Policy, Said]], question: Question, version: str) -> Judgement:
    """The judgement of several sets, the widest first, each with the name that its policies are called by.

    A forbid of any set holds. What no set could answer cleanly asks. Otherwise a step runs when each set
    that permits anything permits it, or a narrower one lifts that with a permit that says `@widens`.
    """
    if forbidden := _called((layer, one) for layer, _, one in said if one.forbids):
        return Judgement(Verdict.FORBID, forbidden, (f"forbidden by {', '.join(forbidden)}",), version)
    allowing = _called((layer, one) for layer, _, one in said if one.allows)
    if errors := tuple(f"a policy could not be evaluated: {error}" for _, _, one in said for error in one.errors):
        return Judgement(Verdict.ASK, allowing, errors, version)
    left = _unlifted(said, "run")
    if not left:
        return Judgement(Verdict.RUN, allowing, (), version)
    sets = ", ".join(layer or "deployment" for layer in left)
    where = "" if left == [""] else f" (so says the set of: {sets})"
    reason = f"no policy lets {question.tool} ({question.effect}) run unattended{where}"
    return Judgement(Verdict.ASK, (), (reason,), version)


def decided(said: Sequence[tuple[str, Policy, Said]], version: str) -> Judgement:
    """As `combined`, about who may decide: RUN means yes, anything else no."""
    if forbidden := _called((layer, one) for layer, _, one in said if one.forbids):
        return Judgement(Verdict.FORBID, forbidden, (), version)
    yes = not _unlifted(said, "decide") and not any(one.errors for _, _, one in said)
    allowing = _called((layer, one) for layer, _, one in said if one.allows)
    return Judgement(Verdict.RUN if yes else Verdict.FORBID, allowing if yes else (), (), version)


def _unlifted(said: Sequence[tuple[str, Policy, Said]], action: str) -> list[str]:
    """The sets that do not permit, and whose silence no narrower one lifts."""
    left, lifted = [], False
    for at, (layer, policy, one) in reversed(list(enumerate(said))):
        if not one.allows and not lifted and (at == 0 or policy.narrows(action)):
            left.append(layer)
        lifted = lifted or one.widens
    return left[::-1]


def _called(found: Any) -> tuple[str, ...]:
    return tuple(f"{layer}:{one}" if layer else one for layer, said in found for one in said.ids)


def about(policy: Mapping[str, Any], action: str) -> bool:
    """Whether a policy, in Cedar's JSON form, is about an action."""
    scope = policy["action"]
    entities = scope.get("entities", [scope["entity"]] if "entity" in scope else None)
    return entities is None or any(entity["id"] == action for entity in entities)


def _number(internal: str) -> int:
    return int(internal.removeprefix("policy"))


def _unasked(error: Exception) -> Said:
    return Said(allows=False, ids=(), errors=(f"the question cannot be put: {printable(str(error), limit=200)}",))


def _unreadable(text: str, name: str, said: str) -> str:
    where, found = "", unreadable(Source(text, name))
    if found is not None:
        written, place = found
        where = f"{name}:{place.line}:{place.column}: {written.id}: "
    return (
        f"{name} cannot be read: {printable(where)}{printable(said)}. Correct it; nothing runs under a broken policy."
    )
