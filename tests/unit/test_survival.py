"""Tries to have a run called a survivor that was not killed, did not end, or did something twice or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gatepost.state import crash
from gatepost.testing import Killed, assert_survived
from gatepost.testing.killed import numbered

DONE: dict[str, Any] = {"key": "eff_1", "step": "charge", "purpose": "run", "state": "succeeded", "attempts": 2}
SURVIVOR = Killed("call.after", "r1", killed=True, status="succeeded", effects=(DONE,))


def test_survivor_was_killed_ended_and_did_each_thing_once() -> None:
    assert_survived([SURVIVOR, replace(SURVIVOR, instant="", killed=False)], booked=lambda _: 1)


@pytest.mark.parametrize(
    ("changed", "booked", "said"),
    [
        ({"killed": False}, 1, "it never came by there"),
        ({"status": "blocked"}, 1, "it did not come to its end, and is blocked"),
        ({"status": "compensation_failed"}, 1, "and is compensation_failed"),
        ({"status": "", "error": "LostRun: gone"}, 1, "LostRun: gone"),
        ({"effects": ({**DONE, "state": "in_doubt"},)}, 1, "nobody knows what became of charge"),
        ({}, 2, "charge (run) is succeeded, and was booked 2 times"),
        ({}, 0, "charge (run) is succeeded, and was booked 0 times"),
    ],
)
def test_harm_is_named_with_its_instant_and_its_run(changed: dict[str, Any], booked: int, said: str) -> None:
    with pytest.raises(AssertionError) as refused:
        assert_survived([replace(SURVIVOR, **changed)], booked=lambda _: booked)
    assert f"call.after (r1): {said}" in str(refused.value) or said in str(refused.value)


def test_instants_are_told_apart_by_how_often_they_were_passed() -> None:
    assert numbered(["a", "b", "a", "a"]) == ["a", "b", "a:2", "a:3"]
    assert crash.Fate.at("a:3") == crash.Fate("a", 3)
    assert crash.Fate.at("a") == crash.Fate("a", 1)


def test_instants_are_nothing_to_a_process_without_a_fate() -> None:
    crash.here("a")
    fate = crash.Fate("b", passed=[])
    crash.meet(fate)
    try:
        crash.here("a")
    finally:
        crash.meet(None)
    crash.here("b")
    assert fate.passed == ["a"]
