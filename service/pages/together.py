"""Answering several questions at once: the same action only, each with its own digest and its own result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from gatepost.checkpointing.answers import request_in
from gatepost.service.http.bulk import BulkAnswer, BulkItem, decided_together
from gatepost.service.http.caller import Caller, InHouse
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused, problem_of
from gatepost.service.http.sent import PRINTED
from gatepost.service.pages.render import page
from gatepost.service.pages.visitor import Visitor, form_of
from gatepost.state.errors import CallerMistake

router = APIRouter(include_in_schema=False)
MOST = 40
"""Questions of one page; the others come when these are answered."""
COLUMNS = 5
PICK = "pick."
Text = Annotated[str, Query(min_length=1, max_length=200, pattern=PRINTED)]


@router.get("/answers")
async def together(house: InHouse, visitor: Visitor, workflow: Text, tool: Text) -> HTMLResponse:
    """The open questions for an action, oldest first, each with its exact arguments."""
    return await _page(house, visitor, workflow, tool)


@router.post("/answers")
async def answer(request: Request, house: InHouse, visitor: Visitor, workflow: Text, tool: Text) -> HTMLResponse:
    """Give those that were picked the same answer, and say what became of each."""
    visitor.check("decide")
    given = await form_of(request)
    items = [
        BulkItem.model_construct(approval=name.removeprefix(PICK), digest=digest)
        for name, digest in given.items()
        if name.startswith(PICK)
    ]
    try:
        if not items:
            raise CallerMistake("pick at least one.")
        if given.get("type") not in ("approve", "reject"):
            raise CallerMistake("several questions can be approved or rejected; whatever else, one by one.")
        comment = given.get("comment", "").replace("\r\n", "\n")[:10_000]
        asked = BulkAnswer.model_construct(
            type=cast("Any", given["type"]), comment=comment, on_behalf_of="", items=items[:MOST]
        )
        results = await decided_together(house, visitor, asked)
    except (Refused, CallerMistake) as error:
        problem = problem_of(error)
        return await _page(house, visitor, workflow, tool, refused=problem.detail or problem.title, given=given)
    return await _page(house, visitor, workflow, tool, results=results, given={"type": given["type"]})


async def _page(
    house: House,
    visitor: Caller,
    workflow: str,
    tool: str,
    *,
    refused: str = "",
    results: list[dict[str, Any]] | None = None,
    given: Mapping[str, str] | None = None,
) -> HTMLResponse:
    rows, more = await house.overview.approvals(visitor.tenant, workflow=workflow, tool=tool, limit=MOST)
    asked = [(row, request_in(row)) for row in rows]
    shown = [(row, one) for row, one in asked if one.kind == "action" and one.purpose == "run"]
    names = list(dict.fromkeys(name for _, one in shown for name in one.args))
    return await page(
        house,
        visitor,
        "together.html",
        status=422 if refused else 200,
        workflow=workflow,
        tool=tool,
        shown=shown,
        columns=names[:COLUMNS],
        more_columns=names[COLUMNS:],
        more=more,
        refused=refused,
        results=results or [],
        given=given or {},
    )
