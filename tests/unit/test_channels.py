"""Tries to make a reducer forget, invent or depend on how updates are grouped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.state.channels import STATE_SCHEMA, check_version, collect, merge, tally
from gatepost.state.errors import UnknownVersion

NAMES = st.sampled_from("abcd")
UPDATES = st.none() | st.dictionaries(NAMES, st.none() | st.integers() | st.dictionaries(NAMES, st.integers()))
LISTS = st.none() | st.lists(st.integers())
COUNTS = st.none() | st.dictionaries(NAMES, st.integers(min_value=0))


@given(st.lists(UPDATES))
def test_merge_keeps_the_latest_entry_and_drops_what_was_taken_away(updates: list[dict[str, Any] | None]) -> None:
    state: dict[str, Any] = merge(None, None)
    latest: dict[str, Any] = {}
    for update in updates:
        state = merge(state, update)
        latest.update(update or {})
    assert state == {key: value for key, value in latest.items() if value is not None}


@given(UPDATES, UPDATES, UPDATES)
def test_merging_updates_first_changes_nothing_but_what_they_take_away(first: Any, second: Any, third: Any) -> None:
    assert merge(merge(merge(None, first), second), None) == merge(merge(None, first), second)
    assert merge(merge(None, third), {**(first or {}), **(second or {})}) == merge(
        merge(merge(None, third), first), second
    )


def test_merge_of_disjoint_siblings_is_the_same_in_either_order() -> None:
    base = {"a": {"n": 1}, "b": {"n": 2}}
    left, right = {"a": None}, {"b": {"n": 3}, "c": {"n": 4}}
    assert merge(merge(base, left), right) == merge(merge(base, right), left) == {"b": {"n": 3}, "c": {"n": 4}}


def test_merge_keeps_what_is_false_but_there() -> None:
    assert merge({}, {"a": 0, "b": "", "c": [], "d": False}) == {"a": 0, "b": "", "c": [], "d": False}


@given(st.lists(LISTS))
def test_collect_appends_in_order_and_none_empties(updates: list[list[int] | None]) -> None:
    state: list[int] = []
    expected: list[int] = []
    for update in updates:
        state = collect(state, update)
        expected = [] if update is None else expected + update
    assert state == expected


@given(LISTS, st.lists(st.integers()), st.lists(st.integers()))
def test_collect_does_not_care_how_signals_are_grouped(start: Any, one: list[int], two: list[int]) -> None:
    assert collect(collect(start, one), two) == collect(start, one + two)


@given(st.permutations([{"a": 1}, {"a": 2, "b": 1}, {"c": 5}, None, {}]))
def test_tally_does_not_care_about_order(updates: list[dict[str, int] | None]) -> None:
    state: dict[str, int] | None = None
    for update in updates:
        state = tally(state, update)
    assert state == {"a": 3, "b": 1, "c": 5}


@given(COUNTS, COUNTS, COUNTS)
def test_tally_does_not_care_about_grouping(one: Any, two: Any, three: Any) -> None:
    assert tally(tally(one, two), three) == tally(one, tally(two, three))


@pytest.mark.parametrize("reducer", [merge, collect, tally])
def test_a_reducer_changes_neither_of_its_sides(reducer: Any) -> None:
    left: Any = [1] if reducer is collect else {"a": 1}
    right: Any = [2] if reducer is collect else {"a": 2, "b": 1}
    result = reducer(left, right)
    assert left == ([1] if reducer is collect else {"a": 1})
    assert right == ([2] if reducer is collect else {"a": 2, "b": 1})
    assert result is not left
    assert result is not right


@pytest.mark.parametrize("version", [0, STATE_SCHEMA + 1, "1", None])
def test_a_state_from_another_time_is_refused_with_what_to_do(version: object) -> None:
    with pytest.raises(UnknownVersion, match=rf"reads {STATE_SCHEMA}\. Finish the run .* or upgrade"):
        check_version({"schema_version": version})


@pytest.mark.parametrize("state", [{}, {"schema_version": STATE_SCHEMA}])
def test_a_state_of_this_time_passes(state: dict[str, Any]) -> None:
    check_version(state)
