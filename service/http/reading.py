"""What is read of runs and approvals, for the API and for the pages alike.

Invariant: everything begins with the row of the tenant's own run or approval. What belongs to somebody
else, what never was and what is no id at all are refused in the same words.
"""

from __future__ import annotations

from typing import Any

from gatepost.graph.context import RunContext
from gatepost.service.http.house import House
from gatepost.service.http.shape import run_plain
from gatepost.service.why import Why, why
from gatepost.state.errors import InvalidValue, UnknownApproval, UnknownRun
from gatepost.state.ids import run_id_of

ARTIFACTS = 200
"""Of a run in full; the list of artifacts has pages."""
_APPROVAL_LENGTH = 120


async def run_of(house: House, run_id: str, tenant: str) -> dict[str, Any]:
    """The row of a run.

    Raises:
        UnknownRun: the tenant has no such run.
    """
    try:
        return await house.saver.runs.get(run_id_of(run_id), tenant)
    except (UnknownRun, InvalidValue):
        raise UnknownRun(f"there is no run {run_id!r:.150}.") from None


async def approval_of(house: House, approval: str, tenant: str) -> dict[str, Any]:
    """The row of an approval, with its answer.

    Raises:
        UnknownApproval: the tenant has no such approval.
    """
    try:
        if not approval.isascii() or not approval.isprintable() or len(approval) > _APPROVAL_LENGTH:
            raise UnknownApproval
        return await house.saver.approvals.get(approval, tenant)
    except UnknownApproval:
        raise UnknownApproval(f"there is no approval {approval!r:.150}.") from None


async def why_of(house: House, run_id: str, tenant: str) -> Why:
    """Who moves a run next."""
    return why(await house.movers.why(run_id, tenant))


async def in_full(house: House, run_id: str, context: RunContext) -> dict[str, Any]:
    """A run in full, as plain data."""
    row = await run_of(house, run_id, context.tenant)
    moved = await why_of(house, run_id, context.tenant)
    steps = await house.overview.steps(run_id)
    made = await house.saver.history.artifact_list(run_id, limit=ARTIFACTS)
    return {
        **run_plain({**row, "mover": None if row["finished_at"] else moved.kind}),
        "why": moved.sentence,
        "input": row["input"],
        "steps": [
            {"step": step["step_id"], **{name: step[name] or "" for name in ("status", "tool", "label", "reason")}}
            for step in steps
        ],
        "approvals": await house.overview.questions(run_id),
        "artifacts": [artifact_plain(artifact) for artifact in made],
    }


def artifact_plain(row: dict[str, Any]) -> dict[str, Any]:
    """An artifact without its content."""
    return {name: row[name] for name in ("name", "version", "media_type", "bytes", "sha256")} | {"step": row["step_id"]}
