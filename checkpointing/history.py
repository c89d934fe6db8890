"""History: what a run looked like as of any of its transitions, and everything that happened to it.

Read-only. Plans, steps and artifacts are append-only rows with the number of the transition that
wrote them, so "as of" is one comparison and costs nothing to keep.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gatepost.checkpointing.page import read_page
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.state.board import Board
from gatepost.state.plan import Plan, plan_of, readable
from gatepost.state.step import StepRecord
from gatepost.state.transition import Transition


@dataclass(frozen=True, slots=True)
class StepChange:
    """What became of a step in one transition."""

    seq: int
    at: datetime
    record: StepRecord


class History:
    """The record of runs.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def board(
        self, run_id: str, *, plan_version: int, run_input: Mapping[str, Any], seq: int | None = None
    ) -> Board:
        """Plan and steps of a run as of a transition (None: as of now)."""
        plan = await self.plan(run_id, plan_version) if plan_version else None
        rows = await self.step_rows(run_id, seq=seq)
        return Board(plan, (StepRecord.model_validate(row["record"]) for row in rows), run_input=run_input)

    async def plan(self, run_id: str, version: int) -> Plan:
        """A plan version.

        Raises:
            LookupError: the run has no such version; a bug of ours.
        """
        return plan_of(await self.plan_row(run_id, version))

    async def plan_row(self, run_id: str, version: int) -> dict[str, Any]:
        """As `plan`, as it is stored, to be shown: it was validated when it entered."""
        rows = await self._rows("history.plan", run_id=run_id, version=version)
        if not rows:
            raise LookupError(f"run {run_id} has no plan version {version}")
        return readable(rows[0]["plan"])

    async def steps(self, run_id: str, *, seq: int | None = None) -> list[StepChange]:
        """The last record of every step as of a transition (None: as of now)."""
        return [_change(row) for row in await self.step_rows(run_id, seq=seq)]

    async def step_rows(self, run_id: str, *, seq: int | None = None) -> list[dict[str, Any]]:
        """As `steps`, as the rows are, in order: `step_id, seq, status, at, record`."""
        return await self._rows("history.steps", run_id=run_id, seq=seq)

    async def steps_back(self, run_id: str, *, top: int, places: Sequence[int]) -> list[dict[str, Any]]:
        """What it takes to go back from a transition through earlier ones.

        Args:
            run_id: the run.
            top: the transition whose steps are known.
            places: earlier ones, ascending.

        Returns:
            `seq, step_id, status, record`, in order: of each step that changed after the first place, the last row at
            or before each place where it had changed, and one without a record for the top.
        """
        return await self._rows("history.steps_back", run_id=run_id, top=top, places=list(places))

    async def step_changes(self, run_id: str, *, after: int, until: int) -> list[StepChange]:
        """What became of steps in the transitions `after < seq <= until`, in order."""
        rows = await self._rows("history.step_changes", run_id=run_id, after=after, until=until)
        return [_change(row) for row in rows]

    async def transitions(self, run_id: str, *, after: int = -1, limit: int = 200) -> list[dict[str, Any]]:
        """A page of transitions in order, by keyset: pass the last `seq` as `after` for the next page."""
        return await self._rows("history.transitions", run_id=run_id, after=after, limit=limit)

    async def page(
        self, run_id: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> list[Transition]:
        """A page of transitions with everything that hangs on them, in order; see `read_page`."""
        return await read_page(self._pools, run_id, before=before, after=after, limit=limit)

    async def artifact_list(self, run_id: str, *, after: int = 0, limit: int = 200) -> list[dict[str, Any]]:
        """Every version of every artifact after the first so many, oldest first, without what is in them."""
        return await self._rows("history.artifact_list", run_id=run_id, after=after, limit=limit)

    async def artifact(self, run_id: str, name: str, *, version: int | None = None) -> dict[str, Any] | None:
        """One artifact, or the newest version of it; None: there is none."""
        params = {"run_id": run_id, "name": name, "version": version}
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("history.artifact"), params)).fetchone()

    async def artifacts(self, run_id: str, *, seq: int | None = None) -> list[dict[str, Any]]:
        """The artifacts as of a transition, every version, oldest first."""
        return await self._rows("history.artifacts", run_id=run_id, seq=seq)

    async def effects(self, run_id: str) -> list[dict[str, Any]]:
        """The ledger's rows of a run, oldest first."""
        return await self._rows("effect.list", run_id=run_id)

    async def spent(self, run_id: str) -> int:
        """What a run has set out to spend, in the units of its tools; `nodes.spending` has the rule."""
        (found,) = await self._rows("history.spent", run_id=run_id)
        return int(found["spent"])

    async def told(self, run_id: str, seqs: Sequence[int]) -> list[dict[str, Any]]:
        """What operators had the gate told in these transitions: kind, actor, reason, data, seq."""
        return await self._rows("history.told", run_id=run_id, seqs=list(seqs))

    async def events(self, run_id: str) -> AsyncIterator[dict[str, Any]]:
        """Everything that happened to a run, as plain data: who, what, when, from, to, why."""
        async with self._pools.connection() as connection:
            cursor = await connection.execute(query("history.events"), {"run_id": run_id})
            async for row in cursor:
                yield event_of(run_id, row)

    async def _rows(self, name: str, **params: Any) -> list[dict[str, Any]]:
        async with self._pools.connection() as connection:
            return await (await connection.execute(query(name), params)).fetchall()


def event_of(run_id: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `history.events` as plain data."""
    told = {name: row[name] for name in ("id", "seq", "from", "to", "who", "why", "detail")}
    return {"run": run_id, "at": utc(row["at"]), "what": row["kind"], **told}


def utc(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _change(row: Mapping[str, Any]) -> StepChange:
    return StepChange(seq=row["seq"], at=row["at"], record=StepRecord.model_validate(row["record"]))
