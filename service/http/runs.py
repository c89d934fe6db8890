"""Runs over HTTP: start, look at, and order about."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from gatepost.checkpointing.export import export_lines
from gatepost.checkpointing.history import utc
from gatepost.checkpointing.orders import Order
from gatepost.service.http import shape
from gatepost.service.http.again import RequestKey, id_from, needed, once
from gatepost.service.http.caller import Caller, InHouse, Operator, Reader, Starter
from gatepost.service.http.house import House
from gatepost.service.http.placed import Placed
from gatepost.service.http.problem import Refused
from gatepost.service.http.reading import in_full, run_of, why_of
from gatepost.state.errors import RunExists
from gatepost.state.status import RUN_FINAL, RUN_PARKED, RunStatus

router = APIRouter(tags=["runs"])
EXPORT_SECONDS = 300.0
"""An export holds a connection; whoever does not read it loses it then."""
Limit = Annotated[int, Query(ge=1, le=shape.LARGEST_PAGE)]
Text = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


@router.post("/runs", status_code=202, response_model=shape.RunInFull)
async def start(
    given: shape.Start, request: Request, house: InHouse, caller: Starter, request_key: RequestKey = None
) -> Response:
    """Start a run. When this is answered the run is durable, and a worker moves it. Needs an Idempotency-Key."""
    run_id = id_from(needed(request_key), caller)

    async def work() -> tuple[int, dict[str, Any]]:
        return 202, await started(house, caller, run_id, given)

    return await once(house.requests, request, caller, request_key, work)


async def started(house: House, caller: Caller, run_id: str, given: shape.Start) -> dict[str, Any]:
    """Write a run down, for a worker to move.

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
    return await in_full(house, run_id, caller.context)


@router.get("/runs", response_model=shape.RunPage)
async def look_through(
    house: InHouse,
    caller: Reader,
    *,
    status: RunStatus | None = None,
    workflow: Text = None,
    search: Text = None,
    after: Text = None,
    limit: Limit = shape.PAGE,
) -> dict[str, Any]:
    """The runs of the key's tenant: those that need somebody first, then those under way, then the ended ones."""
    rows = await house.overview.runs(
        caller.tenant,
        status=status,
        workflow=workflow,
        search=search or None,
        after=shape.place_of(after, int, datetime, str),
        limit=limit + 1,
    )
    return {"runs": [shape.run_plain(row) for row in rows[:limit]], "next": next_runs(rows, limit)}


def next_runs(rows: list[dict[str, Any]], limit: int) -> str | None:
    """Where the next page of runs begins, if there is one; `rows` has one more than the page."""
    if len(rows) <= limit:
        return None
    last = rows[limit - 1]
    return shape.place_after(last["rank"], last["created_at"], last["run_id"])


@router.get("/runs/{run_id}", response_model=shape.RunInFull)
async def show(run_id: str, house: InHouse, caller: Reader) -> dict[str, Any]:
    """A run: where it stands, who moves it next, its steps, questions and artifacts."""
    return await in_full(house, run_id, caller.context)


@router.get("/runs/{run_id}/history", response_model=shape.HistoryPage)
async def history(
    run_id: str,
    house: InHouse,
    caller: Reader,
    after: Annotated[int, Query(ge=-1, le=2**62)] = -1,
    limit: Limit = shape.PAGE,
) -> dict[str, Any]:
    """The transitions of a run, in order: which nodes ran, what came next, who moved it, and why."""
    await run_of(house, run_id, caller.tenant)
    rows = await house.saver.history.transitions(run_id, after=after, limit=limit)
    return {
        "transitions": [{**row, "at": utc(row["at"])} for row in rows],
        "next": rows[-1]["seq"] if len(rows) == limit else None,
    }


@router.get("/runs/{run_id}/export", response_class=StreamingResponse)
async def export(run_id: str, house: InHouse, caller: Reader) -> StreamingResponse:
    """Everything that happened to a run, as chained JSON lines; `gatepost export --verify` checks the file."""
    await run_of(house, run_id, caller.tenant)
    lines = export_lines(house.saver.pools, run_id, caller.tenant)
    named = {"Content-Disposition": f'attachment; filename="{run_id}.jsonl"'}
    options: dict[str, Any] = {"media_type": "application/x-ndjson", "headers": named}
    return Placed(lines, place=house.export(), seconds=EXPORT_SECONDS, **options)


@router.get("/runs/{run_id}/artifacts/{name}", response_class=Response)
async def artifact(run_id: str, name: str, house: InHouse, caller: Reader) -> Response:
    """The newest version of an artifact, to be saved."""
    await run_of(house, run_id, caller.tenant)
    made = [row for row in await house.saver.history.artifacts(run_id) if row["name"] == name]
    if not made:
        said = f"run {run_id} has no artifact {name!r:.150}."
        raise Refused(404, "unknown-artifact", "There is no such artifact", detail=said, next="GET the run lists them.")
    # Whatever it says that it is: a browser saves it, and opens nothing.
    named = {"Content-Disposition": "attachment"}
    return Response(made[-1]["content"], media_type="application/octet-stream", headers=named)


@router.post("/runs/{run_id}/hold", response_model=shape.Ordered)
async def hold(
    run_id: str, why: shape.Reason, request: Request, house: InHouse, caller: Operator, request_key: RequestKey = None
) -> Response:
    """Stop a run until somebody releases it. What is under way reaches the end of its superstep."""
    return await _ordered("hold", run_id, why, request, house, caller, request_key)


@router.post("/runs/{run_id}/cancel", response_model=shape.Ordered)
async def cancel(
    run_id: str, why: shape.Reason, request: Request, house: InHouse, caller: Operator, request_key: RequestKey = None
) -> Response:
    """Call a run off for good. What is done stays done."""
    return await _ordered("cancel", run_id, why, request, house, caller, request_key)


@router.post("/runs/{run_id}/release", response_model=shape.Ordered)
async def release(
    run_id: str, why: shape.Reason, request: Request, house: InHouse, caller: Operator, request_key: RequestKey = None
) -> Response:
    """Let a run go on that was held, or that workers gave up."""

    async def work() -> tuple[int, dict[str, Any]]:
        await run_of(house, run_id, caller.tenant)
        return 200, await released(house, caller, run_id, why.reason)

    return await once(house.requests, request, caller, request_key, work)


@router.post("/runs/{run_id}/resume", response_model=shape.Ordered)
async def resume(
    run_id: str, why: shape.Reason, request: Request, house: InHouse, caller: Operator, request_key: RequestKey = None
) -> Response:
    """See that a run goes on: a parked one is released; of any other it is said who moves it next."""

    async def work() -> tuple[int, dict[str, Any]]:
        row = await run_of(house, run_id, caller.tenant)
        if row["status"] in RUN_PARKED:
            return 200, await released(house, caller, run_id, why.reason)
        moved = await why_of(house, run_id, caller.tenant)
        return 200, _said(run_id, row["status"], obeyed=row["status"] not in RUN_FINAL, next_=moved.sentence)

    return await once(house.requests, request, caller, request_key, work)


async def released(house: House, caller: Caller, run_id: str, reason: str) -> dict[str, Any]:
    """Release a parked run."""
    status = await house.saver.orders.release(run_id, caller.tenant, actor=caller.name, why=reason)
    moved = await why_of(house, run_id, caller.tenant)
    return _said(run_id, status, obeyed=True, next_=moved.sentence)


async def ordered(house: House, caller: Caller, order: Order, run_id: str, reason: str) -> dict[str, Any]:
    """Order a run to stop. One that is cancelled undoes what it did where its workflow says so."""
    if order == "cancel":
        answer = await house.graph.hands(caller.name, context=caller.context).cancel(run_id, why=reason)
    else:
        answer = await house.saver.orders.give(order, run_id, caller.tenant, actor=caller.name, why=reason)
    moved = await why_of(house, run_id, caller.tenant)
    return _said(run_id, answer.status, obeyed=answer.owner is None, next_=moved.sentence)


async def _ordered(
    order: Order,
    run_id: str,
    why: shape.Reason,
    request: Request,
    house: House,
    caller: Caller,
    request_key: str | None,
) -> Response:
    async def work() -> tuple[int, dict[str, Any]]:
        await run_of(house, run_id, caller.tenant)
        return 200, await ordered(house, caller, order, run_id, why.reason)

    return await once(house.requests, request, caller, request_key, work)


def _said(run_id: str, status: str, *, obeyed: bool, next_: str) -> dict[str, Any]:
    return {"run": run_id, "status": str(status), "obeyed": obeyed, "next": next_}
