"""Approvals over HTTP: what is asked, and answering it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from gatepost.checkpointing.history import utc
from gatepost.service.http import shape
from gatepost.service.http.again import RequestKey, once
from gatepost.service.http.caller import Caller, Decider, InHouse, Reader
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused
from gatepost.service.http.reading import approval_of, run_of
from gatepost.service.http.sent import NoQuery, Page, Text, place_after, place_of
from gatepost.state.approval import Decision
from gatepost.state.errors import CallerMistake
from gatepost.state.status import ApprovalStatus

router = APIRouter(tags=["approvals"])


class Questions(Page):
    """Which questions."""

    status: ApprovalStatus = ApprovalStatus.OPEN
    run: Text = None
    workflow: Text = None


@router.get("/approvals", response_model=shape.ApprovalPage)
async def look_through(house: InHouse, caller: Reader, wanted: Annotated[Questions, Query()]) -> dict[str, Any]:
    """What the tenant's runs ask, oldest first. A page is full with a megabyte, too."""
    rows, more = await house.overview.approvals(
        caller.tenant,
        status=wanted.status,
        run_id=wanted.run,
        workflow=wanted.workflow,
        after=place_of(wanted.after, datetime, str),
        limit=wanted.limit,
    )
    return {"approvals": [shape.approval_plain(row) for row in rows], "next": next_approvals(rows) if more else None}


def next_approvals(rows: list[dict[str, Any]]) -> str:
    """Where the page of approvals after these begins."""
    return place_after(rows[-1]["opened_at"], rows[-1]["approval_id"])


@router.get("/approvals/{approval}", response_model=shape.ApprovalInFull)
async def show(approval: str, house: InHouse, caller: Reader, _: NoQuery) -> dict[str, Any]:
    """One question: the exact arguments, why a person is asked, what it takes, and what was said to it and answered."""
    row = await approval_of(house, approval, caller.tenant)
    life = await house.saver.approvals.life(approval)
    return {**shape.approval_plain(row), "life": [{**said, "at": utc(said["at"])} for said in life]}


@router.post("/approvals/{approval}/decision", response_model=shape.Decided)
async def decide(
    approval: str,
    given: shape.Answer,
    request: Request,
    house: InHouse,
    caller: Decider,
    request_key: RequestKey = None,
) -> Response:
    """Answer it, in the name of the key's principal. The same answer again is told what is recorded."""

    async def change() -> dict[str, Any]:
        return await decided(house, caller, approval, given, authenticated=f"key:{caller.key.key_id}")

    return await once(house, request, caller, request_key, change)


@router.post("/approvals/{approval}/comments", status_code=201, response_model=shape.Commented)
async def comment(
    approval: str,
    given: shape.Comment,
    request: Request,
    house: InHouse,
    caller: Decider,
    request_key: RequestKey = None,
) -> Response:
    """Say something about it without answering it; it is on record with the key's principal."""

    async def change() -> dict[str, Any]:
        row = await approval_of(house, approval, caller.tenant)
        await house.saver.approvals.comment(approval, given.text, tenant=caller.tenant, by=caller.name)
        return {"approval": row["approval_id"], "by": caller.name, "text": given.text}

    return await once(house, request, caller, request_key, change, status=201)


async def decided(
    house: House, caller: Caller, approval: str, given: shape.Answer, *, authenticated: str
) -> dict[str, Any]:
    """Record an answer; a worker goes on with the run.

    Raises:
        UnknownApproval: the tenant has no such approval.
        Refused: what was looked at is not what is asked.
        CallerMistake: unknown, not allowed, malformed, too late, or decided otherwise.
    """
    row = await approval_of(house, approval, caller.tenant)
    if given.digest is not None and given.digest != row["digest"]:
        said = f"approval {approval} asks about {row['digest'][:12]}, not about {given.digest[:12]!r}."
        raise Refused(409, "other-action", "Something else is asked now", detail=said, next="Look at it again.")
    _known(house, await run_of(house, row["run_id"], caller.tenant))
    decision = Decision(
        approval=approval,
        type=given.type,
        by=caller.name,
        comment=given.comment,
        args=given.args,
        on_behalf_of=given.on_behalf_of,
        channel="http",
        authenticated=authenticated,
    )
    recorded = await house.graph.adecide(decision, context=caller.context)
    return {**recorded.plain(), "run": row["run_id"], "step": row["step_id"]}


def _known(house: House, run: dict[str, Any]) -> None:
    known = house.graph.equipment.catalog.workflows
    if run["workflow"] not in known:
        raise CallerMistake(
            f"run {run['run_id']} belongs to the workflow {run['workflow']!r}, which this service does not know. "
            "Start the service with it: --workflows MODULE:ATTRIBUTE."
        )
