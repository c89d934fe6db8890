"""The page behind a link: what is asked, and the buttons that answer it; nobody has to sign in.

Invariant: looking decides nothing, however often and by whichever method a program looks. A link that is
forged, cut short, over, used, revoked or out of date gets one and the same page, which tells of no approval.
The address is the secret: it is in no log, and no other address learns of it as the one somebody came from.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from gatepost.checkpointing.answers import request_in
from gatepost.checkpointing.links import Link, LinkSpent
from gatepost.graph.context import RunContext
from gatepost.service.http import links
from gatepost.service.http.caller import InHouse
from gatepost.service.http.guard import REFERRER
from gatepost.service.http.house import House
from gatepost.service.pages.render import page
from gatepost.service.pages.visitor import form_of
from gatepost.state.approval import Decision, DecisionType
from gatepost.state.errors import AlreadyDecided, CallerMistake, UnknownApproval

router = APIRouter(include_in_schema=False)
ANSWERS: tuple[DecisionType, ...] = ("approve", "reject", "respond")
"""What a link answers; who wants to change arguments signs in."""
LONGEST_COMMENT = 10_000
_UNSEEN = {REFERRER: "strict-origin"}  # "no-referrer" would make a browser call our own form's origin null


@router.api_route(links.PATH + "{text}", methods=["GET", "HEAD"])
async def look(text: str, request: Request, house: InHouse) -> HTMLResponse:
    """What is asked."""
    link = await _standing(house, request, text)
    return await (_refused(house) if link is None else _asked(house, link))


@router.post(links.PATH + "{text}")
async def answer(text: str, request: Request, house: InHouse) -> HTMLResponse:
    """Answer it, in the name of whom the link is for."""
    link = await _standing(house, request, text)
    if link is None:
        return await _refused(house)
    given = await form_of(request)
    comment = given.get("comment", "").replace("\r\n", "\n")[:LONGEST_COMMENT]
    try:
        decision = _decision(link, given.get("type", ""), comment)
        context = RunContext(tenant=link.tenant, principal=link.principal)
        recorded = await house.graph.adecide(decision, context=context, link=link)
    except (LinkSpent, AlreadyDecided, UnknownApproval):
        return await _refused(house)
    except CallerMistake as error:
        if not await house.links.stands(link):  # it was answered, passed on or withdrawn while somebody was reading
            return await _refused(house)
        said = str(error).split(" `gatepost")[0]
        return await _asked(house, link, refused=said, comment=comment, status=422)
    return await _page(house, "answered.html", recorded=recorded, asked=recorded.request)


def _decision(link: Link, said: str, comment: str) -> Decision:
    kind: DecisionType | None = next((kind for kind in ANSWERS if kind == said), None)
    if kind is None:
        raise CallerMistake(f"a link takes {', '.join(ANSWERS)}. Nothing was recorded; use one of the buttons.")
    return Decision(
        approval=link.approval,
        type=kind,
        by=link.principal,
        comment=comment,
        channel="link",
        authenticated=f"link:{link.link}",
    )


async def _standing(house: House, request: Request, text: str) -> Link | None:
    """What the link says, if it may still answer."""
    house.limits.address(request, text)
    link = links.opened(text, now=await house.overview.now(), keys=house.link_keys)
    if link is None:
        house.limits.attempt(request, text)
        return None
    house.limits.key(f"link {link.link}", text)
    return link if await house.links.stands(link) else None


async def _asked(house: House, link: Link, *, refused: str = "", comment: str = "", status: int = 200) -> HTMLResponse:
    row = await house.saver.approvals.get(link.approval, link.tenant)
    asked = request_in(row)
    return await _page(
        house,
        "answer.html",
        status=status,
        row=row,
        asked=asked,
        answers=[kind for kind in ANSWERS if kind in asked.allowed],
        impact=row["request"].get("impact") or [],
        principal=link.principal,
        refused=refused,
        comment=comment,
    )


async def _refused(house: House) -> HTMLResponse:
    return await _page(house, "answer_refused.html", status=404)


async def _page(house: House, template: str, **values: Any) -> HTMLResponse:
    shown = await page(house, None, template, **values)
    shown.headers.update(_UNSEEN)
    return shown
