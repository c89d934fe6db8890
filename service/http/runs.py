"""Runs over HTTP: start them, and look at them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from gatepost.checkpointing.export import export_lines
from gatepost.checkpointing.history import utc
from gatepost.service.http import shape
from gatepost.service.http.again import RequestKey, Tell, id_from, needed, once
from gatepost.service.http.caller import Caller, InHouse, Reader, Starter
from gatepost.service.http.house import House
from gatepost.service.http.placed import Placed
from gatepost.service.http.problem import Refused
from gatepost.service.http.reading import in_full, run_of, why_of
from gatepost.service.http.sent import PAGE, Given, Limit, NoQuery, Page, Text, place_after, place_of
from gatepost.state.errors import RunExists
from gatepost.state.status import RunStatus

router = APIRouter(tags=["runs"])
EXPORT_SECONDS = 300.0
"""An export holds a connection; whoever does not read it loses it then."""


class Runs(Page):
    """Which runs."""

    status: RunStatus | None = None
    workflow: Text = None
    search: Text = Field(default=None, description="How the id begins, or words of the goal.")


class Stretch(Given):
    """Which transitions of a run."""

    after: int = Field(default=-1, ge=-1, le=2**62, description="`next` of the page before.")
    limit: Limit = PAGE


@router.post("/runs", status_code=202, response_model=shape.RunInFull)
async def start(
    given: shape.Start, request: Request, house: InHouse, caller: Starter, request_key: RequestKey = None
) -> Response:
    """Start a run. When this is answered the run is durable, and a worker moves it. Needs an Idempotency-Key."""
    run_id = id_from(needed(request_key), caller)

    async def change() -> dict[str, Any]:
        await started(house, caller, run_id, given)
        return {"run": run_id}

    return await once(house, request, caller, request_key, change, telling(house, caller), status=202)


def telling(house: House, caller: Caller) -> Tell:
    """Answers with the run that an outcome names."""

    async def tell(outcome: dict[str, Any]) -> dict[str, Any]:
        return await in_full(house, outcome["run"], caller.context)

    return tell


async def started(house: House, caller: Caller, run_id: str, given: shape.Start) -> None:
    """Write a run down, for a worker to move. Again, it is the same run.

    Raises:
        Refused: the id belongs to a run that was started with something else.
    """
    config: Any = {"configurable": {"thread_id": run_id}}
    asked = {"goal": given.goal, "input": given.input}
    try:
        await house.graph.aadmit(asked, config, context=caller.context, priority=given.priority)
    except RunExists:
        raise Refused(
            422,
            "idempotency-key-reused",
            "The Idempotency-Key belongs to another request",
            next="Use a new one for each run.",
        ) from None


@router.get("/runs", response_model=shape.RunPage)
async def look_through(house: InHouse, caller: Reader, wanted: Annotated[Runs, Query()]) -> dict[str, Any]:
    """The runs of the key's tenant: those that need somebody first, then those under way, then the ended ones."""
    rows = await house.overview.runs(
        caller.tenant,
        status=wanted.status,
        workflow=wanted.workflow,
        search=wanted.search or None,
        after=place_of(wanted.after, int, datetime, str),
        limit=wanted.limit + 1,
    )
    return {"runs": [shape.run_plain(row) for row in rows[: wanted.limit]], "next": next_runs(rows, wanted.limit)}


def next_runs(rows: list[dict[str, Any]], limit: int) -> str | None:
    """Where the next page of runs begins, if there is one; `rows` has one more than the page."""
    if len(rows) <= limit:
        return None
    last = rows[limit - 1]
    return place_after(last["rank"], last["created_at"], last["run_id"])


@router.get("/runs/{run_id}", response_model=shape.RunInFull)
async def show(run_id: str, house: InHouse, caller: Reader, _: NoQuery) -> dict[str, Any]:
    """A run: where it stands, who moves it next, its steps, questions and artifacts."""
    return await in_full(house, run_id, caller.context)


@router.get("/runs/{run_id}/history", response_model=shape.HistoryPage)
async def history(run_id: str, house: InHouse, caller: Reader, wanted: Annotated[Stretch, Query()]) -> dict[str, Any]:
    """The transitions of a run, in order: which nodes ran, what came next, who moved it, and why."""
    await run_of(house, run_id, caller.tenant)
    rows = await house.saver.history.transitions(run_id, after=wanted.after, limit=wanted.limit + 1)
    page = rows[: wanted.limit]
    return {
        "transitions": [{**row, "at": utc(row["at"])} for row in page],
        "next": page[-1]["seq"] if len(rows) > len(page) else None,
    }


@router.get("/runs/{run_id}/export", response_class=StreamingResponse)
async def export(run_id: str, house: InHouse, caller: Reader, _: NoQuery) -> StreamingResponse:
    """Everything that happened to a run, as chained JSON lines; `gatepost export --verify` checks the file."""
    await run_of(house, run_id, caller.tenant)
    lines = export_lines(house.saver.pools, run_id, caller.tenant)
    named = {"Content-Disposition": f'attachment; filename="{run_id}.jsonl"'}
    options: dict[str, Any] = {"media_type": "application/x-ndjson", "headers": named}
    return Placed(lines, place=house.export(caller.key.key_id), seconds=EXPORT_SECONDS, **options)


@router.get("/runs/{run_id}/why", response_model=shape.Moved)
async def who_moves_it(run_id: str, house: InHouse, caller: Reader, _: NoQuery) -> dict[str, Any]:
    """Who moves a run next, in a sentence, and the command that helps."""
    await run_of(house, run_id, caller.tenant)
    moved = await why_of(house, run_id, caller.tenant)
    return {"run": run_id, "kind": moved.kind, "sentence": moved.sentence, "command": ["gatepost", *moved.command]}
