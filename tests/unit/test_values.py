"""Tries to get a value into a run that Postgres, JSON or msgpack would lose, change or choke on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from gatepost.state.errors import InvalidValue
from gatepost.state.values import MAX_DEPTH, MAX_INT, MAX_ITEMS, MAX_TEXT_BYTES, printable, storable, storable_text

SERDE = JsonPlusSerializer(allowed_msgpack_modules=None)
"""As the saver's: types that it does not know stay unbuilt."""


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Shouting(str):
    __slots__ = ()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE = [
    pytest.param("a\x00b", "", "NUL", "remove it", id="NUL"),
    pytest.param({"a": ["x", "\x00"]}, "/a/1", "NUL", "remove it", id="NUL inside"),
    pytest.param({"k\x00": 1}, "/(key)", "NUL", "remove it", id="NUL in a key"),
    pytest.param("\ud800", "", "lone surrogate", "decode the source", id="high surrogate"),
    pytest.param(["\udfff"], "/0", "lone surrogate", "decode the source", id="low surrogate"),
    pytest.param({"\ud83d": 1}, "/(key)", "lone surrogate", "decode the source", id="surrogate in a key"),
    pytest.param(float("nan"), "", "nan", "null or a string", id="NaN"),
    pytest.param([float("inf")], "/0", "inf", "null or a string", id="Infinity"),
    pytest.param({"x": -float("inf")}, "/x", "-inf", "null or a string", id="-Infinity"),
    pytest.param({"n": 2**65}, "/n", "beyond 2^53-1", "as a string", id="2^65"),
    pytest.param(MAX_INT + 1, "", "beyond 2^53-1", "as a string", id="2^53"),
    pytest.param(-MAX_INT - 1, "", "beyond 2^53-1", "as a string", id="-2^53"),
    pytest.param(10**5000, "", "beyond 2^53-1", "as a string", id="too long to print"),
    pytest.param(nested(MAX_DEPTH + 1), "/0/0", "levels deep", "flatten it", id="too deep"),
    pytest.param(["x" * MAX_TEXT_BYTES, "y"], "/1", "bytes of text", "reference", id="too much text"),
    pytest.param(["é" * (MAX_TEXT_BYTES // 2 + 1)], "/0", "bytes of text", "reference", id="bytes, not characters"),
    pytest.param([0] * (MAX_ITEMS + 1), "", "members", "reference", id="too many members"),
    pytest.param([[0] * (MAX_ITEMS // 2)] * 3, "/1", "members", "reference", id="too many members together"),
    pytest.param({1: "a"}, "", "the key 1, which is no string", "string keys", id="int key"),
    pytest.param({None: "a"}, "", "the key None", "string keys", id="None key"),
    pytest.param({"a": {(1, 2): 3}}, "/a", "the key (1, 2)", "string keys", id="tuple key"),
    pytest.param((1, 2), "", "is a tuple", "dict, list, str", id="tuple"),
    pytest.param({"s": {1}}, "/s", "is a set", "dict, list, str", id="set"),
    pytest.param(b"abc", "", "is a bytes", "dict, list, str", id="bytes"),
    pytest.param([Decimal("1.5")], "/0", "is a Decimal", "dict, list, str", id="Decimal"),
    pytest.param(datetime(2026, 1, 1, tzinfo=UTC), "", "is a datetime", "dict, list, str", id="datetime"),
    pytest.param(object(), "", "is a object", "dict, list, str", id="object"),
    pytest.param(1j, "", "is a complex", "dict, list, str", id="complex"),
]


@pytest.mark.parametrize(("value", "path", "cause", "instead"), HOSTILE)
def test_hostile_value_is_refused_with_path_cause_and_next_step(
    value: object, path: str, cause: str, instead: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        storable(value, where="the goal")
    said = str(refused.value)
    assert said.startswith(f"the goal at {path!r}"[:-1] if path else "the goal ")
    assert cause in said
    assert instead in said
    assert "Nothing was stored" in said
    assert len(said) < 600
    said.encode()  # the refusal itself can be stored and printed


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([Shouting("x")], id="str subclass"),
        pytest.param([Colour.RED], id="StrEnum"),
        pytest.param([Size.BIG], id="IntEnum"),
        pytest.param({Colour.RED: 1}, id="StrEnum key"),
        pytest.param([True], id="bool is a value of its own"),
    ],
)
def test_what_only_looks_plain_comes_back_equal_or_is_refused(value: Any) -> None:
    try:
        storable(value, where="it")
    except InvalidValue:
        return
    assert json.loads(json.dumps(value)) == value
    assert rfc8785.dumps(value) == rfc8785.dumps(json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(nested(MAX_DEPTH), id="as deep as allowed"),
        pytest.param(MAX_INT, id="greatest integer"),
        pytest.param(-MAX_INT, id="smallest integer"),
        pytest.param("x" * MAX_TEXT_BYTES, id="as long as allowed"),
        pytest.param(["\x01\x1f\x7f\u2028\ufeff\ufffe\U0010ffff"], id="ugly but Unicode"),
        pytest.param({"": {"": []}}, id="empty keys"),
        pytest.param(1.7976931348623157e308, id="greatest float"),
        pytest.param(5e-324, id="smallest float"),
    ],
)
def test_what_is_just_allowed_is_returned_unchanged(value: Any) -> None:
    assert storable(value, where="it") is value


TEXTS = st.text(max_size=12)  # with surrogates and NUL: the guard decides
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS | st.integers(), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
@example({"\U0001f600": 1, "\ufb33": 2, "a": -0.0, "b": 1e16, "c": 1e21, "d": 5e-324})
@example({"lc": 2, "type": "constructor", "id": ["builtins", "dict"], "kwargs": {}})  # LangChain's own markers
@example({"__type__": "x", "$ref": "a#/b", "__pydantic__": []})
def test_whatever_is_accepted_comes_back_equal_from_every_store(value: Any) -> None:
    try:
        storable(value, where="it")
    except InvalidValue:
        return
    for back in (json.loads(json.dumps(value, allow_nan=False)), SERDE.loads_typed(SERDE.dumps_typed(value))):
        assert back == value
        assert repr(back) == repr(value)  # 1, 1.0 and True are equal, but not the same
    assert json.loads(rfc8785.dumps(value), parse_int=float) == value  # to JSON, 1e16 and 10000000000000000 are one
    json.dumps(value, ensure_ascii=False).encode()


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_printable_makes_any_text_storable_and_bounded(text: str, limit: int) -> None:
    said = printable(text, limit=limit)
    storable(said, where="the message")
    assert len(said) <= limit + 40


@pytest.mark.parametrize("text", ["plain", "a\nb", "é→😀", ""])
def test_printable_leaves_ordinary_text_alone(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(None, "NoneType, not a text. Send a str", id="None"),
        pytest.param(7, "int, not a text", id="number"),
        pytest.param("", "is empty. Say something", id="empty"),
        pytest.param(" \n\t", "is empty. Say something", id="blank"),
        pytest.param("é" * 6, "has 12 bytes; at most 10 are kept. Shorten it", id="too long in bytes"),
        pytest.param("a\x00", "NUL", id="NUL"),
    ],
)
def test_a_text_that_says_nothing_or_too_much_is_refused(value: object, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        storable_text(value, where="the goal", max_bytes=10)


def test_an_ordinary_text_passes_as_it_is() -> None:
    assert storable_text("0123456789", where="the goal", max_bytes=10) == "0123456789"
