"""Tries to have a value that somebody typed taken for another one, or for one that the tool does not take."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from gatepost import tool
from gatepost.state.errors import InvalidDecision
from gatepost.state.form import fields_of, typed


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str


@tool(effect="write")
def everything(
    name: str,
    count: int,
    share: float,
    amount: Decimal,
    loud: bool,  # noqa: FBT001 (a tool's argument)
    tags: list[str],
    address: Address,
    colour: Colour,
    size: Literal["s", "m"],
    note: str | None = None,
    either: int | str = 0,
    anything: Any = None,
) -> None:
    """Takes a bit of everything."""


SCHEMA = everything.schema()

READ = [
    ("name=007", "007"),
    ("name=true", "true"),
    ("name=", ""),
    ("name=a=b", "a=b"),
    ("count=3", 3),
    ("count=-3", -3),
    ("share=3", 3),
    ("share=0.5", 0.5),
    ("amount=3.10", "3.10"),
    ("amount=100000000000000000000000.01", "100000000000000000000000.01"),
    ("loud=true", True),
    ('tags=["a","b"]', ["a", "b"]),
    ('address={"street": "x"}', {"street": "x"}),
    ("colour=red", "red"),
    ("size=m", "m"),
    ("note=null", None),
    ("note=hello", "hello"),
    ("note=7", "7"),
    ("either=7", 7),
    ("either=seven", "seven"),
    ("anything=[1]", [1]),
    ("anything=word", "word"),
]


@pytest.mark.parametrize(("pair", "value"), READ)
def test_a_value_is_what_its_argument_takes(pair: str, value: object) -> None:
    ((_, found),) = typed(SCHEMA, [pair]).items()
    assert (found, type(found)) == (value, type(value))


REFUSED = [
    ("count=many", "count takes a whole number; 'many' is not that"),
    ("count=1.5", "count takes a whole number"),
    ("count=true", "count takes a whole number"),
    ("share=NaN", "share takes a number"),
    ("loud=yes", "loud takes true or false"),
    ("tags=a,b", "tags takes a JSON list"),
    ("tags={}", "tags takes a JSON list"),
    ("address=here", "address takes a JSON object"),
    ("colour=green", "colour takes one of red, blue"),
    ("size=xl", "size takes one of s, m"),
    ("cuont=1", "Did you mean count"),
    ("=1", "there is no argument ''"),
    ("count", "is no name=value"),
]


@pytest.mark.parametrize(("pair", "why"), REFUSED)
def test_what_it_does_not_take_is_refused_with_what_it_takes(pair: str, why: str) -> None:
    with pytest.raises(InvalidDecision, match=why):
        typed(SCHEMA, [pair])


def test_the_form_says_what_is_needed() -> None:
    fields = fields_of(SCHEMA)
    assert fields["amount"].shown == "a number"
    assert fields["note"].shown == "null or a text"
    assert (fields["count"].required, fields["note"].required) == (True, False)
    assert fields_of({}) == {}


def test_what_the_form_reads_is_what_the_tool_takes() -> None:
    args = typed(SCHEMA, [pair for pair, _ in READ])
    assert everything.normalise(args)["amount"] == "100000000000000000000000.01"
