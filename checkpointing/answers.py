"""Answers as their rows say: what is asked now, what was decided, and what a caller is told.

Invariant: whoever acts on an answer reads it here, afresh, and never from a value that somebody passed along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gatepost.checkpointing.history import utc
from gatepost.state.approval import ApprovalRequest, Decision
from gatepost.state.status import ApprovalStatus


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer that stands."""

    request: ApprovalRequest
    decision: Decision
    digest: str
    """Of the action that it authorises."""
    at: datetime
    repeated: bool = False
    """Whether this caller said what was recorded already."""
    decided: bool = True
    """False: it is on record, and more people have to say yes."""
    yes: int = 1
    """With `needed`: how many people have said yes to this action, of how many."""
    needed: int = 1

    def plain(self) -> dict[str, Any]:
        """For results: what is recorded."""
        still_open = {} if self.decided else {"decided": False, "yes": self.yes, "needed": self.needed}
        return {**self.decision.plain(), "at": utc(self.at), "repeated": self.repeated, **still_open}


@dataclass(frozen=True, slots=True)
class Standing:
    """An approval as its rows say, read afresh."""

    approval: str
    step: str
    status: ApprovalStatus
    digest: str
    request: ApprovalRequest
    act_too_late: bool
    decision: Decision | None
    decided_digest: str | None
    act_by: datetime | None = None
    """Until when a yes is good."""
    decide_by: datetime | None = None
    """Until when it could be decided."""
    yes: int = 0
    """Different people who said yes to the action that was decided."""

    @property
    def enough(self) -> bool:
        """Whether as many people said yes as are asked for; who decides alone is on record as the decision."""
        needed = self.request.terms.needed(self.request.level)
        return needed == 1 or self.yes >= needed

    @property
    def timed_out(self) -> bool:
        """Whether nobody answered in the time that its gate gives."""
        return self.status is ApprovalStatus.EXPIRED and self.decide_by is not None


def as_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of approvals with what describes it as that is by now, in place of what it was when it was asked.

    That is what a yes would set going, and what a later policy says of it.
    """
    found = dict(row)
    impact, judged = found.pop("impact"), found.pop("judged") or {}
    by_now = judged if impact is None else {**judged, "impact": impact}
    return {**found, "request": {**found["request"], **by_now}} if by_now else found


def request_in(row: Mapping[str, Any]) -> ApprovalRequest:
    """What is asked now: as it was opened, of whom it was passed on to, until when."""
    request = ApprovalRequest.model_validate(row["request"])
    until = row.get("decide_by")
    return request.model_copy(update={"level": row["level"], "decide_by": None if until is None else utc(until)})


def decision_in(row: Mapping[str, Any]) -> Decision | None:
    """The answer in a joined row, if there is one."""
    if row["principal"] is None:
        return None
    return Decision(
        approval=row["approval_id"],
        type=row["type"],
        by=row["principal"],
        comment=row["comment"],
        args=row["args"],
        channel=row["channel"],
        authenticated=row["authenticated"],
        on_behalf_of=row["on_behalf_of"],
    )


def standing_in(row: Mapping[str, Any]) -> Standing:
    """An approval in its row, as `approval.answered` gives it."""
    return Standing(
        approval=row["approval_id"],
        step=row["step_id"],
        status=ApprovalStatus(row["status"]),
        digest=row["digest"],
        request=request_in(row),
        act_too_late=bool(row["act_too_late"]),
        decision=decision_in(row),
        decided_digest=row["decided_digest"],
        act_by=row["act_by"],
        decide_by=row["decide_by"],
        yes=row["yes"],
    )
