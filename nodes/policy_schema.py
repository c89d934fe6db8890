"""The schema that policies are checked against, generated from the tools.

Each tool has a schema of its own: what `context.args` holds is what that tool takes, as it will be
sent, with defaults filled in. What Cedar has no type for (an open dict, a union) is no attribute.
Which attributes there are beside the arguments is written here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cedarpy
from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from gatepost.nodes.tool import AnyTool
from gatepost.state.effect import EffectClass

Type = dict[str, Any]

TEXT: Type = {"type": "String"}
NUMBER: Type = {"type": "Long"}
_TRUTH: Type = {"type": "Bool"}
_DECIMAL: Type = {"type": "Extension", "name": "decimal"}
_PLAIN: Mapping[str, Type] = {
    "string": TEXT,
    "integer": NUMBER,
    "boolean": _TRUTH,
    "number": {**_DECIMAL, "required": False},  # left out where four places do not hold it
}
_DEEPEST = 12
"""Levels of an argument's type; one that holds itself would have no end."""

RUN: Mapping[str, Type] = {
    "tool": TEXT,
    "effect": TEXT,
    "tenant": TEXT,
    "workflow": TEXT,
    "origin": TEXT,
    "purpose": TEXT,
    "requester": TEXT,
    "cost": NUMBER,
    "spent": NUMBER,
    "budget": {**NUMBER, "required": False},
    "time": {"type": "Record", "attributes": {"hour": NUMBER, "minutes": NUMBER, "weekday": NUMBER}},
}
"""What `run` is asked with, beside `args`."""
DECIDE: Mapping[str, Type] = {
    "principal": TEXT,
    "requester": TEXT,
    "tenant": TEXT,
    "workflow": TEXT,
    "tool": TEXT,
    "effect": TEXT,
    "roles": {"type": "Set", "element": TEXT},
}
"""What `decide` is asked with."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "effect": tuple(map(str, EffectClass)),
    "origin": ("file", "person", "model"),
    "purpose": ("run", "compensate"),
}
"""Attributes that are one of a few words."""


@dataclass(frozen=True)
class ToolSchema:
    """One tool as policies see it."""

    tool: str
    effect: str
    arguments: Mapping[str, Type]
    untyped: frozenset[str]
    """Arguments that Cedar has no type for."""

    @cached_property
    def plain(self) -> dict[str, Any]:
        """Cedar's JSON form of the schema."""
        args = {"type": "Record", "attributes": dict(self.arguments)}
        return {
            "": {
                "entityTypes": {"User": {}, "Step": {}},
                "actions": {
                    "run": _action({**RUN, "args": args}),
                    "decide": _action(DECIDE),
                },
            }
        }

    def shown(self) -> dict[str, str]:
        """The arguments and their types, for a person."""
        untyped = dict.fromkeys(self.untyped, "no type that a policy can use")
        return {**{name: _word(kind) for name, kind in self.arguments.items()}, **untyped}

    @staticmethod
    def attributes() -> dict[str, dict[str, str]]:
        """What else a policy can look at, by action."""
        return {
            action: {name: _word(kind) for name, kind in known.items()}
            for action, known in (("run", RUN), ("decide", DECIDE))
        }

    @cached_property
    def parsed(self) -> cedarpy.Schema:
        """For the validator."""
        return cedarpy.Schema.from_json_str(json.dumps(self.plain))


def schema_of(tool: AnyTool) -> ToolSchema:
    """The schema of a tool."""
    try:
        described: dict[str, Any] = tool.arguments.model_json_schema(by_alias=False, mode="serialization")
    except (PydanticUserError, ValidationError):
        described = {}
    properties: Mapping[str, Any] = described.get("properties", {})
    definitions: Mapping[str, Any] = described.get("$defs", {})
    types = {name: _type(one, definitions, 0) for name, one in properties.items()}
    known = {name: kind for name, kind in types.items() if kind is not None}
    return ToolSchema(tool.name, str(tool.effect), known, frozenset(types.keys() - known.keys()))


def schemas_of(tools: Iterable[AnyTool]) -> tuple[ToolSchema, ...]:
    """The schemas of tools and of what undoes them, each once."""
    found: dict[int, AnyTool] = {}
    for tool in tools:
        found[id(tool)] = tool
        if tool.compensate is not None:
            found[id(tool.compensate)] = tool.compensate
    return tuple(schema_of(tool) for tool in found.values())


def _action(context: Mapping[str, Type]) -> dict[str, Any]:
    return {
        "appliesTo": {
            "principalTypes": ["User"],
            "resourceTypes": ["Step"],
            "context": {"type": "Record", "attributes": dict(context)},
        }
    }


def _type(described: Any, definitions: Mapping[str, Any], depth: int) -> Type | None:
    """Cedar's type for a JSON Schema, with `required: False` where the attribute may be absent; None: it has none."""
    if depth > _DEEPEST or not isinstance(described, Mapping):
        return None
    if "$ref" in described:
        return _type(definitions.get(str(described["$ref"]).rpartition("/")[2]), definitions, depth + 1)
    if "anyOf" in described:
        return _either(described["anyOf"], definitions, depth)
    if "const" in described or "enum" in described:
        words = described.get("enum", [described.get("const")])
        return TEXT if all(isinstance(value, str) for value in words) else None
    kind = described.get("type")
    if kind == "array":
        return _set(described.get("items"), definitions, depth)
    if kind == "object":
        return _record(described, definitions, depth)
    return _PLAIN.get(str(kind))


def _word(kind: Type) -> str:
    absent = " (may be absent)" if kind.get("required") is False else ""
    if kind["type"] == "Set":
        return f"Set<{_word(kind['element'])}>{absent}"
    if kind["type"] == "Record":
        return "{" + ", ".join(f"{name}: {_word(one)}" for name, one in kind["attributes"].items()) + "}" + absent
    return f"{kind.get('name', kind['type'])}{absent}"


def _either(choices: Iterable[Mapping[str, Any]], definitions: Mapping[str, Any], depth: int) -> Type | None:
    listed = list(choices)
    types = [_type(one, definitions, depth + 1) for one in listed if one.get("type") != "null"]
    if not types or None in types or any(one != types[0] for one in types):
        return None
    found = types[0]
    assert found is not None
    return found if len(types) == len(listed) else {**found, "required": False}


def _set(items: Any, definitions: Mapping[str, Any], depth: int) -> Type | None:
    element = _type(items, definitions, depth + 1)
    if element is None:
        return None
    bare = {name: value for name, value in element.items() if name != "required"}
    found: Type = {"type": "Set", "element": bare}
    return {**found, "required": False} if element.get("required") is False else found


def _record(described: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Type | None:
    if "properties" not in described or described.get("additionalProperties"):
        return None
    members = {name: _type(one, definitions, depth + 1) for name, one in described["properties"].items()}
    known = {name: kind for name, kind in members.items() if kind is not None}
    return {"type": "Record", "attributes": known}
