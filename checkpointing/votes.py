"""The answers to a question that are on record while it is open, and what else happened to it.

Invariant: rows are only added, in the transaction of what they tell of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Json

from gatepost.checkpointing.pool import Connection
from gatepost.checkpointing.queries import query
from gatepost.state.approval import Decision
from gatepost.state.ballot import Vote
from gatepost.state.delegation import Voter
from gatepost.state.values import printable

REASON_LENGTH = 1_000


async def votes_of(connection: Connection, approval: str, level: int | None) -> list[Vote]:
    """The answers of one level of a question, by default of the one at which it is asked now, oldest first."""
    params = {"approval_id": approval, "level": level}
    return [_vote(row) for row in await (await connection.execute(query("vote.of"), params)).fetchall()]


async def record(connection: Connection, vote: Vote, level: int) -> None:
    """Put an answer on record."""
    await connection.execute(
        query("vote.record"),
        {
            **vote.decision.model_dump(include={"approval", "type", "comment", "channel", "authenticated"}),
            "args": None if vote.decision.args is None else Json(vote.decision.args),
            "level": level,
            "principal": vote.voter.by,
            "counted_as": vote.voter.counted_as,
            "roles": list(vote.voter.roles),
            "via": list(vote.voter.via),
            "digest": vote.digest,
        },
    )


async def note(connection: Connection, approval: str, *, tenant: str, kind: str, actor: str, reason: str) -> bool:
    """Put on record what else happened to a question; whether there is such a question."""
    params = {
        "approval_id": approval,
        "tenant": tenant,
        "kind": kind,
        "actor": printable(actor, limit=200),
        "reason": printable(reason, limit=REASON_LENGTH),
    }
    return bool((await connection.execute(query("vote.note"), params)).rowcount)


def _vote(row: Mapping[str, Any]) -> Vote:
    decision = Decision(
        approval=row["approval_id"],
        by=row["principal"],
        on_behalf_of="" if row["counted_as"] == row["principal"] else row["counted_as"],
        **{name: row[name] for name in ("type", "comment", "args", "channel", "authenticated")},
    )
    return Vote(
        decision, Voter(row["principal"], row["counted_as"], tuple(row["roles"]), tuple(row["via"])), row["digest"]
    )
