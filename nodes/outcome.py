"""Outcomes: how an effect ended, and what that makes of its step.

Pure. The executor, the compensator and a person's answer about doubt all settle a step through here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from gatepost.checkpointing.effect_rows import Entry
from gatepost.nodes.tool import AnyTool, Finding
from gatepost.state.status import EffectState, StepStatus
from gatepost.state.step import Failure, StepRecord

_STATUS = {
    EffectState.SUCCEEDED: StepStatus.SUCCEEDED,
    EffectState.FAILED: StepStatus.FAILED,
    EffectState.IN_DOUBT: StepStatus.IN_DOUBT,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an effect ended."""

    state: EffectState
    result: JsonValue = None
    finding: Finding | None = None
    note: str = ""
    """What the step's record says about it, where it succeeded."""
    failure: Failure | None = None
    wake_at: datetime | None = None
    """Of a call that waits: when it is made (again)."""
    attempts: int = 0
    """Of a call that waits: made so far."""
    doubt: bool = False
    """Of a call that waits: whether an attempt of it may have happened."""


def succeeded(tool: AnyTool, value: object) -> Outcome:
    """It happened, and this is what the tool, its look-up, a person or the ledger says that it returned.

    Raises:
        InvalidResult: not what the tool declares.
        InvalidValue: not storable.
    """
    plain = tool.checked_result(value)
    return Outcome(EffectState.SUCCEEDED, result=plain, finding=_finding(tool, value))


def failed(failure: Failure) -> Outcome:
    """It did not happen, for certain."""
    return Outcome(EffectState.FAILED, failure=failure)


def unknown(failure: Failure) -> Outcome:
    """Nobody knows whether it happened."""
    return Outcome(EffectState.IN_DOUBT, failure=failure)


def parked(failure: Failure, *, until: datetime, attempts: int, doubt: bool) -> Outcome:
    """It is made, or looked up, at a later time."""
    return Outcome(EffectState.INTENDED, failure=failure, wake_at=until, attempts=attempts, doubt=doubt)


def recorded(tool: AnyTool, entry: Entry) -> Outcome:
    """An earlier attempt is on record: that is the outcome, and nothing is called."""
    finding = _finding(tool, entry.result) if entry.state is EffectState.SUCCEEDED else None
    return Outcome(entry.state, result=entry.result, finding=finding, failure=entry.failure)


def settled(record: StepRecord, outcome: Outcome, *, tool: AnyTool | None, reason: str = "") -> StepRecord:
    """The step's record under an outcome."""
    if outcome.wake_at is not None:
        return record.to(
            StepStatus.WAITING, label="waiting", wake_at=outcome.wake_at.isoformat(), reason=waits(outcome)
        )
    return record.to(
        _STATUS[outcome.state],
        label=_label(tool, outcome),
        output=outcome.result,
        needs_approval=outcome.finding.needs_approval if outcome.finding else None,
        failure=outcome.failure,
        reason=reason or outcome.note or (outcome.failure.message if outcome.failure else ""),
    )


def waits(outcome: Outcome) -> str:
    """Why it waits, and until when."""
    assert outcome.wake_at is not None
    assert outcome.failure is not None
    return f"waits until {outcome.wake_at.isoformat(timespec='seconds')}: {outcome.failure.message}"


def entry(outcome: Outcome) -> dict[str, Any]:
    """The entry of the frontier for a step that waits."""
    assert outcome.wake_at is not None
    return {
        "status": StepStatus.WAITING.value,
        "wake_at": outcome.wake_at.isoformat(),
        "attempts": outcome.attempts,
        "doubt": outcome.doubt,
    }


def _finding(tool: AnyTool, value: object) -> Finding | None:
    checked = tool.result.validate_python(value)
    return checked if isinstance(checked, Finding) else None


def _label(tool: AnyTool | None, outcome: Outcome) -> str:
    if outcome.state is not EffectState.SUCCEEDED:
        return outcome.failure.kind if outcome.failure else str(outcome.state)
    if tool is not None and tool.label and isinstance(outcome.result, dict):
        return str(outcome.result.get(tool.label, "ok"))
    return "ok"
