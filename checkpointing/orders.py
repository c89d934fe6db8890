"""Orders of an operator to a run: hold it, let it go on, call it off.

Invariant: an order is carried out by whoever holds the run, at a superstep's end, or at once when
nobody does; it never cuts off a call, so it makes nothing doubtful that was not. Each is on record
with who gave it and why (gatepost.intervention).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.state.errors import CallerMistake, UnknownRun
from gatepost.state.status import RUN_FINAL, RUN_PARKED, RunStatus
from gatepost.state.values import storable_text

Order = Literal["cancel", "hold"]
OBEYED: dict[Order, RunStatus] = {"cancel": RunStatus.CANCELLED, "hold": RunStatus.HELD}
"""How a run stands that has obeyed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an order."""

    status: RunStatus
    """How the run stands now."""
    owner: str | None
    """Who was told, and obeys at the next superstep; None when the order is carried out."""


class Orders:
    """Gives orders.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def give(self, order: Order, run_id: str, tenant: str, *, actor: str, why: str = "") -> Answer:
        """Order a run to stop for good (`cancel`) or until further notice (`hold`).

        Raises:
            UnknownRun: the tenant has no such run.
            CallerMistake: it has ended.
        """
        why = _checked(why) or f"by {actor}"
        row = await self._row("order.give", run_id, tenant, ordered=order, actor=actor, why=why)
        status = RunStatus(row["after"])
        if row["finished_at"] is not None:
            raise CallerMistake(f"run {run_id} has ended ({status}); there is nothing left to {order}.")
        return Answer(status, owner=None if status is OBEYED[order] else row["owner"])

    async def release(self, run_id: str, tenant: str, *, actor: str, why: str = "") -> RunStatus:
        """Let a run go on that was held, or that movers gave up; their count of failed attempts begins anew.

        Returns:
            How it stands now: `queued`, or `blocked` where a question is still open.

        Raises:
            UnknownRun: the tenant has no such run.
            CallerMistake: it is not parked, or its graph has come to its end.
        """
        row = await self._row("order.take_back", run_id, tenant, actor=actor, why=_checked(why))
        before = RunStatus(row["before"])
        if before in RUN_FINAL:
            raise CallerMistake(f"run {run_id} has ended ({before}); nothing moves it any more.")
        if before not in RUN_PARKED:
            raise CallerMistake(f"run {run_id} is {before}: nobody has to release it.")
        if row["after"] is None:
            raise CallerMistake(
                f"run {run_id} is {before}, and its graph has come to its end: there is nowhere to go on. "
                "Cancel it, and start another."
            )
        return RunStatus(row["after"])

    async def _row(self, name: str, run_id: str, tenant: str, **params: Any) -> dict[str, Any]:
        async with self._pools.transaction() as connection:
            row = await (
                await connection.execute(query(name), {"run_id": run_id, "tenant": tenant, **params})
            ).fetchone()
        if row is None:
            raise UnknownRun(f"there is no run {run_id!r}. `gatepost run list` shows the runs there are.")
        return row


def _checked(why: str) -> str:
    return storable_text(why, where="the reason") if why else ""
