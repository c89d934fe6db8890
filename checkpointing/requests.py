"""Requests that were answered: the same request sent again gets the same answer, and nothing is done twice.

The header is that of the IETF draft "The Idempotency-Key HTTP Header Field".

Invariant: of several requests with one key, one is carried out at a time. One that was refused changed
nothing and is forgotten, so it may be corrected and sent again under its key. One whose change is known to
be committed is never carried out again: if its answer failed, only that is made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg.types.json import Json

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query

PATIENCE = timedelta(seconds=60)
"""A request that was under way for so long died with its process."""
KEPT = timedelta(hours=24)
"""How long an answer is remembered."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as its sender names it."""

    tenant: str
    principal: str
    request_key: str
    fingerprint: str
    """Hash of method, path and body."""

    def params(self) -> dict[str, Any]:
        """For the queries."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Before:
    """What became of a request that was sent before."""

    same: bool
    """Whether it was the same request, and not another one under its key."""
    status: int | None
    """What it was answered with; None: it has not been."""
    body: Any
    """The answer; without a status what its change came to, or None: it is under way."""


class Requests:
    """The table of answered requests.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def begin(self, sent: Sent) -> Before | None:
        """Take a request; or say what became of it before."""
        params = {**sent.params(), "patience": PATIENCE}
        async with self._pools.connection() as connection:
            if await (await connection.execute(query("request.begin"), params)).fetchone():
                return None
            row = await (await connection.execute(query("request.found"), params)).fetchone()
        if row is None:  # refused and forgotten between the two questions
            return Before(same=True, status=None, body=None)
        return Before(row["fingerprint"] == sent.fingerprint, row["status"], row["body"])

    async def carried_out(self, sent: Sent, outcome: Any) -> None:
        """Its change is committed; `outcome` is what its answer is made from."""
        params = {**sent.params(), "outcome": Json(outcome), "kept": KEPT}
        async with self._pools.connection() as connection:
            await connection.execute(query("request.carried_out"), params)

    async def answer(self, sent: Sent, status: int, body: Any) -> None:
        """Keep what it was answered with."""
        params = {**sent.params(), "status": status, "body": Json(body), "kept": KEPT}
        async with self._pools.connection() as connection:
            await connection.execute(query("request.answer"), params)
            await connection.execute(query("request.sweep"))

    async def forget(self, sent: Sent) -> None:
        """It was refused, and changed nothing."""
        async with self._pools.connection() as connection:
            await connection.execute(query("request.forget"), sent.params())

    async def give_up(self, sent: Sent) -> None:
        """It broke off, and may have changed something or not: the same request may be sent again at once."""
        async with self._pools.connection() as connection:
            await connection.execute(query("request.give_up"), sent.params())
