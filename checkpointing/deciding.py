"""Deciding: what one answer means, in the transaction in which it is recorded.

Invariant: whoever runs this holds the rows of the run and of the question, so that no other answer comes in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from psycopg.types.json import Json

from gatepost.checkpointing.answers import Recorded, decision_in
from gatepost.checkpointing.history import utc
from gatepost.checkpointing.people import electorate
from gatepost.checkpointing.pool import Connection
from gatepost.checkpointing.queries import query
from gatepost.state.approval import ApprovalRequest, Decision, is_as_asked
from gatepost.state.ballot import Vote
from gatepost.state.delegation import Matter, Voter, voter_of
from gatepost.state.errors import AlreadyDecided, InvalidDecision
from gatepost.state.plan import Origin, origin_word
from gatepost.state.status import ApprovalStatus


class Clerk(Protocol):
    """Who says whether an answer fits its question; knows tools and policy, which this room does not."""

    def normalise(self, request: ApprovalRequest, decision: Decision) -> Decision:
        """The answer with edited arguments as they will be sent; raises `InvalidDecision`."""
        ...

    def authorise(self, request: ApprovalRequest, decision: Decision, voter: Voter, found: Circumstances | None) -> str:
        """The digest of the action that the answer authorises; raises `InvalidDecision`.

        Args:
            request: the question.
            decision: the answer.
            voter: who gives it.
            found: for an edited action.
        """
        ...

    def impact(self, request: ApprovalRequest, decision: Decision) -> Sequence[Mapping[str, Any]] | None:
        """What the action would set going with edited arguments; None: as it was asked."""
        ...


class Circumstances(NamedTuple):
    """By what an edited action is judged, beside itself, as the gate will see it."""

    spent: int
    """What the run has set out to spend so far."""
    origin: Origin
    """Who wrote the plan."""
    now: datetime
    """By the database's clock."""


class TooLate(InvalidDecision):
    """The time of a question is up, and nobody has carried that out yet."""

    run_id: str = ""


async def cast(
    connection: Connection, row: Mapping[str, Any], request: ApprovalRequest, decision: Decision, clerk: Clerk
) -> Vote:
    """Who the answer counts as, and what it says yes to."""
    matter = Matter(request.id, row["workflow"], request.tool, request.terms.asked(request.level))
    people = await electorate(
        connection,
        tenant=row["tenant"],
        principal=decision.by,
        on_behalf_of=decision.on_behalf_of,
        delegations=bool(matter.asked),
    )
    voter = voter_of(decision.by, decision.on_behalf_of, matter, people)
    decision = decision.model_copy(update={"on_behalf_of": "" if voter.counted_as == voter.by else voter.counted_as})
    edited = decision.args is not None and request.kind == "action"
    found = await _circumstances(connection, request.id) if edited else None
    return Vote(decision, voter, clerk.authorise(request, decision, voter, found))


async def _circumstances(connection: Connection, approval: str) -> Circumstances:
    row = await (await connection.execute(query("approval.circumstances"), {"approval_id": approval})).fetchone()
    assert row is not None
    return Circumstances(row["spent"], origin_word(row["origin"]), row["now"])


async def close(
    connection: Connection,
    row: Mapping[str, Any],
    request: ApprovalRequest,
    vote: Vote,
    *,
    impact: Sequence[Mapping[str, Any]] | None,
    kept: timedelta | None,
) -> datetime:
    """Make an answer the answer, and say who moves the run next."""
    decision = vote.decision
    decided = await connection.execute(query("approval.decide"), {"approval_id": decision.approval})
    if not decided.rowcount:
        raise InvalidDecision(f"approval {decision.approval} closed while the answer was on its way. Ask again.")
    params = {
        **decision.model_dump(include={"type", "comment", "channel", "authenticated", "on_behalf_of"}),
        "approval_id": decision.approval,
        "principal": decision.by,
        "args": None if decision.args is None else Json(decision.args),
        "digest": vote.digest,
        "act_seconds": request.terms.act_seconds,
    }
    recorded = await (await connection.execute(query("approval.record"), params)).fetchone()
    if impact is not None:
        await connection.execute(
            query("approval.foresee"), {"approval_id": decision.approval, "impact": Json(list(impact))}
        )
    reason = f"{decision.type} by {decision.by}"
    await connection.execute(query("approval.wake"), {"run_id": row["run_id"], "reason": reason, "kept": kept})
    assert recorded is not None
    at: datetime = recorded["at"]
    return at


def repeated(row: Mapping[str, Any], request: ApprovalRequest, decision: Decision, votes: Sequence[Vote]) -> Recorded:
    recorded = decision_in(row)
    assert recorded is not None
    if decision.same_answer(recorded) or any(decision.same_answer(vote.decision) for vote in votes):
        return Recorded(request, recorded, row["decided_digest"], row["decided_at"], repeated=True)
    raise AlreadyDecided(
        f"approval {decision.approval} is decided: {recorded.type} by {recorded.by} at {utc(row['decided_at'])}"
        + (f" ({recorded.comment})" if recorded.comment else "")
        + ". That answer stands; yours was not recorded.",
        recorded={**recorded.plain(), "at": utc(row["decided_at"])},
    )


def still_asked(row: Mapping[str, Any], request: ApprovalRequest) -> None:
    if row["status"] == ApprovalStatus.EXPIRED and request.decide_by:
        raise InvalidDecision(
            f"approval {request.id} had to be decided by {request.decide_by}. It is too late: silence is a no."
        )
    if row["status"] != ApprovalStatus.OPEN:
        raise InvalidDecision(
            f"approval {request.id} is {row['status']}: the question is no longer asked. "
            "`gatepost approval list` shows what is."
        )
    if not is_as_asked(request, row["digest"], tenant=row["tenant"]):
        raise InvalidDecision(
            f"what approval {request.id} asks was changed in the database after it was asked, so nobody can answer it. "
            "`gatepost export` shows who did what; hold the run and look. Nothing was recorded."
        )
    if row["too_late"]:
        late = TooLate(f"approval {request.id} had to be decided by {request.decide_by}; it is too late.")
        late.run_id = row["run_id"]
        raise late
