"""Typed forms: the fields that a JSON Schema asks for, and the values that come back.

Pure. Invariant: a field that nobody touched gives back exactly the value it was made from, so a form
that is sent unchanged changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gatepost.state.errors import InvalidValue

Kind = Literal["text", "long", "number", "flag", "choice", "json"]
LONG = 60
MISSING = object()


@dataclass(frozen=True, slots=True)
class Field:
    """One field."""

    name: str
    kind: Kind
    text: str
    """What stands in it."""
    label: str
    hint: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()

    @property
    def input(self) -> str:
        """Its name in the form; other names there are ours."""
        return f"arg.{self.name}"


def fields(schema: Mapping[str, Any], values: Mapping[str, Any]) -> list[Field]:
    """The fields for some values, those that the schema names first."""
    known = schema.get("properties") or {}
    names = [*known, *(name for name in values if name not in known)]
    required = schema.get("required") or ()
    return [
        _field(name, _followed(known.get(name, {}), schema), values.get(name, MISSING), required=name in required)
        for name in names
    ]


def read(given: Mapping[str, str], asked: list[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a form came back with.

    Raises:
        InvalidValue: a field holds something else than it says.
    """
    found: dict[str, Any] = {}
    for field in asked:
        text = given.get(field.input, "").replace("\r\n", "\n")
        if field.kind == "flag":
            text = "true" if field.input in given else "false"
        if text == field.text.replace("\r\n", "\n"):
            if field.name in values:
                found[field.name] = values[field.name]
            elif field.kind == "flag" and field.required:
                found[field.name] = text == "true"
        else:
            found[field.name] = _value(field, text)
    return found


def _field(name: str, schema: Mapping[str, Any], value: Any, *, required: bool) -> Field:
    if value is MISSING:
        value = schema.get("default", MISSING)
    kind = _kind(schema, value)
    label = str(name).replace("_", " ")
    choices = tuple(map(str, schema.get("enum") or ())) if kind == "choice" else ()
    return Field(name, kind, _text(kind, value), label, str(schema.get("description", "")), required, choices)


def _kind(schema: Mapping[str, Any], value: Any) -> Kind:
    if (enum := schema.get("enum")) and all(isinstance(one, str) for one in enum):
        return "choice"
    if schema.get("type") == "boolean" or isinstance(value, bool):
        return "flag"
    if schema.get("type") in {"integer", "number"} or (isinstance(value, int | float) and "type" not in schema):
        return "number"
    if isinstance(value, str) or (schema.get("type") == "string" and value in (MISSING, None)):
        return "long" if isinstance(value, str) and (len(value) > LONG or "\n" in value) else "text"
    return "json"


def _text(kind: Kind, value: Any) -> str:
    if value is MISSING or (value is None and kind != "json"):
        return "false" if kind == "flag" else ""
    if kind in {"text", "long", "choice"}:
        return str(value)
    return json.dumps(value, ensure_ascii=False, indent=2 if kind == "json" else None)


def _value(field: Field, text: str) -> Any:
    if field.kind in {"text", "long", "choice"}:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        wanted = "a number" if field.kind == "number" else "JSON"
        raise InvalidValue(f"{field.label}: {text[:80]!r} is not {wanted}. Correct it; nothing was recorded.") from None


def _followed(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without its reference, and without the null beside the one kind that it takes."""
    if (target := schema.get("$ref", "")).startswith("#/$defs/"):
        return _followed((whole.get("$defs") or {}).get(target[8:], {}), {**whole, "$defs": {}})
    others = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(others) == 1:
        return {
            **_followed(others[0], whole),
            **{name: schema[name] for name in ("default", "description") if name in schema},
        }
    return schema
