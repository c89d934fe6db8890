"""Every status of a step, a run, an approval, an effect and a notice, and which one may follow which.

Invariant: the TRANSITIONS tables are total (every status has a row) and closed (every target is
a status); `advance()` is the only way to get from one to the next. The same names are enum types
in Postgres, in the same order; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class StepStatus(StrEnum):
    """Where a step of the plan stands."""

    PENDING = "pending"
    """needs other steps first; has no record yet"""
    READY = "ready"
    """its needs are met; the gate has not judged it"""
    BLOCKED = "blocked"
    """the gate asked a person; an approval is open"""
    RUNNING = "running"
    """the gate let it run; its key is minted"""
    WAITING = "waiting"
    """a timer or an event moves it on"""
    SUCCEEDED = "succeeded"
    """its result is recorded"""
    FAILED = "failed"
    """it will not succeed; the failure is recorded"""
    IN_DOUBT = "in_doubt"
    """its effect may or may not have happened; a look-up or a person says which"""
    SKIPPED = "skipped"
    """its condition did not hold, or a new plan dropped it"""
    CANCELLED = "cancelled"
    """a person or the run's end stopped it before it acted; an operator may have the run go on"""
    COMPENSATING = "compensating"
    """its effect is being undone"""
    COMPENSATED = "compensated"
    """its effect was undone"""
    COMPENSATION_FAILED = "compensation_failed"
    """undoing it failed for good; a person must look"""


class RunStatus(StrEnum):
    """Where a run stands, and so who moves it next."""

    QUEUED = "queued"
    """any mover may claim it"""
    RUNNING = "running"
    """its owner's lease moves it"""
    BLOCKED = "blocked"
    """an open approval: a person moves it"""
    WAITING = "waiting"
    """a timer or an event moves it"""
    HELD = "held"
    """an operator moves it"""
    SUCCEEDED = "succeeded"
    """final: it did what was asked"""
    REJECTED = "rejected"
    """final: a person said no"""
    FAILED = "failed"
    """final: a step failed for good"""
    TIMED_OUT = "timed_out"
    """it ran out of time; an operator may resume it"""
    COMPENSATED = "compensated"
    """final: what it had done was undone"""
    COMPENSATION_FAILED = "compensation_failed"
    """not everything could be undone; an operator must look"""
    CANCELLED = "cancelled"
    """final: it was called off"""
    STRANDED = "stranded"
    """nothing would ever move it: an alarm, never a plan"""


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    OPEN = "open"
    """a person is asked"""
    DECIDED = "decided"
    """an answer is recorded; it never changes"""
    EXPIRED = "expired"
    """nobody answered in time"""
    VOID = "void"
    """the question is no longer asked (a new plan, the end of the run)"""


class EffectState(StrEnum):
    """Where an effect stands in the ledger."""

    INTENDED = "intended"
    """the intent is committed; the call may have happened"""
    SUCCEEDED = "succeeded"
    """the result is recorded"""
    FAILED = "failed"
    """the provider said, definitely, that it did not happen"""
    IN_DOUBT = "in_doubt"
    """nobody knows; only a look-up or a named person may say"""


class NoticeState(StrEnum):
    """Where a notice to people stands."""

    PENDING = "pending"
    """it is to be sent, now or at its time"""
    SENT = "sent"
    """everybody whom a route names has it"""
    DROPPED = "dropped"
    """there is nothing to say any more: answered, passed on, taken back"""
    DEAD = "dead"
    """it was tried as often as it is tried, or no route takes it; an operator must look"""


STEP_TRANSITIONS: Mapping[StepStatus, frozenset[StepStatus]] = {
    StepStatus.PENDING: frozenset({StepStatus.READY, StepStatus.SKIPPED, StepStatus.CANCELLED}),
    StepStatus.READY: frozenset(
        {
            StepStatus.PENDING,
            StepStatus.RUNNING,
            StepStatus.BLOCKED,
            StepStatus.FAILED,
            StepStatus.SKIPPED,
            StepStatus.CANCELLED,
        }
    ),
    StepStatus.BLOCKED: frozenset(
        {
            StepStatus.PENDING,
            StepStatus.RUNNING,
            StepStatus.FAILED,
            StepStatus.SKIPPED,
            StepStatus.CANCELLED,
        }
    ),
    StepStatus.RUNNING: frozenset(
        {
            StepStatus.SUCCEEDED,
            StepStatus.FAILED,
            StepStatus.IN_DOUBT,
            StepStatus.WAITING,
            StepStatus.READY,
            StepStatus.CANCELLED,
        }
    ),
    StepStatus.WAITING: frozenset(
        {StepStatus.READY, StepStatus.RUNNING, StepStatus.IN_DOUBT, StepStatus.FAILED, StepStatus.CANCELLED}
    ),
    # A read may be made again, when what rests on it allows only newer facts.
    StepStatus.SUCCEEDED: frozenset({StepStatus.COMPENSATING, StepStatus.PENDING, StepStatus.RUNNING}),
    StepStatus.FAILED: frozenset({StepStatus.READY, StepStatus.SKIPPED}),
    StepStatus.IN_DOUBT: frozenset({StepStatus.SUCCEEDED, StepStatus.FAILED}),
    # A plan that dropped it may be followed by one that has it again.
    StepStatus.SKIPPED: frozenset({StepStatus.PENDING}),
    StepStatus.CANCELLED: frozenset({StepStatus.PENDING}),
    StepStatus.COMPENSATING: frozenset({StepStatus.COMPENSATED, StepStatus.COMPENSATION_FAILED}),
    StepStatus.COMPENSATED: frozenset(),
    StepStatus.COMPENSATION_FAILED: frozenset({StepStatus.COMPENSATING}),
}

RUN_FINAL = frozenset(
    {RunStatus.SUCCEEDED, RunStatus.REJECTED, RunStatus.FAILED, RunStatus.COMPENSATED, RunStatus.CANCELLED}
)
"""Nobody moves these any more."""

RUN_RECOVERABLE = frozenset({RunStatus.REJECTED, RunStatus.FAILED, RunStatus.CANCELLED})
"""Those of them that an operator can have gone on with."""

RUN_PARKED = frozenset({RunStatus.HELD, RunStatus.TIMED_OUT, RunStatus.COMPENSATION_FAILED, RunStatus.STRANDED})
"""Only an operator moves these."""

_MOVING = frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.BLOCKED, RunStatus.WAITING})

RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = {
    **{status: (_MOVING | RUN_FINAL | RUN_PARKED) - {status} for status in _MOVING},
    **{status: frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.CANCELLED}) for status in RUN_PARKED},
    **{status: frozenset({RunStatus.QUEUED}) for status in RUN_RECOVERABLE},
    **{status: frozenset() for status in RUN_FINAL - RUN_RECOVERABLE},
}

APPROVAL_TRANSITIONS: Mapping[ApprovalStatus, frozenset[ApprovalStatus]] = {
    ApprovalStatus.OPEN: frozenset({ApprovalStatus.DECIDED, ApprovalStatus.EXPIRED, ApprovalStatus.VOID}),
    ApprovalStatus.DECIDED: frozenset({ApprovalStatus.VOID}),
    ApprovalStatus.EXPIRED: frozenset(),
    ApprovalStatus.VOID: frozenset(),
}

EFFECT_TRANSITIONS: Mapping[EffectState, frozenset[EffectState]] = {
    EffectState.INTENDED: frozenset({EffectState.SUCCEEDED, EffectState.FAILED, EffectState.IN_DOUBT}),
    EffectState.IN_DOUBT: frozenset({EffectState.SUCCEEDED, EffectState.FAILED}),
    EffectState.SUCCEEDED: frozenset(),
    EffectState.FAILED: frozenset(),
}

NOTICE_TRANSITIONS: Mapping[NoticeState, frozenset[NoticeState]] = {
    NoticeState.PENDING: frozenset({NoticeState.SENT, NoticeState.DROPPED, NoticeState.DEAD}),
    NoticeState.SENT: frozenset(),
    NoticeState.DROPPED: frozenset(),
    NoticeState.DEAD: frozenset({NoticeState.PENDING}),
}

STEP_SETTLED = frozenset(
    {
        StepStatus.SUCCEEDED,
        StepStatus.FAILED,
        StepStatus.SKIPPED,
        StepStatus.CANCELLED,
        StepStatus.COMPENSATED,
        StepStatus.COMPENSATION_FAILED,
    }
)
"""The executor has nothing more to do with these."""

StatusT = TypeVar("StatusT", StepStatus, RunStatus, ApprovalStatus, EffectState, NoticeState)


class IllegalTransition(AssertionError):
    """A bug of ours: code asked for a transition that its table does not have."""


def advance(table: Mapping[StatusT, frozenset[StatusT]], current: StatusT, *through: StatusT) -> StatusT:
    """Follow `through` one legal transition at a time and return the last status.

    Raises:
        IllegalTransition: a transition is not in the table.
    """
    for target in through:
        if target not in table[current]:
            raise IllegalTransition(f"{type(current).__name__} cannot go from {current!s} to {target!s}")
        current = target
    return current
