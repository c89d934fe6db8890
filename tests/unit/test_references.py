"""Tries to refer to what is not there, and to keys that a JSON pointer has to escape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.state.reference import Unresolvable, parse_ref, point, ref, references, resolve

OUTPUTS: dict[str, Any] = {
    "screen": {
        "controls": ["kyc", {"name": "sanctions"}],
        "a/b": 1,
        "m~n": 2,
        "": 3,
        "~1": 4,
        "0": "zero",
        " ": 5,
        "é": 6,
        "none": None,
        "false": False,
    },
    "text": "abc",
    "list": [[1, 2], [3]],
    "null": None,
}

# RFC 6901 §5, and what it leaves to the reader
FOUND = [
    pytest.param("screen#/controls/0", "kyc", id="into a list"),
    pytest.param("screen#/controls/1/name", "sanctions", id="through a list"),
    pytest.param("screen#/a~1b", 1, id="slash in a key"),
    pytest.param("screen#/m~0n", 2, id="tilde in a key"),
    pytest.param("screen#/", 3, id="empty key"),
    pytest.param("screen#/~01", 4, id="escaped escape"),
    pytest.param("screen#/0", "zero", id="digit as a key"),
    pytest.param("screen#/ ", 5, id="blank key"),
    pytest.param("screen#/é", 6, id="key beyond ASCII"),
    pytest.param("screen#/none", None, id="a null that is there"),
    pytest.param("screen#/false", False, id="false is not missing"),
    pytest.param("list#/1/0", 3, id="list of lists"),
    pytest.param("text#", "abc", id="all of it"),
    pytest.param("text", "abc", id="all of it, without the mark"),
    pytest.param("null#", None, id="an output of null"),
]
MISSING = [
    pytest.param("screen#/nope", id="no such key"),
    pytest.param("screen#/controls/2", id="past the end of a list"),
    pytest.param("screen#/controls/-1", id="lists have no negative indexes"),
    pytest.param("screen#/controls/-", id="the place after a list's end"),
    pytest.param("screen#/controls/00", id="index with a leading zero"),
    pytest.param("screen#/controls/name", id="a name into a list"),
    pytest.param("screen#/none/x", id="into null"),
    pytest.param("screen#/a~1b/x", id="into a number"),
    pytest.param("screen#/0/0", id="into a text"),
    pytest.param("screen#/m~2n", id="no escape of RFC 6901"),
]


@pytest.mark.parametrize(("text", "value"), FOUND)
def test_pointer_finds_what_it_names(text: str, value: object) -> None:
    assert point(text, OUTPUTS.__getitem__) == value


@pytest.mark.parametrize("text", MISSING)
def test_pointer_to_nothing_says_which_reference_and_which_step(text: str) -> None:
    with pytest.raises(Unresolvable) as refused:
        point(text, OUTPUTS.__getitem__)
    assert repr(text) in str(refused.value)
    assert "'screen' has nothing there" in str(refused.value)


@pytest.mark.parametrize("text", ["", "#", "#/a", "screen#a", "screen#a/b"])
def test_reference_that_is_none_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write '<step id>#/path/to/value'"):
        parse_ref(text)


@pytest.mark.parametrize(
    ("args", "resolved"),
    [
        pytest.param({"x": ref("screen", "/controls/0")}, {"x": "kyc"}, id="argument"),
        pytest.param({"x": [{"y": ref("text")}]}, {"x": [{"y": "abc"}]}, id="deep inside"),
        pytest.param({"x": {"$ref": "text#", "more": 1}}, {"x": {"$ref": "text#", "more": 1}}, id="beside other keys"),
        pytest.param({"x": {"$ref": 1}}, {"x": {"$ref": 1}}, id="not a text"),
        pytest.param({"x": "$ref"}, {"x": "$ref"}, id="a mere text"),
        pytest.param({"x": []}, {"x": []}, id="nothing to do"),
    ],
)
def test_only_references_are_replaced(args: Any, resolved: Any) -> None:
    assert resolve(args, OUTPUTS.__getitem__) == resolved


def test_what_a_reference_brings_is_data_even_when_it_looks_like_a_reference() -> None:
    outputs: dict[str, Any] = {"a": {"$ref": "secret#"}, "secret": "s"}
    assert resolve({"x": ref("a")}, outputs.__getitem__) == {"x": {"$ref": "secret#"}}


def test_references_are_found_in_order_and_as_often_as_they_stand_there() -> None:
    args: Any = {"x": ref("b", "/1"), "y": [ref("a"), {"z": ref("b", "/1")}], "w": {"$ref": "c#", "k": 1}}
    assert list(references(args)) == ["b#/1", "a#", "b#/1"]


KEYS = st.text(alphabet="a~/01é ", max_size=4)


@given(st.dictionaries(KEYS, st.integers(), min_size=1))
def test_every_key_can_be_named_when_it_is_escaped(output: dict[str, int]) -> None:
    outputs: dict[str, Any] = {"s": output}
    for key, value in output.items():
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")
        assert resolve(ref("s", pointer), outputs.__getitem__) == value


def test_what_is_done_to_a_resolved_value_does_not_reach_the_output_that_it_came_from() -> None:
    outputs: dict[str, Any] = {"a": {"deep": [{"x": 1.0}]}}
    resolved: Any = resolve({"taken": ref("a", "/deep")}, outputs.__getitem__)
    resolved["taken"][0].pop("x")
    assert outputs == {"a": {"deep": [{"x": 1.0}]}}
