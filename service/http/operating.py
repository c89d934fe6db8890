"""Operating on runs over HTTP: orders, recovery, and single steps.

Each of them is only written down; whoever moves the run next acts on it.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, JsonValue

from gatepost.checkpointing.orders import Answer, Order
from gatepost.graph.recovery import Hands
from gatepost.service.http import shape
from gatepost.service.http.again import Change, RequestKey, once
from gatepost.service.http.caller import Caller, InHouse, Operator, Reader
from gatepost.service.http.house import House
from gatepost.service.http.reading import run_of, why_of
from gatepost.service.http.sent import PRINTED, Given
from gatepost.state.recovery import Mode
from gatepost.state.status import RUN_FINAL, RUN_PARKED

router = APIRouter(tags=["operating"])
StepId = Annotated[str, Path(max_length=200, pattern=PRINTED, description="As the run names it.")]


class NeededReason(Given):
    """Why; it is on record with the caller's name."""

    reason: str = Field(min_length=1, max_length=2000, pattern=r"\S")


class Recover(NeededReason):
    """How a run is to be recovered, and why."""

    mode: Mode = Field(
        description="resume: it goes on; rollback: what it did is undone; escalate: a person is asked about what "
        "failed; abandon: it ends where it is."
    )


class Prospect(Given):
    """Which recovery is looked at."""

    mode: Mode


class Outlook(shape.Shown):
    """What recovering a run would do."""

    run: str
    status: str
    mode: Mode
    steps: list[dict[str, JsonValue]] = Field(description="`step`, `what`, `why`, in the order of what would happen.")


@router.post("/runs/{run_id}/hold", response_model=shape.Ordered)
async def hold(
    run_id: str, why: shape.Reason, request: Request, house: InHouse, caller: Operator, request_key: RequestKey = None
) -> Response:
    """Stop a run until somebody releases it. What is under way reaches the end of its superstep."""

    async def change() -> dict[str, Any]:
        return await _order(house, caller, "hold", run_id, why.reason)

    return await _ordered(house, request, caller, request_key, change)


@router.post("/runs/{run_id}/cancel", response_model=shape.Ordered)
async def cancel(
    run_id: str, why: shape.Reason, request: Request, house: InHouse, caller: Operator, request_key: RequestKey = None
) -> Response:
    """Call a run off for good. What it did is undone where its workflow says so, and stays done elsewhere."""

    async def change() -> dict[str, Any]:
        return await _order(house, caller, "cancel", run_id, why.reason)

    return await _ordered(house, request, caller, request_key, change)


@router.post("/runs/{run_id}/release", response_model=shape.Ordered)
async def release(
    run_id: str, why: shape.Reason, request: Request, house: InHouse, caller: Operator, request_key: RequestKey = None
) -> Response:
    """Let a run go on that was held, or that workers gave up."""

    async def change() -> dict[str, Any]:
        return await _release(house, caller, run_id, why.reason)

    return await _ordered(house, request, caller, request_key, change)


@router.post("/runs/{run_id}/resume", response_model=shape.Ordered)
async def resume(
    run_id: str, why: shape.Reason, request: Request, house: InHouse, caller: Operator, request_key: RequestKey = None
) -> Response:
    """See that a run goes on: a parked one is released; of any other it is said who moves it next."""

    async def change() -> dict[str, Any]:
        row = await run_of(house, run_id, caller.tenant)
        if row["status"] in RUN_PARKED:
            return await _release(house, caller, run_id, why.reason)
        return {"run": run_id, "status": str(row["status"]), "obeyed": row["status"] not in RUN_FINAL}

    return await _ordered(house, request, caller, request_key, change)


@router.get("/runs/{run_id}/recovery", response_model=Outlook)
async def outlook(run_id: str, house: InHouse, caller: Reader, wanted: Annotated[Prospect, Query()]) -> dict[str, Any]:
    """What recovering a run in a mode would do, step by step. Nothing is done."""
    await run_of(house, run_id, caller.tenant)
    found = await _hands(house, caller).outlook(run_id, wanted.mode)
    return {"run": run_id, "status": found.status, "mode": found.mode, "steps": found.plain()["steps"]}


@router.post("/runs/{run_id}/recover", response_model=shape.Ordered)
async def recover(
    run_id: str,
    given: Recover,
    request: Request,
    house: InHouse,
    caller: Operator,
    request_key: RequestKey = None,
) -> Response:
    """Recover a run that failed, was called off, or does not go on. `GET …/recovery` shows what a mode would do."""

    async def change() -> dict[str, Any]:
        await run_of(house, run_id, caller.tenant)
        return _outcome(run_id, await _hands(house, caller).recover(run_id, given.mode, why=given.reason))

    return await _ordered(house, request, caller, request_key, change)


@router.post("/runs/{run_id}/steps/{step}/retry", response_model=shape.Ordered)
async def retry(
    run_id: str,
    step: StepId,
    why: NeededReason,
    request: Request,
    house: InHouse,
    caller: Operator,
    request_key: RequestKey = None,
) -> Response:
    """Have a step that failed tried again, or its undo: as a new call, under a new key."""

    async def change() -> dict[str, Any]:
        await run_of(house, run_id, caller.tenant)
        return _outcome(run_id, await _hands(house, caller).retry(run_id, step, why=why.reason))

    return await _ordered(house, request, caller, request_key, change)


@router.post("/runs/{run_id}/steps/{step}/skip", response_model=shape.Ordered)
async def skip(
    run_id: str,
    step: StepId,
    why: NeededReason,
    request: Request,
    house: InHouse,
    caller: Operator,
    request_key: RequestKey = None,
) -> Response:
    """Have a step left out that has not happened; what refers to its output is left out with it."""

    async def change() -> dict[str, Any]:
        await run_of(house, run_id, caller.tenant)
        return _outcome(run_id, await _hands(house, caller).skip(run_id, step, why=why.reason))

    return await _ordered(house, request, caller, request_key, change)


async def released(house: House, caller: Caller, run_id: str, reason: str) -> dict[str, Any]:
    """Release a parked run."""
    return await _told(house, caller, await _release(house, caller, run_id, reason))


async def ordered(house: House, caller: Caller, order: Order, run_id: str, reason: str) -> dict[str, Any]:
    """Order a run to stop. One that is cancelled undoes what it did where its workflow says so."""
    return await _told(house, caller, await _order(house, caller, order, run_id, reason))


async def _order(house: House, caller: Caller, order: Order, run_id: str, reason: str) -> dict[str, Any]:
    await run_of(house, run_id, caller.tenant)
    if order == "cancel":
        return _outcome(run_id, await _hands(house, caller).cancel(run_id, why=reason))
    answer = await house.saver.orders.give(order, run_id, caller.tenant, actor=caller.name, why=reason)
    return _outcome(run_id, answer)


async def _release(house: House, caller: Caller, run_id: str, reason: str) -> dict[str, Any]:
    await run_of(house, run_id, caller.tenant)
    status = await house.saver.orders.release(run_id, caller.tenant, actor=caller.name, why=reason)
    return {"run": run_id, "status": str(status), "obeyed": True}


async def _ordered(house: House, request: Request, caller: Caller, request_key: str | None, change: Change) -> Response:
    async def tell(outcome: dict[str, Any]) -> dict[str, Any]:
        return await _told(house, caller, outcome)

    return await once(house, request, caller, request_key, change, tell)


async def _told(house: House, caller: Caller, outcome: dict[str, Any]) -> dict[str, Any]:
    return {**outcome, "next": (await why_of(house, outcome["run"], caller.tenant)).sentence}


def _hands(house: House, caller: Caller) -> Hands:
    return house.graph.hands(caller.name, context=caller.context)


def _outcome(run_id: str, answer: Answer) -> dict[str, Any]:
    return {"run": run_id, "status": str(answer.status), "obeyed": answer.owner is None}
