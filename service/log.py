"""The log of a run, as people read it: one line for each thing that was committed.

    [workflow] id=run_… started
    [step] docs_collect=ok
    [step] policy_screen=blocked(manual approval)
    [resume] approval_received
    [step] final_decision=approved_with_controls
    [artifact] onboarding_decision.json

Pure: lines follow from committed rows in the order of their transitions, so whoever follows a run,
from the start or from the middle, in its own process or another's, prints the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gatepost.state.status import RUN_FINAL, RUN_PARKED, RunStatus, StepStatus

if TYPE_CHECKING:
    from gatepost.checkpointing.history import StepChange
    from gatepost.state.step import StepRecord

_RECEIVED = {
    "approve": "approval_received",
    "edit": "edit_received",
    "reject": "rejection_received",
    "respond": "response_received",
}
OPERATOR = "operator"
"""The node as which an operator speaks (`graph.holding`)."""
_UNHAPPY = (RUN_FINAL | RUN_PARKED) - {RunStatus.SUCCEEDED}
_SHORT = 160


@dataclass(frozen=True, slots=True)
class Committed:
    """What was committed of a run in some consecutive transitions, each in order."""

    transitions: Sequence[Mapping[str, Any]]
    changes: Sequence[StepChange] = ()
    artifacts: Sequence[Mapping[str, Any]] = ()
    plans: Sequence[tuple[int, str]] = ()
    """Versions that came into force, with their reasons."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """What people answered, by approval: a decision's type."""
    told: Sequence[Mapping[str, Any]] = ()
    """What operators had the gate told: kind, actor, reason, data, seq."""


class RunLog:
    """The log of one run, as far as it was read. It remembers what later lines depend on.

    Args:
        run_id: the run.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._latest: dict[str, StepRecord] = {}
        self._findings: set[str] = set()
        self._told = False
        """An operator has spoken, and the gate has not followed yet."""

    def skip(self, records: Iterable[StepRecord]) -> None:
        """Take note of where steps stand without a line: these were committed before anybody looked."""
        for record in records:
            self._note(record)

    def asked(self, changes: Iterable[StepChange]) -> list[str]:
        """The approvals that these steps may have waited for: their answers belong into `Committed`."""
        found: dict[str, None] = {}
        for change in changes:
            before = self._latest.get(change.record.step)
            for record in (before, change.record):
                if record is not None and record.status is StepStatus.BLOCKED and record.approval:
                    found[record.approval] = None
        return list(found)

    def lines(self, news: Committed) -> list[str]:
        """The lines for what is new."""
        plans = iter(news.plans)
        by_seq: defaultdict[int, list[StepChange]] = defaultdict(list)
        for change in news.changes:
            by_seq[change.seq].append(change)
        found: list[str] = []
        for row in news.transitions:
            records = [change.record for change in by_seq[row["seq"]]]
            found += self._transition(row, records, news, plans)
        return found

    def _transition(
        self,
        row: Mapping[str, Any],
        records: Iterable[StepRecord],
        news: Committed,
        plans: Iterator[tuple[int, str]],
    ) -> Iterator[str]:
        if row["source"] == "input":
            yield f"[workflow] id={self._run_id} started"
        if OPERATOR in row["nodes"]:
            self._told = True
            yield from (_said(one) for one in news.told if one["seq"] == row["seq"])
        if "planner" in row["nodes"]:
            # A visit of the planner makes one version or none; the rows do not say which of them made none.
            yield from _plan_line(next(plans, None))
        for record in records:
            yield from self._step(record, news.answers)
        if "policy_gate" in row["nodes"]:
            self._told = False
        yield from (f"[artifact] {_short(made['name'])}" for made in news.artifacts if made["seq"] == row["seq"])
        status = RunStatus(row["status"])
        if status in _UNHAPPY and not row["next"]:
            yield f"[workflow] id={self._run_id} {status}{_why(row['reason'])}"

    def _step(self, record: StepRecord, answers: Mapping[str, str]) -> Iterator[str]:
        before = self._latest.get(record.step)
        if before is not None and before.status is not record.status:
            yield from _answer(before, answers, told=self._told)
        if (outcome := self._outcome(record)) is not None:
            yield f"[step] {record.step}={outcome}"
        self._note(record)

    def _outcome(self, record: StepRecord) -> str | None:
        match record.status:
            case StepStatus.SUCCEEDED if record.needs_approval:
                return f"blocked{_why(record.needs_approval)}"
            case StepStatus.SUCCEEDED:
                return _short(record.label) or "ok"
            case StepStatus.BLOCKED:
                return None if self._announced(record) else f"blocked{_why(record.reason)}"
            case StepStatus.FAILED:
                kind = record.failure.kind if record.failure else "unknown"
                return f"failed({kind}: {_short(record.reason)})"
            case (
                StepStatus.WAITING
                | StepStatus.IN_DOUBT
                | StepStatus.SKIPPED
                | StepStatus.COMPENSATING  # committed by itself only while a person is asked about the undo
                | StepStatus.COMPENSATION_FAILED
            ):
                return f"{record.status}{_why(record.reason)}"
            case StepStatus.COMPENSATED:
                return str(record.status)
            case _:
                return None

    def _announced(self, record: StepRecord) -> bool:
        """A finding that this step waits for already has its line (`Board.demands` words the reason)."""
        return any(record.reason.startswith(f"{step}: ") for step in self._findings)

    def _note(self, record: StepRecord) -> None:
        self._latest[record.step] = record
        if record.status is StepStatus.SUCCEEDED and record.needs_approval:
            self._findings.add(record.step)


def _answer(before: StepRecord, answers: Mapping[str, str], *, told: bool) -> Iterator[str]:
    """That a person answered; not where an operator spoke, or a wait was over."""
    asked = before.status in (StepStatus.IN_DOUBT, StepStatus.FAILED) and not told
    if asked or (before.status is StepStatus.COMPENSATING and not before.wake_at):
        yield "[resume] answer_received"
    elif before.status is StepStatus.BLOCKED and (received := _RECEIVED.get(answers.get(before.approval or "", ""))):
        yield f"[resume] {received}"


def _said(told: Mapping[str, Any]) -> str:
    step = (told["data"] or {}).get("step", "")
    return f"[operator] {told['kind']}{f' {step}' if step else ''} by {_short(told['actor'])}{_why(told['reason'])}"


def _plan_line(plan: tuple[int, str] | None) -> Iterator[str]:
    if plan is not None and plan[0] > 1:
        reason = f" {_why(plan[1])}" if plan[1] else ""
        yield f"[plan] v{plan[0]}{reason}"


def _why(reason: str) -> str:
    return f"({_short(reason)})" if reason else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[:_SHORT]}…"
