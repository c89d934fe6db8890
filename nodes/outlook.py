"""The outlook: what recovering a run would do, step by step, before anything is done.

Pure: it follows from the steps, the tools and the mode, in the way in which the gate and the
compensator will act on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gatepost.nodes.tool import AnyTool
from gatepost.state.recovery import Mode
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import StepRecord


@dataclass(frozen=True, slots=True)
class Prospect:
    """What would become of one step."""

    step: str
    what: Literal["undo", "stays", "find out", "try again", "ask"]
    why: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would become of a run."""

    run_id: str
    status: RunStatus
    """How it stands now."""
    mode: Mode
    steps: tuple[Prospect, ...]
    """In the order in which it would happen; steps of which nothing would become are left out."""

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps]}


def prospects(mode: Mode, records: Iterable[StepRecord], tool: Callable[[str], AnyTool]) -> tuple[Prospect, ...]:
    """What recovering in this mode would make of steps.

    Args:
        mode: how.
        records: the latest record of each step, in the order in which they came to their ends.
        tool: the tool of a name.
    """
    found = list(records)
    stuck = [record for record in found if record.status is StepStatus.COMPENSATION_FAILED]
    if stuck and mode in (Mode.RESUME, Mode.ROLLBACK):
        return tuple(Prospect(record.step, "undo", f"once more: {record.reason}") for record in reversed(stuck))
    if mode is Mode.ROLLBACK:
        doubts = [record for record in found if record.status is StepStatus.IN_DOUBT]
        asked = [
            Prospect(record.step, "find out", "nobody saw how it ended; a person is asked first") for record in doubts
        ]
        return (*asked, *_undone(reversed(found), tool))
    if mode is Mode.ABANDON:
        return tuple(left for record in found if (left := _left(record, tool)) is not None)
    failed = [record for record in found if record.status is StepStatus.FAILED]
    if mode is Mode.ESCALATE:
        return tuple(Prospect(record.step, "ask", f"try it again, or not? {record.reason}") for record in failed)
    return tuple(Prospect(record.step, "try again", f"as a new call: {record.reason}") for record in failed)


def _undone(records: Iterable[StepRecord], tool: Callable[[str], AnyTool]) -> list[Prospect]:
    """As the compensator will go through them: what has an undo, the last that came to its end first."""
    done = [
        (record, tool(record.tool))
        for record in records
        if record.status in (StepStatus.SUCCEEDED, StepStatus.COMPENSATING)
    ]
    undo = [Prospect(record.step, "undo", f"{of.name} by {of.compensate.name}") for record, of in done if of.compensate]
    stay = [
        Prospect(record.step, "stays", f"{stays(of)} ({of.name})")
        for record, of in done
        if of.compensate is None and of.effect != "read"
    ]
    return [*undo, *stay]


def stays(tool: AnyTool) -> str:
    """Why what a tool did stays done.

    An irreversible effect is a saga's pivot: what came before it can be undone, and the run as a whole cannot be as if
    it had never been (Garcia-Molina and Salem, "Sagas", 1987).
    """
    return "a pivot: it is irreversible" if tool.effect == "irreversible" else "nothing undoes it"


def _left(record: StepRecord, tool: Callable[[str], AnyTool]) -> Prospect | None:
    if record.status is StepStatus.IN_DOUBT:
        return Prospect(record.step, "stays", "in doubt: nobody saw how it ended (`gatepost effect list --unknown`)")
    if record.status is StepStatus.COMPENSATION_FAILED:
        return Prospect(record.step, "stays", f"not undone: {record.reason}")
    if record.status is StepStatus.SUCCEEDED and tool(record.tool).effect != "read":
        return Prospect(record.step, "stays", f"{record.tool} has happened")
    return None
