"""The application: the API, the pages, and the guard around both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from gatepost.service.http import approvals, artifacts, bulk, events, health, operating, problem, runs, timetravel
from gatepost.service.http.guard import Guard
from gatepost.service.http.house import House
from gatepost.service.pages import compare, forks, inbox, link, one_run, replays, sign_in, states, together, wrong
from gatepost.service.pages import operating as hands
from gatepost.service.pages import runs as run_pages
from gatepost.service.telemetry import Continued

PROBLEM = {
    "description": "A problem (RFC 9457): `title`, `detail`, and `next`, what to do.",
    "content": {problem.MEDIA_TYPE: {"schema": problem.SCHEMA}},
}
RESPONSES: dict[int | str, dict[str, Any]] = dict.fromkeys(
    (400, 401, 403, 404, 405, 408, 409, 413, 421, 422, 429, 503), PROBLEM
)


def application(house: House) -> FastAPI:
    """What is served, without its guard."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with house.open():
            yield

    app = FastAPI(
        title="Gatepost",
        version=version("gatepost"),
        summary="Durable agent runs: start them, see what they ask, answer.",
        lifespan=lifespan,
        docs_url=None,  # theirs load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.house = house
    problem.install(app, wrong.shown)
    for part in (runs, operating, timetravel, artifacts, approvals, bulk, events):
        app.include_router(part.router, prefix="/v1", responses=RESPONSES)
    app.include_router(health.workflows, prefix="/v1", responses=RESPONSES)
    app.include_router(health.router, responses={503: PROBLEM})
    for page in (sign_in, inbox, together, run_pages, states, replays, forks, compare, hands, one_run, link):
        app.include_router(page.router)
    return app


def guarded(house: House) -> ASGIApp:
    """What is served."""
    return Guard(Continued(application(house), house.graph), house.place)
