"""Forks in Postgres: a new run in the state of another one, and what it inherits.

Invariant: nothing of the parent is written, ever. A fork is there as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from psycopg.types.json import Json

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.run_row import RunRow
from gatepost.state.errors import RunExists
from gatepost.state.plan import Plan
from gatepost.state.step import StepRecord

Effects = Literal["reuse", "dry-run", "fire"]
_DIGITS = 18
"""Of numbers that Postgres knows for certain."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A run that starts from a state of another."""

    run_id: str
    parent: str
    seq: int
    """The transition of the parent whose state it starts from."""
    effects: Effects
    changes: Mapping[str, Any]
    """What was set, by path."""

    @property
    def config(self) -> Any:
        """A LangGraph config that addresses it: `graph.invoke(None, fork.config)`."""
        return {"configurable": {"thread_id": self.run_id}}


@dataclass(frozen=True, slots=True)
class Inherited:
    """How a step ended in a run that a fork comes from."""

    run_id: str
    record: StepRecord


class Forks:
    """The lineage of runs.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def places(self, run_id: str, at: str) -> list[dict[str, Any]]:
        """The transitions that an address means: a number, or the beginning of a checkpoint's id."""
        if not at.isprintable():
            return []
        number = int(at) if at.isdecimal() and len(at) <= _DIGITS else None
        params = {"run_id": run_id, "seq": number, "prefix": at if number is None else None}
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("fork.place"), params)).fetchall()

    async def taken(self, run_id: str) -> bool:
        """Whether an id belongs to a run or a thread, of whichever tenant."""
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("fork.taken"), {"run_id": run_id})).fetchone()
        return bool(row and row["yes"])

    async def make(
        self,
        fork: Fork,
        *,
        actor: str,
        run_input: Mapping[str, Any],
        fingerprint: str,
        plan: Plan | None,
        plan_version: int,
        changed: Sequence[StepRecord],
        drafted: str,
        checkpoint_id: str,
        kept: timedelta | None,
    ) -> None:
        """Write a fork down, in one transaction.

        Args:
            fork: what.
            actor: who forks.
            run_input: what its steps refer to as the input.
            fingerprint: of workflow and input.
            plan: the version that a change to the plan made, if one did.
            plan_version: in force.
            changed: steps that stand otherwise than in the parent.
            drafted: the thread in which its first state was written; it becomes the fork's.
            checkpoint_id: of that state.
            kept: how long movers leave it to the caller; None: any mover, at once.

        Raises:
            RunExists: the id is taken.
        """
        told = "".join(f", {path}={value!r}" for path, value in fork.changes.items())
        params = {
            "fork": fork.run_id, "parent": fork.parent, "seq": fork.seq, "effects": fork.effects, "actor": actor,
            "input": Json(dict(run_input)), "fingerprint": fingerprint, "plan_version": plan_version,
            "reason": f"forked from {fork.parent} at {fork.seq}, effects: {fork.effects}{told}"[:2000],
            "changed": [record.step for record in changed], "checkpoint_id": checkpoint_id, "kept": kept,
        }  # fmt: skip
        async with self._pools.transaction() as connection:
            if not (await connection.execute(query("fork.run"), params)).rowcount:
                raise RunExists(f"the id {fork.run_id!r} belongs to another run. Give the fork another one.")
            for part in ("checkpoints", "blobs", "writes"):
                await connection.execute(query(f"thread.rename_{part}"), {"source": drafted, "target": fork.run_id})
            for part in ("plans", "steps", "artifacts", "transition", "noted"):
                await connection.execute(query(f"fork.copy_{part}"), params)
            if plan is not None:
                new = {**params, "version": plan.version, "plan": Json(plan.plain())}
                await connection.execute(query("fork.new_plan"), new)
            for record in changed:
                stands = {"step": record.step, "status": record.status, "record": Json(record.plain())}
                await connection.execute(query("fork.changed_step"), {**params, **stands})

    async def inherited(self, run: RunRow, *, step: str, tool: str, fingerprint: str) -> Inherited | None:
        """How a step succeeded in the runs that this one comes from: with these arguments if it ever did."""
        params = {"run_id": run.run_id, "tenant": run.tenant, "step": step, "tool": tool, "fingerprint": fingerprint}
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("fork.inherited"), params)).fetchone()
        return None if row is None else Inherited(row["run_id"], StepRecord.model_validate(row["record"]))

    async def unknown(self, run: RunRow, *, step: str, purpose: str, fingerprint: str) -> str | None:
        """The key of the same effect in the runs that this one comes from, where nobody knows how it ended."""
        params = {
            "run_id": run.run_id, "tenant": run.tenant, "step": step, "purpose": purpose, "fingerprint": fingerprint,
        }  # fmt: skip
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("fork.unknown"), params)).fetchone()
        return None if row is None else str(row["key"])
