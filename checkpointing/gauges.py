"""Gauges: how things stand in the database, of all tenants together, in one look that is not waited for long."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from gatepost.checkpointing.movers import PRESENT
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query

LOOK_SECONDS = 2.0
"""How long the database may take; then there are no gauges this time."""
PATIENCE = timedelta(seconds=60)
"""A run that is queued for longer counts as stuck: nobody may know its workflow."""


class Gauge(NamedTuple):
    """One value."""

    gauge: str
    """`runs`, `movers`, `stuck`, `queue_age`, `approvals`, `approval_age`, `effects` or `listening`."""
    workflow: str
    label: str
    """Of runs and effects the state, of movers the kind; else empty."""
    value: float


async def gauges(pools: Pools, *, seconds: float = LOOK_SECONDS) -> list[Gauge]:
    """All gauges.

    Raises:
        DatabaseUnavailable: the database cannot be asked, or took too long.
    """
    async with pools.transaction() as connection:
        await connection.execute(query("gauge.limit"), {"milliseconds": str(int(seconds * 1000))})
        rows = await (await connection.execute(query("gauge.all"), {"patience": PATIENCE, "key": PRESENT})).fetchall()
    return [Gauge(**row) for row in rows]
