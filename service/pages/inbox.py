"""The inbox: what waits for a person, oldest first; one question in full; and answering it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gatepost.checkpointing.answers import request_in
from gatepost.service.http import shape
from gatepost.service.http.approvals import decided, next_approvals
from gatepost.service.http.caller import Caller, InHouse
from gatepost.service.http.house import House
from gatepost.service.http.reading import approval_of
from gatepost.service.http.sent import PRINTED, place_of
from gatepost.service.pages import form
from gatepost.service.pages.render import page
from gatepost.service.pages.visitor import Visitor, form_of
from gatepost.state.approval import ApprovalRequest
from gatepost.state.errors import AlreadyDecided, CallerMistake, UnknownApproval
from gatepost.state.status import ApprovalStatus

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Query(max_length=300, pattern=PRINTED)]
PAGE = 40
EVENTS = "/v1/events"


@router.get("/inbox")
async def inbox(
    house: InHouse, visitor: Visitor, workflow: Text = "", status: Text = "open", after: Text = ""
) -> HTMLResponse:
    """The list, and its first question."""
    rows, filters = await _listed(house, visitor, workflow, status, after)
    chosen = await approval_of(house, rows[0]["approval_id"], visitor.tenant) if rows else None
    return await _page(house, visitor, rows, filters, chosen)


@router.get("/inbox/{approval}")
async def question(
    approval: str, house: InHouse, visitor: Visitor, workflow: Text = "", status: Text = "open", after: Text = ""
) -> HTMLResponse:
    """One question, beside the list."""
    chosen = await approval_of(house, approval, visitor.tenant)
    rows, filters = await _listed(house, visitor, workflow, status, after)
    return await _page(house, visitor, rows, filters, chosen, alone=True)


@router.post("/inbox/{approval}")
async def answer(approval: str, request: Request, house: InHouse, visitor: Visitor) -> Response:
    """Answer it; what was recorded is shown, or why nothing was."""
    visitor.check("decide")
    given = await form_of(request)
    chosen = await approval_of(house, approval, visitor.tenant)
    try:
        if given.get("type") == "comment":
            await _comment(house, visitor, approval, given.get("comment", ""))
            return RedirectResponse(f"/inbox/{approval}", 303)
        await decided(house, visitor, approval, _answer(given, chosen), authenticated=f"key:{visitor.key.key_id}")
    except UnknownApproval:
        raise
    except CallerMistake as error:
        status = 409 if isinstance(error, AlreadyDecided) else 422
        rows, filters = await _listed(house, visitor, "", "open", "")
        again = await approval_of(house, approval, visitor.tenant)
        refused = str(error).split(" `gatepost")[0]
        return await _page(house, visitor, rows, filters, again, alone=True, refused=refused, code=status, given=given)
    return RedirectResponse(f"/inbox/{approval}", 303)


async def _comment(house: House, visitor: Caller, approval: str, said: str) -> None:
    text = said.replace("\r\n", "\n").strip()[:10_000]
    if not text:
        raise CallerMistake("say something first.")
    await house.saver.approvals.comment(approval, text, tenant=visitor.tenant, by=visitor.name)


def _answer(given: Mapping[str, str], row: Mapping[str, Any]) -> shape.Answer:
    asked = request_in(row)
    kind = given.get("type", "")
    if kind not in asked.allowed:
        raise CallerMistake(f"this question takes {', '.join(asked.allowed)}. Nothing was recorded.")
    args = None
    if kind == "edit":
        values = _editable(asked)
        args = form.read(given, form.fields(asked.args_schema, values), values)
    comment = given.get("comment", "").replace("\r\n", "\n")[:10_000]
    return shape.Answer(
        type=kind,
        comment=comment,
        args=args,
        digest=given.get("digest") or None,
        on_behalf_of=given.get("on_behalf_of", "")[:200],
    )


def _editable(asked: ApprovalRequest) -> Mapping[str, Any]:
    """What an edit starts from: the arguments; for a doubt nothing, since its edit says what the call returned."""
    return {} if asked.kind == "doubt" else asked.args


async def _listed(
    house: House, visitor: Caller, workflow: str, status: str, after: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    known = status if status in set(ApprovalStatus) else "open"
    rows, more = await house.overview.approvals(
        visitor.tenant,
        status=known,
        workflow=workflow or None,
        after=place_of(after or None, datetime, str),
        limit=PAGE,
    )
    workflows = sorted(house.graph.equipment.catalog.workflows)
    following = next_approvals(rows) if more else None
    return rows, {"workflow": workflow, "status": known, "workflows": workflows, "next": following}


async def _page(
    house: House,
    visitor: Caller,
    rows: list[dict[str, Any]],
    filters: Mapping[str, Any],
    chosen: dict[str, Any] | None,
    *,
    alone: bool = False,
    refused: str = "",
    code: int = 200,
    given: Mapping[str, str] | None = None,
) -> HTMLResponse:
    told = await house.saver.approvals.life(chosen["approval_id"]) if chosen else []
    return await page(
        house,
        visitor,
        "inbox.html",
        status=code,
        refresh=EVENTS,
        items=[_item(row) for row in rows],
        filters=filters,
        chosen=_chosen(chosen, given or {}, told) if chosen else None,
        told=told,
        alike=_alike(rows, chosen) if chosen else 0,
        alone=alone,
        refused=refused,
        statuses=[status.value for status in ApprovalStatus],
    )


def _item(row: dict[str, Any]) -> dict[str, Any]:
    asked = request_in(row)
    plain = [str(value) for value in asked.args.values() if isinstance(value, str | int | float)]
    return {**row, "asked": asked, "summary": " · ".join(text[:60] for text in plain[:3])}


def _alike(rows: list[dict[str, Any]], chosen: Mapping[str, Any]) -> int:
    """How many open questions of the list ask for the same action."""
    if request_in(chosen).kind != "action":
        return 0
    like = [row for row in rows if row["status"] == "open" and row["workflow"] == chosen["workflow"]]
    same = [row for row in like if row["request"]["tool"] == chosen["request"]["tool"]]
    return sum(request_in(row).kind == "action" for row in same)


def _chosen(row: Mapping[str, Any], given: Mapping[str, str], told: list[dict[str, Any]]) -> dict[str, Any]:
    asked = request_in(row)
    values = _editable(asked)
    fields = form.fields(asked.args_schema, values) if "edit" in asked.allowed else []
    decision = shape.decision_plain(row)
    changes: list[tuple[str, Any, Any]] = []
    if decision and decision["args"] is not None and asked.kind == "action":
        names = dict.fromkeys([*asked.args, *decision["args"]])
        pairs = [(name, asked.args.get(name), decision["args"].get(name)) for name in names]
        changes = [(name, before, after) for name, before, after in pairs if before != after]
    return {
        "row": row,
        "asked": asked,
        "fields": fields,
        "decision": decision,
        "changes": changes,
        "impact": row["request"].get("impact") or [],
        "comment": given.get("comment", ""),
        "yes": sum(one["kind"] == "approve" and one["level"] == asked.level for one in told),
        "editing": given.get("type") == "edit",
        "typed": given,
    }
