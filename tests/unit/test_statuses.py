"""Tries to leave a status by a way that its table does not have, and looks for statuses without a row or a meaning."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from gatepost.state import status as room
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.status import (
    APPROVAL_TRANSITIONS,
    EFFECT_TRANSITIONS,
    NOTICE_TRANSITIONS,
    RUN_FINAL,
    RUN_PARKED,
    RUN_RECOVERABLE,
    RUN_TRANSITIONS,
    STEP_SETTLED,
    STEP_TRANSITIONS,
    ApprovalStatus,
    EffectState,
    IllegalTransition,
    NoticeState,
    RunStatus,
    StepStatus,
    advance,
)
from gatepost.state.step import StepRecord

Table = Mapping[Any, frozenset[Any]]

TABLES = [
    pytest.param(StepStatus, STEP_TRANSITIONS, id="step"),
    pytest.param(RunStatus, RUN_TRANSITIONS, id="run"),
    pytest.param(ApprovalStatus, APPROVAL_TRANSITIONS, id="approval"),
    pytest.param(EffectState, EFFECT_TRANSITIONS, id="effect"),
    pytest.param(NoticeState, NOTICE_TRANSITIONS, id="notice"),
]
FINALS = [
    pytest.param({StepStatus.COMPENSATED}, StepStatus, STEP_TRANSITIONS, id="step"),
    pytest.param(RUN_FINAL - RUN_RECOVERABLE, RunStatus, RUN_TRANSITIONS, id="run"),
    pytest.param({ApprovalStatus.EXPIRED, ApprovalStatus.VOID}, ApprovalStatus, APPROVAL_TRANSITIONS, id="approval"),
    pytest.param({EffectState.SUCCEEDED, EffectState.FAILED}, EffectState, EFFECT_TRANSITIONS, id="effect"),
    pytest.param({NoticeState.SENT, NoticeState.DROPPED}, NoticeState, NOTICE_TRANSITIONS, id="notice"),
]


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_every_status_has_a_row(kind: type[StrEnum], table: Table) -> None:
    assert set(table) == set(kind)


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_every_target_is_another_status_of_the_same_kind(kind: type[StrEnum], table: Table) -> None:
    for source, targets in table.items():
        assert all(type(target) is kind for target in targets)
        assert source not in targets


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_every_status_can_be_reached_from_the_first(kind: type[StrEnum], table: Table) -> None:
    reached, edge = set(), [next(iter(kind))]
    while edge:
        found = edge.pop()
        if found not in reached:
            reached.add(found)
            edge.extend(table[found])
    assert reached == set(kind)


@pytest.mark.parametrize(("finals", "kind", "table"), FINALS)
def test_exactly_the_finals_have_no_way_out(finals: set[Any], kind: type[StrEnum], table: Table) -> None:
    assert {status for status in kind if not table[status]} == set(finals)


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_advance_follows_the_table_and_nothing_else(kind: Any, table: Table) -> None:
    for source in kind:
        for target in kind:
            if target in table[source]:
                assert advance(table, source, target) is target
            else:
                with pytest.raises(IllegalTransition, match=f"from {source} to {target}$"):
                    advance(table, source, target)


def test_advance_stops_at_the_first_illegal_transition_of_several() -> None:
    legal = (StepStatus.READY, StepStatus.RUNNING, StepStatus.SUCCEEDED)
    assert advance(STEP_TRANSITIONS, StepStatus.PENDING, *legal) is StepStatus.SUCCEEDED
    assert advance(STEP_TRANSITIONS, StepStatus.PENDING) is StepStatus.PENDING
    with pytest.raises(IllegalTransition, match="from ready to succeeded"):
        advance(STEP_TRANSITIONS, StepStatus.PENDING, StepStatus.READY, StepStatus.SUCCEEDED)


def test_a_record_moves_only_legally_and_stays_as_it_was() -> None:
    pending = StepRecord(step="a")
    running = pending.to(StepStatus.READY, StepStatus.RUNNING, key="eff_1")
    assert (running.status, running.key, running.step) == (StepStatus.RUNNING, "eff_1", "a")
    assert pending == StepRecord(step="a")
    with pytest.raises(IllegalTransition):
        pending.to(StepStatus.SUCCEEDED)


def test_doubt_never_leads_to_a_second_call() -> None:
    assert EFFECT_TRANSITIONS[EffectState.IN_DOUBT] == {EffectState.SUCCEEDED, EffectState.FAILED}
    assert STEP_TRANSITIONS[StepStatus.IN_DOUBT] == {StepStatus.SUCCEEDED, StepStatus.FAILED}
    assert EffectState.INTENDED not in set().union(*EFFECT_TRANSITIONS.values())


def test_an_unfinished_run_may_end_in_every_way_and_a_parked_one_only_by_an_operator() -> None:
    moving = set(RunStatus) - RUN_FINAL - RUN_PARKED
    for status in moving:
        assert RUN_TRANSITIONS[status] >= RUN_FINAL
    for status in RUN_PARKED:
        assert RUN_TRANSITIONS[status] == {RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.CANCELLED}
    assert not RUN_FINAL & RUN_PARKED


def test_a_settled_step_is_never_in_somebodys_hands() -> None:
    in_hand = {StepStatus.RUNNING, StepStatus.BLOCKED, StepStatus.WAITING, StepStatus.IN_DOUBT, StepStatus.COMPENSATING}
    assert set(StepStatus) - STEP_SETTLED == {StepStatus.PENDING, StepStatus.READY, *in_hand}


@pytest.mark.parametrize(
    "kind",
    [StepStatus, RunStatus, ApprovalStatus, EffectState, EffectClass, OnDoubt],
    ids=lambda kind: str(kind.__name__),
)
def test_every_status_says_what_it_means(kind: type[StrEnum]) -> None:
    [node] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    assert ast.get_docstring(node)
    members = [index for index, statement in enumerate(node.body) if isinstance(statement, ast.Assign)]
    assert len(members) == len(kind)
    for index in members:
        after = node.body[index + 1] if index + 1 < len(node.body) else None
        assert isinstance(after, ast.Expr), f"no line under {ast.unparse(node.body[index])}"
        assert isinstance(after.value, ast.Constant)
        assert after.value.value


def test_a_status_is_its_name_in_lower_case_so_that_it_reads_the_same_in_a_row() -> None:
    for kind in vars(room).values():
        if inspect.isclass(kind) and issubclass(kind, StrEnum) and kind is not StrEnum:
            assert [member.value for member in kind] == [member.name.lower() for member in kind]
