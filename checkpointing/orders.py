"""Orders of an operator to a run: hold it, let it go on, call it off, tell its gate something.

Invariant: an order is carried out by whoever holds the run, at a superstep's end, or at once when
nobody does; it never cuts off a call, so it makes nothing doubtful that was not. Each is on record
with who gave it and why (gatepost.intervention). What the gate is told, it is told once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.types.json import Json

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.state.errors import CallerMistake, UnknownRun
from gatepost.state.recovery import Instruction
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

    async def instruct(
        self,
        instruction: Instruction,
        run_id: str,
        tenant: str,
        *,
        stands: Collection[RunStatus],
        actor: str,
        why: str = "",
        step: str | None = None,
    ) -> Answer:
        """Have the gate of a run told something at its next visit, and the run queued for that.

        Args:
            instruction: what.
            run_id: the run.
            tenant: whose it must be.
            stands: nothing is said to a run that stands otherwise by now.
            actor: who says it.
            why: for the record.
            step: which step it is about.

        Raises:
            UnknownRun: the tenant has no such run.
            CallerMistake: it stands otherwise, or has not begun.
        """
        data = {"step": step} if step else {}
        row = await self._row(
            "order.instruct",
            run_id,
            tenant,
            stands=sorted(stands),
            kind=instruction,
            actor=actor,
            why=_checked(why),
            data=Json(data),
        )
        if row["after"] is None and row["seq"] == 0:
            raise CallerMistake(f"run {run_id} has not begun, so there is nothing to {instruction}. Cancel it instead.")
        if row["after"] is None:
            raise CallerMistake(
                f"run {run_id} is {row['before']} by now, and was told nothing. `gatepost run why {run_id}` says "
                "who moves it."
            )
        status = RunStatus(row["after"])
        return Answer(status, owner=None if status is RunStatus.QUEUED else row["owner"])

    async def untaken(self, run_id: str) -> list[dict[str, Any]]:
        """What the gate of a run is still to be told: number, kind, actor, reason, data."""
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("order.untaken"), {"run_id": run_id})).fetchall()

    async def given_up(self, workflows: Collection[str]) -> list[dict[str, Any]]:
        """Runs of these workflows that movers gave up, and that neither a person nor a policy has touched since."""
        async with self._pools.connection() as connection:
            cursor = await connection.execute(query("order.given_up"), {"workflows": list(workflows)})
            return await cursor.fetchall()

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
