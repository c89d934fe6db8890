"""`--set PATH=VALUE` of a fork: each value read as the type of what it sets. Whether it may be set, the fork checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gatepost.state.errors import CallerMistake, InvalidDecision
from gatepost.state.form import fields_of, value_of

Schema = Mapping[str, Any]


def read_changes(pairs: Iterable[str], *, given: Schema | None, tools: Mapping[str, Schema]) -> dict[str, Any]:
    """Changes by path.

    Args:
        pairs: `PATH=VALUE`.
        given: the JSON Schema of the run's input; None where its workflow takes any.
        tools: of each step's arguments, by step.

    Raises:
        CallerMistake: no pair, a path twice, or a value that is not what its place takes.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        if not equals or not path:
            raise CallerMistake(f"--set {pair!r:.80} is no PATH=VALUE. Write for example --set input.amount=90.")
        if path in found:
            raise CallerMistake(f"--set {path} is there twice. Leave one of them out.")
        match path.split(".", 3):
            case ["input", name]:
                found[path] = _value(path, name, text, given)
            case ["steps", step, "args", name]:
                found[path] = _value(path, name, text, tools.get(step))
            case _:
                found[path] = _untyped(path, text)
    return found


def _value(path: str, name: str, text: str, schema: Schema | None) -> Any:
    fields = fields_of(schema) if schema is not None else {}
    if name not in fields or _refers(text):
        return _untyped(path, text)
    try:
        return value_of(fields[name], text)
    except InvalidDecision as error:
        raise CallerMistake(f"--set {path}: {error}") from None


def _untyped(path: str, text: str) -> Any:
    """JSON, or else a text; what begins as JSON and is none was meant to be some."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if not text.startswith(("{", "[", '"')):
            return text
        raise CallerMistake(
            f"--set {path}: the value is no JSON ({error}). Quote it for the shell: --set '{path}={{\"name\": 1}}'; "
            "a text that begins so is given as a JSON string."
        ) from None


def _refers(text: str) -> bool:
    """A reference to the output of a step stands for a value of any type."""
    return text.startswith("{") and '"$ref"' in text
