"""The form of an edit: what each argument takes, by the tool's JSON Schema, and reading what a person typed for it.

Invariant: what was typed means what the argument's type says and nothing else: `007` for a text is a text, `3.10` for
an exact amount keeps its digits. What it cannot be is refused with what it could. Pure.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gatepost.state.errors import InvalidDecision

_JSON = {"object": dict, "array": list}
_NUMBERS = {"integer", "number"}


@dataclass(frozen=True, slots=True)
class Field:
    """One argument."""

    name: str
    kinds: frozenset[str]
    """The types of JSON that it takes; none means any."""
    choices: tuple[Any, ...] = ()
    exact: bool = False
    """A number whose digits count: it travels as a text."""
    required: bool = True
    description: str = ""

    @property
    def shown(self) -> str:
        """What it takes, for a person."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        kinds = sorted(self.kinds - {"string"} if self.exact else self.kinds)
        words = [_WORDS.get(kind, kind) for kind in kinds]
        return " or ".join(words) or "any value"


_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON list",
    "object": "a JSON object",
    "null": "null",
}


def fields_of(schema: Mapping[str, Any]) -> dict[str, Field]:
    """The arguments of a tool, by name, as its JSON Schema has them."""
    required = set(schema.get("required", ()))
    return {
        name: _field(name, found, schema, required=name in required)
        for name, found in schema.get("properties", {}).items()
    }


def takes_of(schema: Mapping[str, Any]) -> str:
    """What there is to give, in a line: `vendor (a text), amount (a whole number, optional)`."""
    told = (f"{one.name} ({one.shown}{'' if one.required else ', optional'})" for one in fields_of(schema).values())
    return ", ".join(told) or "nothing"


def typed(schema: Mapping[str, Any], pairs: Iterable[str]) -> dict[str, Any]:
    """`name=value` pairs, each value read as its argument's type.

    Raises:
        InvalidDecision: no pair, no such argument, or not what it takes; says what would be right.
    """
    fields = fields_of(schema)
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidDecision(f"{pair!r:.80} is no name=value. Names are {', '.join(fields) or 'none'}.")
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InvalidDecision(f"there is no argument {name!r:.80}; there are {', '.join(fields) or 'none'}.{hint}")
        found[name] = value_of(fields[name], text)
    return found


def value_of(field: Field, text: str) -> Any:
    """What a person typed for an argument.

    Raises:
        InvalidDecision: not what it takes.
    """
    value = _read(field, text)
    if field.choices and value not in field.choices:
        raise InvalidDecision(f"{field.name} takes {field.shown}; {text!r:.80} is none of them.")
    return value


def _read(field: Field, text: str) -> Any:
    if field.kinds == {"string"}:
        return text
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        value = None if "string" not in field.kinds and field.kinds else text
        if value is None:
            raise InvalidDecision(_not_taken(field, text)) from None
        return value
    if field.exact and isinstance(value, int | float) and not isinstance(value, bool):
        return text.strip()
    if not field.kinds or any(_is(kind, value) for kind in field.kinds):
        return value
    if "string" in field.kinds:
        return text
    raise InvalidDecision(_not_taken(field, text))


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "string":
            return isinstance(value, str)
        case _:
            return isinstance(value, _JSON.get(kind, ()))


def _field(name: str, found: Mapping[str, Any], schema: Mapping[str, Any], *, required: bool) -> Field:
    parts = _alternatives(_resolved(found, schema), schema)
    kinds = {kind for part in parts for kind in _kinds(part)}
    listed = [part.get("enum") or [part["const"]] for part in parts if "enum" in part or "const" in part]
    choices = tuple(choice for several in listed for choice in several) if len(listed) == len(parts) else ()
    exact = kinds - {"null"} == {"number", "string"}  # how pydantic describes a Decimal
    return Field(
        name,
        frozenset(kinds) if all(map(_kinds, parts)) else frozenset(),
        choices,
        exact=exact,
        required=required,
        description=str(found.get("description", "")),
    )


def _alternatives(found: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    options = found.get("anyOf") or found.get("oneOf")
    if not options:
        return [found]
    return [part for option in options for part in _alternatives(_resolved(option, schema), schema)]


def _kinds(part: Mapping[str, Any]) -> set[str]:
    kind = part.get("type")
    if kind is None and "enum" in part:
        return {"string"} if all(isinstance(choice, str) for choice in part["enum"]) else set()
    return {kind} if isinstance(kind, str) else set(kind or ())


def _resolved(found: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    named = found.get("$ref")
    if not isinstance(named, str):
        return found
    resolved: Mapping[str, Any] = schema.get("$defs", {}).get(named.rsplit("/", 1)[-1], {})
    return resolved


def _no_number(word: str) -> Any:
    raise ValueError(word)


def _not_taken(field: Field, text: str) -> str:
    return f"{field.name} takes {field.shown}; {text!r:.80} is not that."
