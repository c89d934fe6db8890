"""What a person sees who asked for a page that cannot be shown."""

from __future__ import annotations

from fastapi import Request, Response

from gatepost.service.http.caller import caller_of
from gatepost.service.http.house import house_of
from gatepost.service.http.problem import Problem, Refused
from gatepost.service.pages.render import page
from gatepost.state.errors import GatepostError

_PROGRAMS = ("/v1/", "/health/", "/openapi.json", "/static/")


async def shown(request: Request, problem: Problem) -> Response | None:
    """The problem as a page, for a browser that asked for one."""
    if request.url.path.startswith(_PROGRAMS) or "text/html" not in request.headers.get("accept", ""):
        return None
    house = house_of(request)
    try:
        caller = await caller_of(request, house)
        return await page(house, caller, "problem.html", status=problem.status, problem=problem)
    except (GatepostError, Refused):  # the database is away, or it is too much: which is what is to be said
        return None
