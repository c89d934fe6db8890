"""Step records: what happened to one step, one immutable record for each status it reached.

Invariant: records are append-only rows keyed by the run's transition number, so the state of a
step as of any checkpoint is the last record at or before it. A record says everything about its
step so far; nobody has to read two.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from gatepost.state.failure import FailureKind
from gatepost.state.record import Record
from gatepost.state.status import STEP_TRANSITIONS, StepStatus, advance


class Failure(Record):
    """Why a step, an effect or a run failed."""

    kind: FailureKind
    """The class of the failure: what may be done about it depends on nothing else."""
    message: str
    """Readable: the cause, then the next step."""
    retry_after: float | None = None
    """Seconds the provider asked us to wait (throttled)."""


class StepRecord(Record):
    """One step as it stands after a transition."""

    schema_version: Literal[1] = 1
    step: str
    status: StepStatus = StepStatus.PENDING
    plan_version: int = 1
    tool: str = ""
    label: str = ""
    """A word for the log: `ok`, or what the tool declares (`approved_with_controls`)."""
    reason: str = ""
    """Why it stands there."""
    key: str | None = None
    """The idempotency key of its effect."""
    generation: int = 0
    """How often it was done anew (by a person after a definite failure, or read again); part of the key."""
    fingerprint: str | None = None
    """Hash of the canonical arguments that were judged."""
    approval: str | None = None
    """The approval under which it runs, if a person was asked."""
    undo_approval: str | None = None
    """The approval asked for before it is undone, if a person was asked."""
    undo_generation: int = 0
    """How often the undo is done anew because a person found out that it had not happened; part of its key."""
    policies: tuple[str, ...] = ()
    """Ids of the policies that decided."""
    spent: int = 0
    """What the run had set out to spend when this step was dispatched, its own cost included."""
    cost: int = 0
    """What its call costs, in the units of its tool."""
    counted: bool = False
    """Whether that is part of what the run has set out to spend; `nodes.spending` has the rule."""
    now: str | None = None
    """The time its tool is told, stored here so that a replay tells it the same."""
    wake_at: str | None = None
    """UTC, ISO 8601: when it goes on, while it waits."""
    output: JsonValue = None
    again: bool = False
    """It is a read that is made again, because a step allows only newer facts; `output` is what stood before."""
    changes: tuple[dict[str, JsonValue], ...] = ()
    """How the last reading differed from the one before: `{"at": JSON pointer, "was": …, "now": …}`."""
    needs_approval: str | None = None
    """A finding of this step: what depends on it needs a person, for this reason."""
    failure: Failure | None = None

    def to(self, *through: StepStatus, **changes: object) -> StepRecord:
        """The record after legal transitions, with other fields changed on the way.

        Raises:
            IllegalTransition: the table does not have one of them.
        """
        return self.model_copy(update={"status": advance(STEP_TRANSITIONS, self.status, *through), **changes})
