"""Forms on pages: how each argument is asked for in a browser, and the values that come back.

What an argument takes, and what a text for it means, `state.form` says for the terminal and for pages alike.

Pure. Invariant: a field that nobody touched gives back exactly the value it was made from, so a form
that is sent unchanged changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gatepost.state import form

Kind = Literal["text", "long", "number", "flag", "choice", "json"]
LONG = 60
MISSING = object()
_NUMBERS = frozenset({"integer", "number"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field."""

    takes: form.Field
    kind: Kind
    text: str
    """What stands in it."""
    prefix: str = "arg"
    """What its name in the form begins with; other names there are ours."""

    @property
    def name(self) -> str:
        """Of the argument."""
        return self.takes.name

    @property
    def input(self) -> str:
        """Its name in the form."""
        return f"{self.prefix}.{self.name}"

    @property
    def label(self) -> str:
        """For a person."""
        return self.name.replace("_", " ")

    @property
    def hint(self) -> str:
        """What it is, or what it takes where that does not show."""
        return self.takes.description or (self.takes.shown if self.kind in {"json", "number"} else "")

    @property
    def required(self) -> bool:
        """Whether it cannot be left out."""
        return self.takes.required

    @property
    def choices(self) -> tuple[str, ...]:
        """What it can be, where that is a few words."""
        return tuple(map(str, self.takes.choices)) if self.kind == "choice" else ()


def fields(schema: Mapping[str, Any], values: Mapping[str, Any], *, prefix: str = "arg") -> list[Field]:
    """The fields for some values, those that the schema names first; `prefix` tells one group of a form from others."""
    known = form.fields_of(schema)
    defaults = {name: found["default"] for name, found in schema.get("properties", {}).items() if "default" in found}
    others = [form.Field(name, frozenset(), required=False) for name in values if name not in known]
    return [
        _field(takes, values.get(takes.name, defaults.get(takes.name, MISSING)), prefix)
        for takes in [*known.values(), *others]
    ]


def read(given: Mapping[str, str], asked: list[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a form came back with.

    Raises:
        InvalidDecision: a field holds something else than it takes.
    """
    found: dict[str, Any] = {}
    for field in asked:
        text = given.get(field.input, "").replace("\r\n", "\n")
        if field.kind == "flag":
            text = "true" if field.input in given else "false"
        if text != field.text.replace("\r\n", "\n"):
            found[field.name] = form.value_of(field.takes, text)
        elif field.name in values:
            found[field.name] = values[field.name]
        elif field.kind == "flag" and field.required:
            found[field.name] = text == "true"
    return found


def _field(takes: form.Field, value: Any, prefix: str) -> Field:
    kind = _kind(takes, value)
    return Field(takes, kind, _text(kind, value), prefix)


def _kind(takes: form.Field, value: Any) -> Kind:
    kinds = takes.kinds - {"null"}
    if takes.choices and all(isinstance(one, str) for one in takes.choices):
        return "choice"
    if kinds == {"boolean"}:
        return "flag"
    if kinds and kinds <= _NUMBERS:
        return "number"
    if takes.exact or kinds == {"string"} or (isinstance(value, str) and "string" in kinds):
        return "long" if isinstance(value, str) and (len(value) > LONG or "\n" in value) else "text"
    return "json"


def _text(kind: Kind, value: Any) -> str:
    if value is MISSING or (value is None and kind != "json"):
        return "false" if kind == "flag" else ""
    if kind in {"text", "long", "choice"} and isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2 if kind == "json" else None)
