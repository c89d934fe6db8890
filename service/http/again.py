"""`Idempotency-Key`: a request that is sent again gets the answer it got, and does nothing twice.

As in the IETF draft: 400 where a key is needed and missing, 409 while the first one is under way, 422
for another request under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.responses import JSONResponse

from gatepost.checkpointing.requests import Requests, Sent
from gatepost.service.http.caller import Caller
from gatepost.service.http.problem import Refused
from gatepost.state.canonical import digest_of

LONGEST = 200
RequestKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same request again, under the same key, does nothing twice."),
]


def needed(request_key: str | None) -> str:
    """The key of a request that cannot do without.

    Raises:
        Refused: there is none.
    """
    if request_key is None or not request_key.strip():
        raise Refused(
            400,
            "idempotency-key",
            "An Idempotency-Key is needed",
            detail="Without one, a start that is sent again because its answer got lost would start a second run.",
            next="Send a header Idempotency-Key with a value of your own for each run, for example a UUID.",
        )
    if len(request_key) > LONGEST or not request_key.isprintable():
        raise Refused(400, "idempotency-key", "The Idempotency-Key is no usable text", next="Use a UUID.")
    return request_key


def id_from(request_key: str, caller: Caller) -> str:
    """The run's id that follows from a request's key: the same request, a day or a crash later, is the same run."""
    return f"run_{digest_of('request', caller.tenant, caller.name, request_key)[:20]}"


async def once(
    requests: Requests,
    request: Request,
    caller: Caller,
    request_key: str | None,
    work: Callable[[], Awaitable[tuple[int, dict[str, Any]]]],
) -> Response:
    """Do the work of a request, once for each key; without a key, do it.

    Raises:
        Refused: it is under way, or another one has its key.
    """
    if request_key is None:
        return _answer(*await work())
    fingerprint = hashlib.sha256(f"{request.method} {request.url.path}\0".encode() + await request.body()).hexdigest()
    sent = Sent(caller.tenant, caller.name, needed(request_key), fingerprint)
    before = await requests.begin(sent)
    if before is not None:
        if not before.same:
            raise Refused(
                422, "idempotency-key-reused", "The Idempotency-Key belongs to another request", next="Use a new one."
            )
        if before.status is None:
            raise Refused(
                409,
                "under-way",
                "The same request is under way",
                next="Send it again in a moment.",
                headers={"Retry-After": "1"},
            )
        return _answer(before.status, before.body, replayed=True)
    try:
        status, body = await work()
    except BaseException:
        await requests.forget(sent)
        raise
    await requests.answer(sent, status, body)
    return _answer(status, body)


def _answer(status: int, body: dict[str, Any], *, replayed: bool = False) -> JSONResponse:
    return JSONResponse(body, status, headers={"Idempotency-Replayed": "true"} if replayed else None)
