"""Tries to let Python's statuses and Postgres's drift apart: the same names, in the same order, and no others."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.status import RUN_FINAL, ApprovalStatus, EffectState, NoticeState, RunStatus, StepStatus

LABELS = """
SELECT t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = 'gatepost' GROUP BY 1
"""
CHECK = "SELECT pg_get_constraintdef(oid) AS it FROM pg_constraint WHERE conname = %s"

ENUMS: dict[str, type[StrEnum]] = {
    "approval_status": ApprovalStatus,
    "effect_state": EffectState,
    "notice_state": NoticeState,
    "run_status": RunStatus,
    "step_status": StepStatus,
}


def test_every_enum_type_is_a_python_enum_in_the_same_order(owner: Any) -> None:
    assert {row["name"]: row["labels"] for row in owner.rows(LABELS)} == {
        name: [member.value for member in enum] for name, enum in ENUMS.items()
    }


@pytest.mark.parametrize(
    ("constraint", "members"),
    [
        ("effect_class_check", EffectClass),
        ("on_doubt_check", OnDoubt),
    ],
)
def test_every_check_names_the_same_words(owner: Any, constraint: str, members: Any) -> None:
    (row,) = owner.rows(CHECK, constraint)
    named = set(row["it"].split("'")[1::2])
    assert named == {str(member) for member in members}


@pytest.mark.parametrize("function", ["advance", "check_run", "commit_supersteps"])
def test_every_function_that_finishes_a_run_or_checks_it_knows_every_final_status(owner: Any, function: str) -> None:
    (row,) = owner.rows("SELECT prosrc FROM pg_proc WHERE proname = %s", function)
    listed = row["prosrc"].split("IN ('")[1].split(")")[0]
    assert set(f"'{listed}".split("'")[1::2]) == {str(status) for status in RUN_FINAL}


def test_what_is_known_of_an_effect_lies_in_the_range_that_must_be_finished(owner: Any) -> None:
    (row,) = owner.rows(CHECK, "effect_known_is_finished")
    first, last = row["it"].split("'")[1:4:2]
    order = [state.value for state in EffectState]
    assert order[order.index(first) : order.index(last) + 1] == ["succeeded", "failed"]
