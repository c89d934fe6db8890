"""Checking a policy set against the tools, before anything runs under it.

Cedar's own validator judges each policy once for each tool, with what is known of the tool put in
(`context.tool`, `context.effect`), so that what is said of one tool is not held against another. On
top of it come the slips that Cedar cannot see, because to Cedar they are only texts: a tool that
nobody has, an effect class that there is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import cedarpy

from gatepost.nodes.policy import InvalidPolicy, Policy
from gatepost.nodes.policy_schema import DECIDE, RUN, WORDS, ToolSchema
from gatepost.nodes.policy_text import Place, Written
from gatepost.state.values import printable

_PREFIX = re.compile(r"^for policy `[^`]*`, ")
_ATTRIBUTE = re.compile(r"attribute `([^`]+)` in context for Action::\"(\w+)\" not found")
_OPTIONAL = re.compile(r"access to optional attribute `([^`]+)`")
_UNKNOWN = re.compile(r"unrecognized (?:action|entity type) `([^`]+)`")
_CONSEQUENCE = "unable to find an applicable action given the policy scope constraints"
_DECIMALS = 'Numbers with a fraction are compared so: context.args.rate.lessThan(decimal("1.5"))'
_LISTED = 40
"""Findings that one error message holds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a policy set that is wrong."""

    source: str
    line: int
    column: int
    policy: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.policy}: {self.problem}. {self.fix}"


def require_sound(policy: Policy, tools: Sequence[ToolSchema]) -> None:
    """Check a set before it judges anything.

    Raises:
        InvalidPolicy: with everything that is wrong: the place, and what would be right.
    """
    if found := check(policy, tools):
        listed = "\n".join(f"  {one}" for one in found[:_LISTED])
        raise InvalidPolicy(f"{policy.name} does not fit the tools; nothing runs under it:\n{listed}")


def check(policy: Policy, tools: Sequence[ToolSchema]) -> list[Finding]:
    """Everything that is wrong with a set that can be read, in the order of its lines."""
    found: dict[tuple[Place, str], Finding] = {}  # by the place and the fix: one for many tools is enough
    for written, plain in zip(policy.written, policy.plain, strict=True):
        for place, problem, fix in [*_words(written, plain, tools), *_validated(written, plain, tools)]:
            finding = Finding(policy.name, *place, written.id, problem, fix)
            found.setdefault((place, fix), finding)
    for place, name, problem in _annotations(policy):
        found[place, problem] = Finding(policy.name, *place, name, problem, "Correct the annotation")
    return sorted(found.values(), key=lambda one: (one.line, one.column))


def _annotations(policy: Policy) -> Iterator[tuple[Place, str, str]]:
    seen: set[str] = set()
    for written, plain in zip(policy.written, policy.plain, strict=True):
        if written.id in seen:
            yield written.place, written.id, f'another policy of this set is called @id("{written.id}") already'
        seen.add(written.id)
        widens = plain.get("annotations", {}).get("widens", "said")
        if not widens or (widens != "said" and plain["effect"] != "permit"):
            yield written.place, written.id, '@widens says why, and stands on a permit: @widens("a reason")'


def _validated(
    written: Written, plain: Mapping[str, Any], tools: Sequence[ToolSchema]
) -> Iterator[tuple[Place, str, str]]:
    for tool in tools:
        for message in _complaints(plain, tool):
            if message == _CONSEQUENCE:
                continue
            yield _explained(written, plain, message, tool, tools)


def _complaints(plain: Mapping[str, Any], tool: ToolSchema) -> list[str]:
    known = {"tool": tool.tool, "effect": tool.effect}
    one = {**plain, "conditions": [{**part, "body": put_in(part["body"], known)} for part in plain["conditions"]]}
    text = cedarpy.policies_from_json_str(
        json.dumps({"staticPolicies": {"policy0": one}, "templates": {}, "templateLinks": []})
    )
    return [_PREFIX.sub("", error.error) for error in cedarpy.validate_policies(text, tool.parsed).errors]


def put_in(body: Any, known: Mapping[str, str]) -> Any:
    """A condition with what is known of the tool put in the place of `context.tool` and the like."""
    if isinstance(body, list):
        return [put_in(part, known) for part in body]
    if not isinstance(body, dict):
        return body
    if (name := _attribute(body)) in known:
        return {"Value": known[name]}
    if (among := _among(body)) and among[0] in known:
        return {"Value": known[among[0]] in among[1]}
    return {key: value if key == "Value" else put_in(value, known) for key, value in body.items()}


def _attribute(body: Any) -> str:
    """`tool`, of `context.tool`."""
    match body:
        case {".": {"left": {"Var": "context"}, "attr": str(name)}}:
            return name
    return ""


def _among(body: Any) -> tuple[str, list[str]] | None:
    """`tool` and the texts, of `["charge", "mail"].contains(context.tool)`."""
    match body:
        case {"contains": {"left": {"Set": list(members)}, "right": right}} if name := _attribute(right):
            values: list[object] = [member.get("Value") for member in members if isinstance(member, dict)]
            texts = [value for value in values if isinstance(value, str)]
            return (name, texts) if len(texts) == len(members) else None
    return None


def _words(written: Written, plain: Mapping[str, Any], tools: Sequence[ToolSchema]) -> Iterator[tuple[Place, str, str]]:
    """Texts that are compared with an attribute and can never be its value; `has` of what there never is."""
    known: dict[str, Iterable[str]] = {**WORDS, "tool": sorted({tool.tool for tool in tools})}
    for name, value in _compared(plain["conditions"]):
        words = list(known.get(name, ()))
        if words and value not in words:
            place = written.find(value) or written.place
            yield place, f'no {name} is called "{printable(value)}"', _meant(value, words)
    arguments = {name for tool in tools for name in (*tool.arguments, *tool.untyped)}
    for path, name in _asked_for(plain["conditions"]):
        there = {"context": {*RUN, *DECIDE, "args"}, "args": arguments}.get(path)
        if there is not None and name not in there:
            place = (
                written.find(path, "has", name) or written.find(path, ".", name) or written.find(name) or written.place
            )
            what = "no tool takes an argument" if path == "args" else "there is no attribute"
            yield place, f"{what} {printable(name)!r}", _meant(name, there)


def _compared(conditions: Any) -> Iterator[tuple[str, str]]:
    """Attributes of the context and the texts that they are compared with."""
    for node in _nodes(conditions):
        if among := _among(node):
            yield from ((among[0], value) for value in among[1])
        for sides in (node.get("=="), node.get("!=")):
            match sides:
                case {"left": left, "right": {"Value": str(value)}} if name := _attribute(left):
                    yield name, value
                case {"left": {"Value": str(value)}, "right": right} if name := _attribute(right):
                    yield name, value


def _asked_for(conditions: Any) -> Iterator[tuple[str, str]]:
    """What is looked at in `context` (with `has`) and in `args`, and the name."""
    for node in _nodes(conditions):
        match node.get("has"):
            case {"left": {"Var": "context"}, "attr": str(name)}:
                yield "context", name
            case {"left": left, "attr": str(name)} if _attribute(left) == "args":
                yield "args", name
        match node.get("."):
            case {"left": left, "attr": str(name)} if _attribute(left) == "args":
                yield "args", name


def _nodes(body: Any) -> Iterator[dict[str, Any]]:
    """Every part of a condition in Cedar's JSON form."""
    if isinstance(body, list):
        for part in body:
            yield from _nodes(part)
    elif isinstance(body, dict):
        yield body
        for key, part in body.items():
            if key != "Value":
                yield from _nodes(part)


def _explained(
    written: Written, plain: Mapping[str, Any], message: str, tool: ToolSchema, tools: Sequence[ToolSchema]
) -> tuple[Place, str, str]:
    """Cedar's message with its place, and what would be right."""
    if missing := _ATTRIBUTE.search(message):
        path, action = missing[1], missing[2]
        return _place(written, path), *_missing(path, action, tool, tools)
    if optional := _OPTIONAL.search(message):
        path = optional[1]
        return _place(written, path), f"context.{path} may be absent", f"Write `context{_has(path)} &&` before it"
    if unknown := _UNKNOWN.search(message):
        name = unknown[1]
        words = ['Action::"run"', 'Action::"decide"'] if "action" in message else ["User", "Step", "Action"]
        last = re.findall(r"\w+", name)[-1]
        return written.find(last) or written.place, f"there is no {name}", _meant(name, words)
    fix = _DECIMALS if "decimal" in message else "Compare values of one type; `gatepost policy schema` lists them"
    return _clause_of(written, plain, message, tool), message, fix


def _missing(path: str, action: str, tool: ToolSchema, tools: Sequence[ToolSchema]) -> tuple[str, str]:
    first, _, rest = path.partition(".")
    if action == "decide" and (first in RUN or first == "args"):
        return (
            f"context.{path} is known where a step is to run, not where a person decides",
            'Write `action == Action::"run"` in the head of the policy',
        )
    if first in DECIDE and action == "run":
        return (
            f"context.{path} is known where a person decides, not where a step is to run",
            'Write `action == Action::"decide"` in the head of the policy',
        )
    if first != "args":
        there = DECIDE if action == "decide" else {**RUN, "args": {}}
        return f"there is no context.{path}", _meant(first, there)
    name = rest.partition(".")[0]
    if name in tool.untyped:
        return (
            f"context.{path} of {tool.tool} has no type that Cedar knows",
            "Declare the argument's fields (a pydantic model) in the tool, or leave it out of the policy",
        )
    takers = sorted({other.tool for other in tools if name in other.arguments})
    if name in tool.arguments:
        return f"{tool.tool} takes no {path}", f"`gatepost policy schema {tool.tool}` lists what it takes"
    if takers:
        guards = f'`context.tool == "{takers[0]}" &&` or `context.args has {name} &&`'
        return f"{tool.tool} takes no argument {name!r}", f"Write {guards} before it"
    return f"no tool takes an argument {name!r}", _meant(name, {name for one in tools for name in one.arguments})


def _meant(wrong: str, right: Iterable[str]) -> str:
    known = sorted(right)
    if close := get_close_matches(wrong, known, n=1, cutoff=0.5):
        return f"Did you mean `{close[0]}`?"
    return f"There are {', '.join(known[:12]) or 'none'}"


def _has(path: str) -> str:
    before, _, last = path.rpartition(".")
    return f".{before} has {last}" if before else f" has {last}"


def _place(written: Written, path: str) -> Place:
    parts = path.split(".")
    dotted = [word for part in parts for word in (".", part)]
    return written.find("context", *dotted) or written.find(parts[-1]) or written.place


def _clause_of(written: Written, plain: Mapping[str, Any], message: str, tool: ToolSchema) -> Place:
    """The first condition that Cedar says this of; Cedar itself names no place."""
    for clause in written.clauses:
        try:
            alone = json.loads(cedarpy.policies_to_json_str(clause.alone))["staticPolicies"]["policy0"]
        except ValueError:
            continue
        if message in _complaints({**plain, "conditions": alone["conditions"]}, tool):
            return clause.place
    return written.place
