"""Answering several approvals at once: each for itself, and only where all of them ask for the same action."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field, JsonValue

from gatepost.checkpointing.answers import request_in
from gatepost.service.http import shape
from gatepost.service.http.again import RequestKey, once
from gatepost.service.http.approvals import decided
from gatepost.service.http.caller import Caller, Decider, InHouse
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused, problem_of
from gatepost.service.http.reading import approval_of
from gatepost.service.http.sent import Given
from gatepost.state.errors import GatepostError, RetryableFault, UnknownApproval

router = APIRouter(tags=["approvals"])


class BulkItem(Given):
    """One of several approvals, as it was looked at."""

    approval: str = Field(min_length=1, max_length=120)
    digest: str = Field(min_length=64, max_length=64, description="Of what was looked at: another one is refused.")


class BulkAnswer(Given):
    """One answer to several approvals that ask for the same action: the same tool of the same workflow."""

    type: Literal["approve", "reject"]
    comment: str = Field(default="", max_length=10_000)
    on_behalf_of: str = Field(default="", max_length=200)
    items: list[BulkItem] = Field(min_length=1, max_length=50)


class BulkResult(shape.Shown):
    """What became of one of several."""

    approval: str
    status: int = Field(description="As of a response to this one alone.")
    decision: dict[str, JsonValue] | None = Field(description="What is recorded, with status 200.")
    problem: dict[str, JsonValue] | None = Field(description="Why nothing is, otherwise.")


class BulkDecided(shape.Shown):
    """What became of each, in the order in which they were asked for."""

    results: list[BulkResult]


@router.post("/approvals/decisions", response_model=BulkDecided)
async def decide_several(
    given: BulkAnswer, request: Request, house: InHouse, caller: Decider, request_key: RequestKey = None
) -> Response:
    """Give the same answer to several approvals of the same action. Each has its own result; none waits for another."""

    async def change() -> dict[str, Any]:
        return {"results": await decided_together(house, caller, given)}

    return await once(house, request, caller, request_key, change)


async def decided_together(house: House, caller: Caller, given: BulkAnswer) -> list[dict[str, Any]]:
    """Answer each for itself; what became of each (`BulkResult`).

    Raises:
        Refused: they ask for different actions. Nothing was recorded.
    """
    await _same_action(house, caller, given)
    return [await _one(house, caller, given, item) for item in given.items]


async def _same_action(house: House, caller: Caller, given: BulkAnswer) -> None:
    actions = {action for item in given.items if (action := await _action(house, caller, item.approval))}
    if len(actions) > 1:
        raise Refused(
            422,
            "different-actions",
            "These are different actions",
            detail=f"One answer is for one action; this asks for {'; '.join(sorted(actions))}. Nothing was recorded.",
            next="Answer each action by itself.",
        )


async def _action(house: House, caller: Caller, approval: str) -> str | None:
    try:
        row = await approval_of(house, approval, caller.tenant)
    except UnknownApproval:
        return None  # it is told so by itself
    asked = request_in(row)
    return f"{asked.tool} of {row['workflow']} ({asked.kind})"


async def _one(house: House, caller: Caller, given: BulkAnswer, item: BulkItem) -> dict[str, Any]:
    answer = shape.Answer(type=given.type, comment=given.comment, on_behalf_of=given.on_behalf_of, digest=item.digest)
    try:
        said = await decided(house, caller, item.approval, answer, authenticated=f"key:{caller.key.key_id}")
    except RetryableFault:
        raise  # kept as the answer of its request it would stay; sent again, what is recorded by then is told
    except (Refused, GatepostError) as refused:
        problem = problem_of(refused)
        return {"approval": item.approval, "status": problem.status, "decision": None, "problem": problem.plain()}
    return {"approval": item.approval, "status": 200, "decision": said, "problem": None}
