"""References: how a step's arguments name the output of an earlier step.

`{"$ref": "<step id>#<JSON pointer>"}` anywhere inside arguments stands for the value found there
(RFC 6901); it is resolved before anybody judges, fingerprints or runs the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jsonpointer import JsonPointer, JsonPointerException
from pydantic import JsonValue
from pydantic_core import from_json, to_json

RUN_INPUT = "input"
"""The reserved step id under which references find the run's own input."""


class Unresolvable(LookupError):
    """A reference points at something that is not there; the message says what."""


def ref(step: str, pointer: str = "") -> dict[str, JsonValue]:
    """Refer to the output of an earlier step inside `args`: `ref("screen", "/controls")`.

    Args:
        step: the step's id, or `"input"` for the run's own input.
        pointer: a JSON pointer (RFC 6901) into its output; empty for all of it.
    """
    return {"$ref": f"{step}#{pointer}"}


def parse_ref(text: str) -> tuple[str, str]:
    """Split `<step id>#<pointer>`."""
    step, _, pointer = text.partition("#")
    if not step or (pointer and not pointer.startswith("/")):
        raise ValueError(f"reference {text!r:.120}: write '<step id>#/path/to/value'")
    return step, pointer


def references(value: JsonValue) -> Iterator[str]:
    """Every reference inside plain data, in order."""
    if isinstance(value, dict):
        if set(value) == {"$ref"} and isinstance(value["$ref"], str):
            yield value["$ref"]
            return
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def resolve(value: JsonValue, lookup: Callable[[str], JsonValue]) -> JsonValue:
    """Replace every reference in `value` by a copy of what it points at: a tool may change what it is given in place.

    Args:
        value: arguments as planned.
        lookup: the output of a step by its id.

    Raises:
        Unresolvable: a pointer leads nowhere.
    """
    if isinstance(value, dict):
        if set(value) == {"$ref"} and isinstance(value["$ref"], str):
            copied: JsonValue = from_json(to_json(point(value["$ref"], lookup)))
            return copied
        return {key: resolve(member, lookup) for key, member in value.items()}
    if isinstance(value, list):
        return [resolve(member, lookup) for member in value]
    return value


def point(text: str, lookup: Callable[[str], JsonValue]) -> JsonValue:
    """The value one reference points at.

    Raises:
        Unresolvable: it leads nowhere.
    """
    step, pointer = parse_ref(text)
    try:
        return _walk(lookup(step), JsonPointer(pointer))
    except JsonPointerException as error:
        raise Unresolvable(f"reference {text!r}: the output of {step!r} has nothing there ({error})") from None


def _walk(found: JsonValue, pointer: JsonPointer) -> JsonValue:
    """Only lists and objects have members; the library would also index a text, and take `-` for one past the end."""
    for part in pointer.parts:
        if not isinstance(found, dict | list) or (isinstance(found, list) and part == "-"):
            raise JsonPointerException(f"no member {part!r}")
        found = pointer.walk(found, part)
    return found
