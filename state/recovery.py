"""Recovery: what an operator may have become of a run that does not go on as it should.

Invariant: `STANDS` is total: for every mode it says of every status either what the mode does about
it or, by leaving it out, that `refusal` names the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeAlias

from gatepost.state.status import RunStatus

Instruction: TypeAlias = Literal["resume", "rollback", "cancel", "escalate", "retry", "skip"]
"""What the gate can be told at its next visit."""


class Mode(StrEnum):
    """What becomes of a run."""

    RESUME = "resume"
    """it goes on; what failed for certain is tried again, as a new call"""
    ROLLBACK = "rollback"
    """what succeeded is undone, the last first; then it ends"""
    ESCALATE = "escalate"
    """a person is asked about each step that failed"""
    ABANDON = "abandon"
    """it ends where it is; nothing is undone"""


UNFINISHED = frozenset(
    {
        RunStatus.QUEUED,
        RunStatus.RUNNING,
        RunStatus.BLOCKED,
        RunStatus.WAITING,
        RunStatus.HELD,
        RunStatus.TIMED_OUT,
        RunStatus.STRANDED,
        RunStatus.COMPENSATION_FAILED,
    }
)
STANDS: Mapping[Mode, frozenset[RunStatus]] = {
    Mode.RESUME: frozenset(
        {
            RunStatus.HELD,
            RunStatus.TIMED_OUT,
            RunStatus.STRANDED,
            RunStatus.FAILED,
            RunStatus.COMPENSATION_FAILED,
        }
    ),
    Mode.ROLLBACK: UNFINISHED | {RunStatus.FAILED, RunStatus.REJECTED, RunStatus.CANCELLED},
    Mode.ESCALATE: frozenset({RunStatus.FAILED}),
    Mode.ABANDON: UNFINISHED,
}
"""In which statuses a run may be recovered so."""

_ENDED = "it has ended, and nothing is left to recover. Start another one, or fork it (`gatepost fork {run} --at N`)"
_MOVING = "it is on its way. Hold it first (`gatepost run hold {run}`), or see who moves it (`gatepost run why {run}`)"
_ANSWER = "a person has to answer for it. Answer its question (`gatepost approval list`)"
_REFUSED: Mapping[RunStatus, str] = {
    RunStatus.QUEUED: _MOVING,
    RunStatus.RUNNING: _MOVING,
    RunStatus.BLOCKED: _ANSWER,
    RunStatus.WAITING: "it goes on by itself when its time has come (`gatepost run why {run}`)",
    RunStatus.HELD: "no step of it has failed. Let it go on (--mode resume), or end it (rollback, abandon)",
    RunStatus.TIMED_OUT: "no step of it has failed. Let it go on (--mode resume), or end it (rollback, abandon)",
    RunStatus.STRANDED: "it waits for you already. Let it go on (--mode resume), or end it (rollback, abandon)",
    RunStatus.SUCCEEDED: _ENDED,
    RunStatus.REJECTED: "a person said no. What it did before can be undone (--mode rollback)",
    RunStatus.FAILED: "it has ended. Try again what failed (--mode resume), ask a person (escalate), undo (rollback)",
    RunStatus.COMPENSATED: _ENDED,
    RunStatus.COMPENSATION_FAILED: "an undo failed. Try it again (--mode resume), or leave it so (abandon)",
    RunStatus.CANCELLED: "it was called off. What it did before can be undone (--mode rollback)",
}


def refusal(mode: Mode, status: RunStatus, run_id: str) -> str | None:
    """Why a run that stands so cannot be recovered so, and what to do instead; None when it can."""
    return None if status in STANDS[mode] else _REFUSED[status].format(run=run_id)
