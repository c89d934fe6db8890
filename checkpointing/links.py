"""Links that answer one approval: what is believed of them, and how each answers no more than once.

Invariant: a link is used up in the transaction that records its answer. An answer that is refused leaves
it unused; of several that arrive at once, one is recorded. What a link says was signed; this room only
asks whether it still stands, and knows nothing of what it is signed with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from gatepost.checkpointing.pool import Connection, Pools
from gatepost.checkpointing.queries import query
from gatepost.state.errors import InvalidDecision, UnknownApproval


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: who may answer what with it."""

    link: str
    """Its own id, 128 random bits."""
    approval: str
    tenant: str
    principal: str
    """Whom it is for, and in whose name it answers."""
    digest: str
    """Of what is asked."""
    made: datetime
    """Database time."""


class LinkSpent(InvalidDecision):
    """The link was used or revoked, or what it asks about is asked no more."""


class Links:
    """What the database knows of links.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def stands(self, link: Link) -> bool:
        """Whether a link may still answer."""
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("link.stands"), asdict(link))).fetchone()
        return row is not None and bool(row["stands"])

    async def revoke(self, approval: str, tenant: str, *, principal: str | None, by: str) -> None:
        """End the links to an approval that were made so far; `principal`: only those for somebody.

        Raises:
            UnknownApproval: the tenant has no such approval.
        """
        params = {"approval": approval, "tenant": tenant, "principal": principal, "revoked_by": by}
        async with self._pools.connection() as connection:
            if not (await connection.execute(query("link.revoke"), params)).rowcount:
                raise UnknownApproval(
                    f"there is no approval {approval!r}. `gatepost approval list` shows the open ones."
                )


async def use_up(connection: Connection, link: Link) -> None:
    """Use a link up, in the transaction that records its answer.

    Raises:
        LinkSpent: it may not answer (any more).
    """
    if not (await connection.execute(query("link.use"), asdict(link))).rowcount:
        raise LinkSpent(f"the link for {link.principal} to {link.approval} was used or revoked, or is out of date.")
