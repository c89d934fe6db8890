"""Signing in: a key, or a link that works once, becomes a session; and the files that pages refer to."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gatepost.checkpointing.keys import Key
from gatepost.service.http.caller import COOKIE, SESSION, InHouse, session_for
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused
from gatepost.service.pages.render import page, static
from gatepost.service.pages.visitor import Visitor, form_of

router = APIRouter(include_in_schema=False)
TYPES = {
    "gatepost.css": "text/css",
    "gatepost.js": "text/javascript",
    "sign-in.js": "text/javascript",
    "mark.svg": "image/svg+xml",
}
HOME = "/inbox"


@router.get("/")
async def home() -> RedirectResponse:
    """To the inbox."""
    return RedirectResponse(HOME, 303)


@router.get("/static/{release}/{name}")
async def file(release: str, name: str) -> Response:  # noqa: ARG001 (it only makes an old copy another file)
    """A file that pages refer to."""
    if name not in TYPES:
        raise Refused(404, "no-such-page", "There is no such page")
    return Response(static(name), media_type=TYPES[name], headers={"Cache-Control": "public, max-age=3600"})


@router.get("/favicon.ico")
async def icon() -> Response:
    """What a browser asks for without being told to."""
    return await file("", "mark.svg")


@router.get("/sign-in")
async def ask(request: Request, house: InHouse, then: Annotated[str, Query(max_length=300)] = HOME) -> HTMLResponse:
    """Ask for a key."""
    house.limits.address(request)
    house.limits.unknown(request)
    return await page(house, None, "sign_in.html", then=_ours(then), wrong=False)


@router.post("/sign-in")
async def sign_in(request: Request, house: InHouse) -> Response:
    """Take a key, or the token of a link, and begin a session."""
    house.limits.address(request)
    given = await form_of(request)
    then = _ours(given.get("then", HOME))
    if "once" in given:
        key = await _once(house, given["once"])
    else:
        key = await house.keys.of_secret(given.get("key", "").strip())
    if key is None:
        house.limits.attempt(request)
        return await page(house, None, "sign_in.html", status=401, then=then, wrong=True)
    now = await house.overview.now()
    cookie = await session_for(key, house, nonce=secrets.token_urlsafe(16), now=now)
    answer = RedirectResponse(then, 303)
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=house.place.secure, path="/")
    return answer


@router.post("/sign-out")
async def sign_out(house: InHouse, visitor: Visitor) -> Response:
    """End the session, in this browser and wherever its cookie was copied to."""
    if visitor.session is not None:
        await house.keys.end_session(visitor.session, lasts=SESSION)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=house.place.secure, path="/")
    return answer


async def _once(house: House, token: str) -> Key | None:
    found = house.once.pop(hashlib.sha256(token.encode()).digest(), None)
    if found is None or found[1] < time.monotonic():
        return None
    return await house.keys.of_id(found[0])


def _ours(then: str) -> str:
    """A path of ours, and no way to somewhere else."""
    plain = then.startswith("/") and not then.startswith(("//", "/\\")) and then.isprintable() and "\\" not in then
    return then if plain else HOME
