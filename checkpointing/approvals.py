"""Approvals in Postgres: the answer that stands, recorded before anything acts on it.

Invariant: one compare-and-set decides an approval, in the transaction of the last answer that it needed. The
decision, who gave it and the run's next mover are one transaction; a repeat of the same answer is told what is
recorded, another answer is refused and told the same. What is refused leaves a row that says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from gatepost.checkpointing.answers import Recorded, Standing, as_shown, request_in, standing_in
from gatepost.checkpointing.deciding import Clerk, TooLate, cast, close, repeated, still_asked
from gatepost.checkpointing.links import Link, use_up
from gatepost.checkpointing.pool import Connection, Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import one_of
from gatepost.checkpointing.session import RunSession
from gatepost.checkpointing.votes import note, record, votes_of
from gatepost.state import crash
from gatepost.state.approval import Decision
from gatepost.state.ballot import Vote, count
from gatepost.state.errors import AlreadyDecided, DatabaseUnavailable, InvalidDecision, UnknownApproval
from gatepost.state.ids import ApprovalId
from gatepost.state.status import ApprovalStatus
from gatepost.state.values import storable_text


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
        (recorded,) = await self.decide_all([decision], tenant=tenant, clerk=clerk, kept=kept)
        return recorded

    async def decide_all(
        self,
        decisions: Sequence[Decision],
        *,
        tenant: str,
        clerk: Clerk,
        kept: timedelta | None = None,
        link: Link | None = None,
    ) -> Sequence[Recorded]:
        """Record several answers, all of them or none; as `decide`. `link`: what they came by, used up with them."""
        try:
            try:
                return await self._decide_all(decisions, tenant, clerk, kept, link)
            except TooLate as late:
                await self.carry_out_limits(late.run_id)
                return await self._decide_all(decisions, tenant, clerk, kept, link)
        except (InvalidDecision, AlreadyDecided) as refused:
            await self._note_refusal(decisions, tenant, str(refused))
            raise

    async def carry_out_limits(self, run_id: str) -> None:
        """Where the time of a run's questions is up, do what their gates say; a mover does it for all runs."""
        async with self._pools.transaction() as connection:
            swept = await connection.execute(query("limit.sweep"), {"run_id": run_id})
            if swept.rowcount:
                crash.here("silence.before")
        if swept.rowcount:
            crash.here("silence.after")

    async def withdraw(self, session: RunSession, approval: str, reason: str) -> None:
        """Take a question back that a policy answers by now; nothing happens where it was answered meanwhile."""
        params = {"run_id": session.run.run_id, "epoch": session.epoch, "approval_id": approval, "reason": reason}
        async with self._pools.connection() as connection:
            crash.here("withdrawal.before")
            await connection.execute(query("approval.withdraw"), params)
        crash.here("withdrawal.after")

    async def votes(self, approval: str) -> Sequence[Vote]:
        """What people have said so far to a question, as it is asked now."""
        async with self._pools.connection() as connection:
            return await votes_of(connection, approval, None)

    async def comment(self, approval: str, text: str, *, tenant: str, by: str) -> None:
        """Say something about a question without answering it.

        Raises:
            UnknownApproval: the tenant has no such approval.
            InvalidValue: no text, or by nobody.
        """
        storable_text(text, where="the comment")
        storable_text(by, where="who comments", max_bytes=200)
        async with self._pools.connection() as connection:
            if not await note(connection, approval, tenant=tenant, kind="comment", actor=by, reason=text):
                raise _unknown(approval)

    async def life(self, approval: str) -> list[dict[str, Any]]:
        """Everything that was said to a question and happened to it, in order: `at`, `kind`, `actor`, `reason`."""
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("vote.life"), {"approval_id": approval})).fetchall()

    async def standing(self, run_id: str, approvals: Sequence[str]) -> dict[str, Standing]:
        """The given approvals of a run as they stand, by id."""
        async with self._pools.connection() as connection:
            cursor = await connection.execute(
                query("approval.answered"), {"run_id": run_id, "approval_ids": list(approvals)}
            )
            return {row["approval_id"]: standing_in(as_shown(row)) for row in await cursor.fetchall()}

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
            rows = await (await connection.execute(query("approval.list"), params)).fetchall()
        return [as_shown(row) for row in rows]

    async def _get(self, connection: Connection, approval: str, tenant: str) -> dict[str, Any]:
        params = {"approval_id": approval, "tenant": tenant}
        row = await (await connection.execute(query("approval.get"), params)).fetchone()
        if row is None:
            raise _unknown(approval)
        return as_shown(row)

    async def _decide_all(
        self, decisions: Sequence[Decision], tenant: str, clerk: Clerk, kept: timedelta | None, link: Link | None
    ) -> Sequence[Recorded]:
        async with self._pools.transaction() as connection:
            if link is not None:
                await use_up(connection, link)
            recorded = [await self._decide(connection, decision, tenant, clerk, kept) for decision in decisions]
            if fresh := not all(found.repeated for found in recorded):
                crash.here("decision.before")
        if fresh:
            crash.here("decision.after")
        return recorded

    async def _decide(
        self, connection: Connection, decision: Decision, tenant: str, clerk: Clerk, kept: timedelta | None
    ) -> Recorded:
        params = {"approval_id": decision.approval, "tenant": tenant}
        row = await (await connection.execute(query("approval.lock"), params)).fetchone()
        if row is None:
            raise _unknown(decision.approval)
        row = as_shown(row)
        request = request_in(row)
        decision = clerk.normalise(request, decision)
        votes = await votes_of(connection, request.id, request.level)
        if row["status"] == ApprovalStatus.DECIDED:
            return repeated(await self._get(connection, request.id, tenant), request, decision, votes)
        still_asked(row, request)
        vote = await cast(connection, row, request, decision, clerk)
        counted = count(votes, vote, needed=request.terms.needed(request.level))
        said = vote if counted.earlier is None else counted.earlier
        if counted.outcome != "repeated":
            await record(connection, vote, request.level)
        at = row["now"]
        if counted.outcome == "decided":
            at = await close(connection, row, request, vote, impact=clerk.impact(request, decision), kept=kept)
        return Recorded(
            request,
            said.decision,
            said.digest,
            at,
            repeated=counted.outcome == "repeated",
            decided=counted.outcome == "decided",
            yes=counted.yes,
            needed=counted.needed,
        )

    async def _note_refusal(self, decisions: Sequence[Decision], tenant: str, why: str) -> None:
        with suppress(DatabaseUnavailable):
            async with self._pools.connection() as connection:
                for said in decisions:
                    reason = f"{said.type}: {why}"
                    await note(connection, said.approval, tenant=tenant, kind="refused", actor=said.by, reason=reason)


def _unknown(approval: str) -> UnknownApproval:
    return UnknownApproval(f"there is no approval {approval!r}. `gatepost approval list` shows the open ones.")
