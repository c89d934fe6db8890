"""The border guard: values that Postgres or JSON cannot hold faithfully are refused where they enter.

Invariant: whatever passes `storable()` comes back from a json column, a msgpack blob and a
jsonb checkpoint equal to what went in. A value let through that cannot be written wedges its
run at every later superstep, so nothing is repaired or altered here: it is accepted or refused.
Text that must never be refused (the message of an error, say) goes through `printable()` instead.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from gatepost.state.errors import InvalidValue

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"

MAX_DEPTH = 64
"""Levels of nesting."""
MAX_TEXT_BYTES = 1_048_576
"""Bytes of UTF-8 in all strings of one value together, keys included."""
MAX_ITEMS = 100_000
"""Members of all lists and objects of one value together."""
MAX_INT = 2**53 - 1
"""Integers beyond this lose digits in other JSON readers (RFC 8785 refuses them as well)."""


class _Budget:
    """What one value has used of the limits so far."""

    def __init__(self, scale: int) -> None:
        self.max_text_bytes = MAX_TEXT_BYTES * scale
        self.max_items = MAX_ITEMS * scale
        self.text_bytes = 0
        self.items = 0


def storable(value: object, *, where: str, scale: int = 1) -> JsonValue:
    """Return `value` unchanged when every store can hold it faithfully.

    Args:
        value: plain data: dict (str keys), list, str, int, float, bool, None.
        where: what the value is, for the error ("the goal", "the result of tool 'charge'").
        scale: how many times the limits of one value it may have; a plan is many values.

    Raises:
        InvalidValue: naming the path inside the value, the cause and what to send instead.
    """
    if not _fits(value, scale):
        _check(value, path="", where=where, depth=0, budget=_Budget(scale))
    return value  # type: ignore[return-value]


def storable_text(value: object, *, where: str, max_bytes: int = 10_000) -> str:
    """Like `storable`, for a text: also refuses other types, the empty text and more than `max_bytes`."""
    if not isinstance(value, str):
        raise InvalidValue(f"{where} is {type(value).__name__}, not a text. Send a str.")
    storable(value, where=where)
    if not value.strip():
        raise InvalidValue(f"{where} is empty. Say something.")
    if len(value.encode()) > max_bytes:
        raise InvalidValue(f"{where} has {len(value.encode())} bytes; at most {max_bytes} are kept. Shorten it.")
    return value


def printable(text: str, *, limit: int = 4_000) -> str:
    """Make any text storable by escaping what is not; for error messages, never for data."""
    escaped = text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    return escaped if len(escaped) <= limit else f"{escaped[:limit]}… ({len(escaped) - limit} more characters)"


def _fits(value: object, scale: int) -> bool:
    """What `_check` finds, at a fraction of its cost, without saying where and why not: almost everything fits."""
    texts: list[str] = []
    items, level = 0, [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for one in level:
            if isinstance(one, str):
                texts.append(one)
            elif isinstance(one, dict):
                items += len(one)
                texts += one
                below += one.values()
            elif isinstance(one, list):
                items += len(one)
                below += one
            elif not (one is None or (isinstance(one, int | float) and _is_exact(one))):
                return False
        if items > MAX_ITEMS * scale:
            return False
        if not below:
            return _is_text(texts, MAX_TEXT_BYTES * scale)
        level = below
    return False


def _is_exact(number: float) -> bool:
    return abs(number) <= MAX_INT if isinstance(number, int) else math.isfinite(number)


def _is_text(texts: list[str], most: int) -> bool:
    try:
        whole = "".join(texts)
        return "\x00" not in whole and len(whole.encode()) <= most
    except (TypeError, UnicodeEncodeError):  # a key that is no text; a lone surrogate
        return False


def _check(value: object, *, path: str, where: str, depth: int, budget: _Budget) -> None:
    if depth > MAX_DEPTH:
        raise _refusal(where, path, f"is nested more than {MAX_DEPTH} levels deep", "flatten it, or send a reference")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, path=path, where=where, budget=budget)
    elif isinstance(value, int | float):
        _check_number(value, path=path, where=where)
    elif isinstance(value, dict):
        _check_object(value, path=path, where=where, depth=depth, budget=budget)
    elif isinstance(value, list):
        _spend(budget, len(value), path=path, where=where)
        for index, member in enumerate(value):
            _check(member, path=f"{path}/{index}", where=where, depth=depth + 1, budget=budget)
    else:
        raise _refusal(where, path, f"is a {type(value).__name__}", "send dict, list, str, number, bool or None")


def _check_number(value: float, *, path: str, where: str) -> None:
    if isinstance(value, int) and abs(value) > MAX_INT:
        raise _refusal(where, path, "is an integer beyond 2^53-1", "send it as a string")
    if not math.isfinite(value):
        raise _refusal(where, path, f"is {value}, which JSON does not know", "send null or a string")


def _check_object(value: dict[object, object], *, path: str, where: str, depth: int, budget: _Budget) -> None:
    _spend(budget, len(value), path=path, where=where)
    for key, member in value.items():
        if not isinstance(key, str):
            raise _refusal(where, path, f"has the key {key!r}, which is no string", "use string keys")
        _check_text(key, path=f"{path}/(key)", where=where, budget=budget)
        _check(member, path=f"{path}/{key}", where=where, depth=depth + 1, budget=budget)


def _check_text(value: str, *, path: str, where: str, budget: _Budget) -> None:
    if "\x00" in value:
        raise _refusal(where, path, "contains a NUL character, which Postgres cannot store", "remove it")
    try:
        budget.text_bytes += len(value.encode())
    except UnicodeEncodeError:
        raise _refusal(
            where, path, "contains a lone surrogate, which is not Unicode text", "decode the source properly"
        ) from None
    if budget.text_bytes > budget.max_text_bytes:
        raise _refusal(
            where,
            path,
            f"holds more than {budget.max_text_bytes} bytes of text",
            "store it elsewhere, send a reference",
        )


def _spend(budget: _Budget, count: int, *, path: str, where: str) -> None:
    budget.items += count
    if budget.items > budget.max_items:
        raise _refusal(where, path, f"has more than {budget.max_items} members", "store it elsewhere, send a reference")


def _refusal(where: str, path: str, what: str, instead: str) -> InvalidValue:
    place = f"{where} at {printable(path, limit=200)!r}" if path else where
    return InvalidValue(f"{place} {what}. Nothing was stored; {instead}.")
