"""Tries to set a fork to something else than its type says, and to get a slip of the pen taken for a text."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from gatepost.service.cli.changes import read_changes
from gatepost.state.errors import CallerMistake


class Order(BaseModel):
    customer: str
    cents: int
    notes: list[str] = []


SCHEMA = Order.model_json_schema()


def read(*pairs: str, given: Any = SCHEMA) -> dict[str, Any]:
    return read_changes(pairs, given=given, tools={"book": SCHEMA})


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("input.customer=007", "007"),
        ("input.cents=6", 6),
        ('input.notes=["a"]', ["a"]),
        ("steps.book.args.customer=true", "true"),
        ('steps.book.args.cents={"$ref": "look#/cents"}', {"$ref": "look#/cents"}),
        ("steps.book.output.word=fine", "fine"),
        ("steps.book.output=null", None),
        ("steps.other.args.x=1", 1),
        ("input.other=1", 1),
        ("input.customer=a=b", "a=b"),
    ],
)
def test_a_value_is_read_as_the_type_of_its_place(pair: str, value: Any) -> None:
    assert list(read(pair).values()) == [value]


def test_where_no_type_is_declared_json_is_json_and_the_rest_is_text() -> None:
    assert read("input.a=1", "input.b=x y", "input.c={}", given=None) == {"input.a": 1, "input.b": "x y", "input.c": {}}


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (("input.cents=six",), "--set input.cents: cents takes a whole number; 'six' is not that"),
        (("steps.book.args.cents=1.5",), "cents takes a whole number"),
        (("input.notes=a",), "notes takes a JSON list"),
        (("steps.book.output={",), "--set steps.book.output: the value is no JSON"),
        (('input.other="a',), "a text that begins so is given as a JSON string"),
        (('steps.book.args.cents={"$ref": ',), "is no JSON"),
        (("cents",), "is no PATH=VALUE"),
        (("=1",), "is no PATH=VALUE"),
        (("input.cents=1", "input.cents=2"), "--set input.cents is there twice"),
    ],
)
def test_what_is_none_is_refused_with_what_would_be_right(pairs: tuple[str, ...], told: str) -> None:
    with pytest.raises(CallerMistake) as refused:
        read(*pairs)
    assert told in str(refused.value)
