"""Approvals in Postgres: the answer that stands, recorded before anything acts on it.

Invariant: one compare-and-set decides an approval. The decision, who gave it and the run's next
mover are one transaction; a repeat of the same answer is told what is recorded, another answer is
refused and told the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from psycopg.types.json import Json

from gatepost.checkpointing.history import utc
from gatepost.checkpointing.pool import Connection, Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import one_of
from gatepost.state import crash
from gatepost.state.approval import ApprovalRequest, Decision
from gatepost.state.errors import AlreadyDecided, InvalidDecision, UnknownApproval
from gatepost.state.ids import ApprovalId
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

    def plain(self) -> dict[str, Any]:
        """For results: what is recorded."""
        return {**self.decision.plain(), "at": utc(self.at), "repeated": self.repeated}


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


class Clerk(Protocol):
    """Who says whether an answer fits its question; knows tools and policy, which this room does not."""

    def normalise(self, request: ApprovalRequest, decision: Decision) -> Decision:
        """The answer with edited arguments as they will be sent; raises `InvalidDecision`."""
        ...

    def authorise(self, request: ApprovalRequest, decision: Decision) -> str:
        """The digest of the action that the answer authorises; raises `InvalidDecision`."""
        ...


class Approvals:
    """The table of approvals.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def decide(self, decision: Decision, *, tenant: str, clerk: Clerk, kept: timedelta | None = None) -> Recorded:
        """Record an answer.

        Args:
            decision: the answer.
            tenant: whose approval it must be.
            clerk: says whether the answer fits the question.
            kept: how long movers leave the run to the caller, who goes on with it; None: any mover, at once.

        Raises:
            UnknownApproval: the tenant has no such approval.
            AlreadyDecided: another answer stands.
            InvalidDecision: not allowed here, too late, or no longer asked.
        """
        async with self._pools.transaction() as connection:
            params = {"approval_id": decision.approval, "tenant": tenant}
            row = await (await connection.execute(query("approval.lock"), params)).fetchone()
            if row is None:
                raise _unknown(decision.approval)
            request = ApprovalRequest.model_validate(row["request"])
            decision = clerk.normalise(request, decision)
            if row["status"] == ApprovalStatus.DECIDED:
                return _repeat(await self._get(connection, decision.approval, tenant), request, decision)
            _still_asked(row, request)
            digest = clerk.authorise(request, decision)
            at = await self._record(connection, row, decision, digest, kept=kept)
            crash.here("decision.before")
        crash.here("decision.after")
        return Recorded(request=request, decision=decision, digest=digest, at=at)

    async def standing(self, run_id: str, approvals: Sequence[str]) -> dict[str, Standing]:
        """The given approvals of a run as they stand, by id."""
        async with self._pools.connection() as connection:
            cursor = await connection.execute(
                query("approval.answered"), {"run_id": run_id, "approval_ids": list(approvals)}
            )
            return {row["approval_id"]: _standing(row) for row in await cursor.fetchall()}

    async def get(self, approval: str, tenant: str) -> dict[str, Any]:
        """One approval with its answer.

        Raises:
            UnknownApproval: the tenant has no such approval.
        """
        async with self._pools.connection() as connection:
            return await self._get(connection, approval, tenant)

    async def find(self, prefix: str, tenant: str) -> ApprovalId:
        """The one approval whose id starts with `prefix`.

        Raises:
            UnknownApproval: none does.
            CallerMistake: several do.
        """
        async with self._pools.connection() as connection:
            cursor = await connection.execute(query("approval.find"), {"prefix": prefix, "tenant": tenant})
            found = [row["approval_id"] for row in await cursor.fetchall()]
        return ApprovalId(one_of(found, prefix=prefix, what="approval", unknown=UnknownApproval))

    async def list(
        self, tenant: str, *, status: str | None = "open", run_id: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """A page of approvals, oldest first."""
        params = {"tenant": tenant, "status": status, "run_id": run_id, "limit": limit}
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("approval.list"), params)).fetchall()

    async def _get(self, connection: Connection, approval: str, tenant: str) -> dict[str, Any]:
        params = {"approval_id": approval, "tenant": tenant}
        row = await (await connection.execute(query("approval.get"), params)).fetchone()
        if row is None:
            raise _unknown(approval)
        return row

    async def _record(
        self,
        connection: Connection,
        row: Mapping[str, Any],
        decision: Decision,
        digest: str,
        *,
        kept: timedelta | None,
    ) -> datetime:
        decided = await connection.execute(query("approval.decide"), {"approval_id": decision.approval})
        if not decided.rowcount:
            raise InvalidDecision(f"approval {decision.approval} closed while the answer was on its way. Ask again.")
        params = {
            **decision.model_dump(include={"type", "comment", "channel", "authenticated"}),
            "approval_id": decision.approval,
            "principal": decision.by,
            "args": None if decision.args is None else Json(decision.args),
            "digest": digest,
        }
        recorded = await (await connection.execute(query("approval.record"), params)).fetchone()
        reason = f"{decision.type} by {decision.by}"
        await connection.execute(query("approval.wake"), {"run_id": row["run_id"], "reason": reason, "kept": kept})
        assert recorded is not None
        at: datetime = recorded["at"]
        return at


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
    )


def _standing(row: Mapping[str, Any]) -> Standing:
    return Standing(
        approval=row["approval_id"],
        step=row["step_id"],
        status=ApprovalStatus(row["status"]),
        digest=row["digest"],
        request=ApprovalRequest.model_validate(row["request"]),
        act_too_late=bool(row["act_too_late"]),
        decision=decision_in(row),
        decided_digest=row["decided_digest"],
    )


def _repeat(row: Mapping[str, Any], request: ApprovalRequest, decision: Decision) -> Recorded:
    recorded = decision_in(row)
    assert recorded is not None
    if decision.same_answer(recorded):
        return Recorded(request, recorded, row["decided_digest"], row["decided_at"], repeated=True)
    raise AlreadyDecided(
        f"approval {decision.approval} is decided: {recorded.type} by {recorded.by} at {utc(row['decided_at'])}"
        + (f" ({recorded.comment})" if recorded.comment else "")
        + ". That answer stands; yours was not recorded.",
        recorded={**recorded.plain(), "at": utc(row["decided_at"])},
    )


def _still_asked(row: Mapping[str, Any], request: ApprovalRequest) -> None:
    if row["status"] != ApprovalStatus.OPEN:
        raise InvalidDecision(
            f"approval {request.id} is {row['status']}: the question is no longer asked. "
            "`gatepost approval list` shows what is."
        )
    if row["too_late"]:
        raise InvalidDecision(f"approval {request.id} had to be decided by {request.decide_by}; it is too late.")


def _unknown(approval: str) -> UnknownApproval:
    return UnknownApproval(f"there is no approval {approval!r}. `gatepost approval list` shows the open ones.")
