"""Problems: every refusal as `application/problem+json` (RFC 9457), with the cause and the next step.

Invariant: a status follows from the class of the error by one table, and nothing of a failure of ours
reaches a caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from gatepost.state import errors

MEDIA_TYPE = "application/problem+json"
_TEXT = {"type": "string", "minLength": 1}
SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "next"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "next": {**_TEXT, "description": "What to do."},
    },
}
"""What every problem of the API has."""
_RUNS = "GET /v1/runs lists the runs there are."
_DESCRIBED = "GET /openapi.json lists what there is, and what it takes."
_AS_JSON = "Send the body as JSON, with the header `Content-Type: application/json`."
_APPROVALS = "GET /v1/approvals lists what is asked."


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of problems."""

    status: int
    slug: str
    title: str
    next: str


KINDS: tuple[tuple[type[BaseException], Kind], ...] = (
    (errors.UnknownRun, Kind(404, "unknown-run", "There is no such run", _RUNS)),
    (errors.UnknownApproval, Kind(404, "unknown-approval", "There is no such approval", _APPROVALS)),
    (errors.UnknownEffect, Kind(404, "unknown-effect", "There is no such effect", _RUNS)),
    (errors.UnknownKey, Kind(404, "unknown-key", "There is no such key", "`gatepost key list` shows the keys.")),
    (errors.NotFound, Kind(404, "not-found", "There is no such thing", "GET the run: `steps` names its steps.")),
    (
        errors.AlreadyDecided,
        Kind(409, "already-decided", "Another answer stands", "`recorded` says who answered what; nothing is left."),
    ),
    (errors.RunExists, Kind(409, "run-exists", "The id belongs to another run", "Start it under another key.")),
    (errors.RunOwned, Kind(409, "run-owned", "Another owner moves the run", "Ask again in a moment.")),
    (errors.LostRun, Kind(409, "run-owned", "Another owner moves the run", "Ask again in a moment.")),
    (
        errors.UnknownGoal,
        Kind(422, "unknown-goal", "No workflow is known for the goal", "GET /v1/workflows lists the goals."),
    ),
    (
        errors.InvalidDecision,
        Kind(422, "invalid-decision", "The answer cannot be used", "GET the approval: `allowed` says what it takes."),
    ),
    (errors.CallerMistake, Kind(422, "mistake", "It cannot be done as asked", "Correct it; nothing was changed.")),
    (
        errors.DatabaseUnavailable,
        Kind(503, "database", "The database cannot be used now", "Send it again in a moment, with the same key."),
    ),
    (errors.RetryableFault, Kind(503, "busy", "It cannot be done now", "Send it again in a moment.")),
)
BUG = Kind(500, "bug", "An error of Gatepost's own", "The service's log has it. Send it again with the same key.")


class Refused(Exception):
    """A request that the service itself refuses.

    Args:
        status: of the response.
        slug: the problem's name.
        title: one line, the same for every such problem.
        detail: what is wrong here.
        next: what to do.
        headers: of the response.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        *,
        detail: str = "",
        next: str = "",  # noqa: A002 (the field's name)
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.problem = Problem(status, slug, title, detail=detail, next=next)
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told."""

    status: int
    slug: str
    title: str
    detail: str = ""
    next: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As RFC 9457 has it, with `next` beside."""
        said = {"detail": self.detail, "next": self.next}
        return {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            **{name: text for name, text in said.items() if text},
            **self.more,
        }

    def response(self, headers: Mapping[str, str] | None = None) -> JSONResponse:
        """As a response."""
        return JSONResponse(self.plain(), self.status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of(error: BaseException) -> Problem:
    """What a caller is told of an error."""
    if isinstance(error, Refused):
        return error.problem
    kind = next((kind for known, kind in KINDS if isinstance(error, known)), BUG)
    if kind is BUG:
        return Problem(BUG.status, BUG.slug, BUG.title, next=BUG.next)
    more = {"recorded": error.recorded} if isinstance(error, errors.AlreadyDecided) else {}
    # A database's message may name hosts and users; the operator finds it in the log.
    detail = "" if kind.slug == "database" else _said(error)
    return Problem(kind.status, kind.slug, kind.title, detail=detail, next=kind.next, more=more)


Shown = Callable[[Request, Problem], Awaitable[Response | None]]
"""Shows a problem to a person who looks at a page; None for a program, which gets it as it is."""
BUSY = 503


def install(app: FastAPI, shown: Shown) -> None:
    """Have every refusal of an application told so."""

    async def answer(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
        return await shown(request, problem) or problem.response(headers)

    async def told(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        headers = error.headers if isinstance(error, Refused) else {}
        if "Location" in headers:
            return Response(status_code=problem.status, headers=headers)
        return await answer(request, problem, {**headers, **({"Retry-After": "1"} if problem.status == BUSY else {})})

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = [
            {"where": "/".join(map(str, item["loc"])), "what": item["msg"].removeprefix("Value error, ")}
            for item in error.errors()[:20]
        ]
        said = "; ".join(f"{item['where']}: {item['what']}" for item in wrong)
        unread = any(item["loc"] == ("body",) for item in error.errors()) and not _is_json(request)
        next_ = _AS_JSON if unread else _DESCRIBED
        problem = Problem(422, "invalid-request", "The request cannot be read", said, next_, {"errors": wrong})
        return await answer(request, problem)

    async def routed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        slug = {404: "no-such-page", 405: "method"}.get(error.status_code, "http")
        problem = Problem(error.status_code, slug, str(error.detail), next=_DESCRIBED)
        return await answer(request, problem, error.headers)

    for known in (errors.GatepostError, Refused, Exception):
        app.add_exception_handler(known, told)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, routed)


def _is_json(request: Request) -> bool:
    return "json" in request.headers.get("content-type", "")


def _said(error: BaseException) -> str:
    """The message without the command that helps at a terminal."""
    return str(error).split(" `gatepost")[0]
