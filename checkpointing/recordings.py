"""Recordings of runs, read from their rows. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gatepost.checkpointing.queries import query
from gatepost.state.recording import Recording, Row

if TYPE_CHECKING:
    from gatepost.checkpointing.open import Checkpointer

_RUN = (
    "run_id", "tenant", "root_run_id", "requested_by", "goal", "workflow", "graph_version", "input", "status", "seq",
    "plan_version", "parent_run_id", "parent_seq", "fork_effects",
)  # fmt: skip


async def record_of(saver: Checkpointer, run_id: str, tenant: str) -> Recording:
    """Everything that the rows say of a run.

    Raises:
        UnknownRun: the tenant has no such run.
    """
    run = await saver.runs.get(run_id, tenant)
    params = {"run_id": run_id}
    async with saver.pools.connection() as connection:
        parts = {
            part: [
                _plain(row)
                for row in await (await connection.execute(query(f"recording.of_{part}"), params)).fetchall()
            ]
            for part in (
                "transitions",
                "entries",
                "code",
                "answers",
                "plans",
                "steps",
                "approvals",
                "decisions",
                "effects",
                "instructions",
            )
        }
    return Recording(
        run=_plain({name: run[name] for name in _RUN}),
        artifacts=[_plain(row) for row in await saver.history.artifacts(run_id)],
        states=await _states(saver, run_id),
        **parts,
    )


async def unfinished(saver: Checkpointer, tenant: str) -> list[str]:
    """The runs that have not ended, oldest first."""
    async with saver.pools.connection() as connection:
        rows = await (await connection.execute(query("recording.unfinished"), {"tenant": tenant})).fetchall()
    return [row["run_id"] for row in rows]


async def _states(saver: Checkpointer, run_id: str) -> list[Row]:
    """The channels of every checkpoint that was kept, oldest first."""
    found = []
    async for place in saver.alist({"configurable": {"thread_id": run_id, "checkpoint_ns": ""}}):
        seq = place.metadata.get("seq")
        if isinstance(seq, int):
            found.append({"seq": seq, "channels": channels_of(place.checkpoint["channel_values"])})
    return found[::-1]


def channels_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The channels of a run, without those in which LangGraph notes what runs next."""
    return {name: value for name, value in sorted(values.items()) if not name.startswith(("__", "branch:"))}


def _plain(row: Mapping[str, Any]) -> Row:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
