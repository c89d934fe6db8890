"""The log of a run, as people read it: one line for each thing that was committed.

    [workflow] id=run_… started
    [step] docs_collect=ok
    [step] policy_screen=blocked(manual approval)
    [resume] approval_received
    [step] final_decision=approved_with_controls
    [artifact] onboarding_decision.json

Pure: lines follow from step records in the order in which they were committed, so whoever follows
a run, from the start or from the middle, in its own process or another's, prints the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from gatepost.state.status import RUN_FINAL, RunStatus, StepStatus
from gatepost.state.step import StepRecord

_ANSWERS = {
    "approved": "approval_received",
    "edited": "edit_received",
    "rejected": "rejection_received",
    "answered": "response_received",
}
_SHORT = 160


class RunLog:
    """What was logged of one run so far, as far as later lines depend on it."""

    def __init__(self) -> None:
        self._status: dict[str, StepStatus] = {}
        self._findings: set[str] = set()
        self._plan = 1

    def started(self, run_id: str) -> str:
        """The first line."""
        return f"[workflow] id={run_id} started"

    def steps(self, records: Iterable[StepRecord]) -> list[str]:
        """Lines for step records, in the order of their transitions."""
        return [line for record in records for line in self._step(record)]

    def plan(self, version: int, reason: str) -> list[str]:
        """A line for a plan version after the first."""
        if version <= self._plan:
            return []
        self._plan = version
        return [f"[plan] v{version}" + (f" ({_shortened(reason)})" if reason else "")]

    def ended(self, run_id: str, status: RunStatus, reason: str) -> list[str]:
        """The last line, of a run that did not simply succeed."""
        if status not in RUN_FINAL or status is RunStatus.SUCCEEDED:
            return []
        return [f"[workflow] id={run_id} {status}" + (f" ({_shortened(reason)})" if reason else "")]

    def artifact(self, name: str) -> str:
        """The line for an artifact."""
        return f"[artifact] {name}"

    def _step(self, record: StepRecord) -> list[str]:
        before = self._status.get(record.step, StepStatus.PENDING)
        self._status[record.step] = record.status
        return [*self._answer(before, record), *self._outcome(record)]

    def _answer(self, before: StepStatus, record: StepRecord) -> list[str]:
        if before is StepStatus.IN_DOUBT:
            return ["[resume] answer_received"]
        said = _ANSWERS.get(record.reason.partition(" by ")[0])
        return [f"[resume] {said}"] if before is StepStatus.BLOCKED and said else []

    def _outcome(self, record: StepRecord) -> list[str]:
        match record.status:
            case StepStatus.SUCCEEDED if record.needs_approval:
                self._findings.add(record.step)
                return [_line(record, f"blocked({_shortened(record.needs_approval)})")]
            case StepStatus.SUCCEEDED:
                return [_line(record, record.label or "ok")]
            case StepStatus.BLOCKED if not self._announced(record):
                return [_line(record, f"blocked({_shortened(record.reason)})")]
            case StepStatus.FAILED:
                kind = record.failure.kind if record.failure else "failed"
                return [_line(record, f"failed({kind}: {_shortened(record.reason)})")]
            case StepStatus.IN_DOUBT:
                return [_line(record, f"in_doubt({_shortened(record.reason)})")]
            case StepStatus.SKIPPED:
                return [_line(record, f"skipped({_shortened(record.reason)})")]
            case StepStatus.COMPENSATED | StepStatus.COMPENSATION_FAILED:
                return [_line(record, str(record.status))]
            case _:
                return []

    def _announced(self, record: StepRecord) -> bool:
        """A finding that blocks this step was logged already."""
        return any(record.reason.startswith(f"{step}: ") for step in self._findings)


def _line(record: StepRecord, what: str) -> str:
    return f"[step] {record.step}={what}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[:_SHORT]}…"
