"""Why the policy said what it said: every rule about the question, condition by condition, and what would change it.

Each policy, and each of its conditions, is put to Cedar alone with the same question; nothing here
interprets a condition itself, so the explanation cannot disagree with the judgement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import cedarpy

from gatepost.nodes.policy import Judgement, Policy, Verdict, about
from gatepost.nodes.policy_question import Question, context_of, request_of
from gatepost.nodes.policy_sets import Layers
from gatepost.nodes.policy_text import Clause, Written
from gatepost.state.values import printable

_PATH = re.compile(r"context((?:\.[A-Za-z_]\w*)+)")
Holds = Literal["yes", "no", "error"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a policy, put to Cedar alone."""

    text: str
    """As it is written, with `when` or `unless` before it."""
    line: int
    holds: Holds
    """Whether it lets the policy be satisfied."""
    actual: str
    """What the attributes in it are; for an error, Cedar's own words."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy, put to Cedar alone."""

    id: str
    layer: str
    """`deployment`, `workflow` or `tenant`."""
    effect: Literal["permit", "forbid"]
    source: str
    line: int
    satisfied: bool
    head: bool
    """Whether it is about this principal and step at all."""
    widens: str
    """The reason of its `@widens`, if it has one."""
    conditions: tuple[Condition, ...]

    @property
    def unmet(self) -> list[Condition]:
        """What keeps it from being satisfied."""
        return [one for one in self.conditions if one.holds != "yes"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A judgement with everything that led to it."""

    judgement: Judgement
    rules: tuple[Rule, ...]
    changes: tuple[str, ...]
    """What would change the verdict, what is nearest first."""

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        said = self.judgement
        return {
            "verdict": said.verdict.value,
            "policies": list(said.policies),
            "reasons": list(said.reasons),
            "policy_version": said.version,
            "rules": [asdict(rule) for rule in self.rules],
            "what_would_change_it": list(self.changes),
        }


def explain(layers: Layers, question: Question) -> Explanation:
    """Why a step may run, is asked about, or never runs."""
    judgement = layers.judge(question)
    context = context_of(question)
    rules = [
        _rule(layer or "deployment", policy, number, question, context)
        for layer, policy in layers.layers
        for number in range(len(policy.written))
        if about(policy.plain[number], "run")
    ]
    return Explanation(judgement, tuple(rules), tuple(_changes(judgement, rules, layers)))


def _rule(layer: str, policy: Policy, number: int, question: Question, context: Mapping[str, Any]) -> Rule:
    written, plain = policy.written[number], policy.plain[number]
    ask = _Asker(question, context)
    return Rule(
        id=written.id,
        layer=layer,
        effect=plain["effect"],
        source=policy.name,
        line=written.place.line,
        satisfied=ask(written.text)[0] == "yes",
        head=ask(_head(written))[0] == "yes",
        widens=plain.get("annotations", {}).get("widens") or "",
        conditions=tuple(_condition(clause, ask, context) for clause in written.clauses),
    )


class _Asker:
    """Puts one policy to Cedar with one question."""

    def __init__(self, question: Question, context: Mapping[str, Any]) -> None:
        self._request = request_of(question.principal, "run", question.step, context)

    def __call__(self, text: str) -> tuple[Holds, str]:
        """Whether it is satisfied, or Cedar's error."""
        try:
            answer = cedarpy.is_authorized(self._request, text, [])
        except Exception as error:  # noqa: BLE001 (as in nodes.policy: what the engine cannot take is an error)
            return "error", printable(str(error), limit=200)
        if answer.diagnostics.errors:
            return "error", printable(str(answer.diagnostics.errors[0]), limit=200).rpartition("`: ")[2]
        return ("yes" if answer.diagnostics.reasons else "no"), ""


def _head(written: Written) -> str:
    return f"{written.head};"


def _condition(clause: Clause, ask: _Asker, context: Mapping[str, Any]) -> Condition:
    holds, error = ask(clause.alone)
    return Condition(f"{clause.kind} {clause.text}", clause.place.line, holds, error or _actual(clause.text, context))


def _actual(text: str, context: Mapping[str, Any]) -> str:
    """The values of the attributes that a condition looks at."""
    said = []
    for path in dict.fromkeys(_PATH.findall(text)):
        found, names = _value(context, path.strip(".").split("."))
        told = "absent" if found is None else json.dumps(found, ensure_ascii=False)
        said.append(f"context.{'.'.join(names)} is {printable(told, limit=80)}")
    return ", ".join(said)


def _value(context: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, Sequence[str]]:
    """What a path leads to; a method's name at its end is none of an attribute."""
    value: Any = context
    for at, name in enumerate(names):
        if not isinstance(value, Mapping) or "__extn" in value:
            return _shown(value), names[:at]
        value = value.get(name)
        if value is None:
            return None, names[: at + 1]
    return _shown(value), names


def _shown(value: Any) -> Any:
    return value["__extn"]["arg"] if isinstance(value, Mapping) and "__extn" in value else value


def _changes(judgement: Judgement, rules: Sequence[Rule], layers: Layers) -> list[str]:
    if judgement.verdict is Verdict.FORBID:
        return [
            f"{_named(rule)} forbids it while all of this holds: {_listed(rule.conditions) or 'always'}; "
            "no permit lifts a forbid"
            for rule in rules
            if rule.effect == "forbid" and rule.satisfied
        ]
    broken = [one for rule in rules for one in rule.conditions if one.holds == "error"]
    if judgement.verdict is Verdict.RUN:
        held = [rule for rule in rules if rule.effect == "permit" and rule.satisfied]
        return [f"{_named(rule)} would no longer permit it if one of these changed: {_listed(rule.conditions)}"
                for rule in held if rule.conditions]  # fmt: skip
    if broken:
        return [f"line {one.line}: {one.text} could not be evaluated ({one.actual})" for one in broken]
    return list(_nearest(rules, layers))


def _nearest(rules: Sequence[Rule], layers: Layers) -> Iterable[str]:
    """For each set that does not permit it: its permits, those with the fewest unmet conditions first."""
    for at, (layer, policy) in enumerate(layers.layers):
        called = layer or "deployment"
        permits = [rule for rule in rules if rule.effect == "permit" and rule.layer == called]
        if any(rule.satisfied for rule in permits) or (at and not policy.narrows("run")):
            continue
        ours = sorted((rule for rule in permits if rule.head), key=lambda rule: len(rule.unmet))
        for rule in ours:
            yield f"the set of the {called} would permit it by {_named(rule)}, but for: {_listed(rule.unmet)}"
        if not ours:
            yield f"the set of the {called} ({policy.name}) has no permit about it; one would have to be written"


def _named(rule: Rule) -> str:
    return f"{rule.id} ({rule.source}:{rule.line})"


def _listed(conditions: Sequence[Condition]) -> str:
    return "; ".join(f"{one.text} ({one.actual})" if one.actual else one.text for one in conditions)
