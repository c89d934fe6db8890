"""`gatepost history` and `gatepost export`: what happened to a run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import Desk, Json, Limit, RunId, acting, opened
from gatepost.service.cli.exits import guarded
from gatepost.service.cli.recording import write_recording


@guarded
def show(
    context: typer.Context,
    run_id: RunId,
    *,
    after: Annotated[int, typer.Option(help="Only transitions after this number: the next page.")] = 0,
    limit: Limit = 200,
    as_json: Json = False,
) -> None:
    """The transitions of a run, in order: which nodes ran, what came next, who moved it, and why.

    Example: gatepost history run_4f --after 200
    """
    with opened(context) as desk:
        rows = desk.run(_page(desk, run_id, after=after, limit=limit))
        more = desk.typed("history", run_id, "--after", str(rows[-1]["seq"])) if len(rows) == limit else ""
    if as_json:
        terminal.as_json(rows)
        return
    terminal.table(
        ("#", "when", "ran", "next", "status", "by", "why"),
        [
            (
                row["seq"],
                row["at"],
                "+".join(row["nodes"]),
                "+".join(row["next"]) or "-",
                row["status"],
                row["actor"],
                row["reason"],
            )
            for row in rows
        ],
        empty="no more transitions",
    )
    if more:
        terminal.hint(f"more: {more}")


@guarded
def export(
    context: typer.Context,
    run_id: RunId,
    *,
    replayable: Annotated[
        bool, typer.Option("--replayable", help="A recorded history instead, for `gatepost replay --file`.")
    ] = False,
) -> None:
    """Everything that happened to a run as JSON lines: who, what, when, from, to, why.

    Transitions, plans, steps, approvals, decisions, effects and artifacts in one order, for an audit or for jq.

    Example: gatepost export run_4f | jq -c 'select(.what == "decision")'
    """
    with opened(context) as desk:
        desk.run(write_recording(desk, run_id) if replayable else _write(desk, run_id))


async def _page(desk: Desk, prefix: str, *, after: int, limit: int) -> list[dict[str, Any]]:
    run_id = await desk.checkpointer.runs.find(prefix, acting(None).tenant)
    return await desk.checkpointer.history.transitions(run_id, after=after, limit=limit)


async def _write(desk: Desk, prefix: str) -> None:
    run_id = await desk.checkpointer.runs.find(prefix, acting(None).tenant)
    async for event in desk.checkpointer.history.events(run_id):
        terminal.content(terminal.json_text(event) + "\n")
