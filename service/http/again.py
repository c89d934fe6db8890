"""`Idempotency-Key`: a request that is sent again gets the answer it got, and does nothing twice.

As in the IETF draft: 400 where a key is needed and missing, 409 while the first one is under way, 422
for another request under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.responses import JSONResponse

from gatepost.checkpointing.requests import Before, Sent
from gatepost.service.http.caller import Caller
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused
from gatepost.state.canonical import digest_of
from gatepost.state.errors import CallerMistake, DatabaseUnavailable

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


Change = Callable[[], Awaitable[dict[str, Any]]]
"""Does what is asked, and gives what came of it as plain data."""
Tell = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Makes the answer of what came of it; changes nothing, and may be asked several times."""


async def once(
    house: House,
    request: Request,
    caller: Caller,
    request_key: str | None,
    change: Change,
    tell: Tell | None = None,
    *,
    status: int = 200,
) -> Response:
    """Carry a request out, once for each key, and answer it; without a key, do both.

    A change that is committed is not made again, even where its answer fails: whoever sends the request again gets
    the answer then. One that broke off is: each change is one that is told when it has been made already.

    Raises:
        Refused: it is under way, or another one has its key.
    """
    tell = tell or _as_it_is
    if request_key is None:
        return _answer(status, await tell(await change()))
    fingerprint = hashlib.sha256(f"{request.method} {request.url.path}\0".encode() + await request.body()).hexdigest()
    sent = Sent(caller.tenant, caller.name, needed(request_key), fingerprint)
    outcome = None
    if (before := await house.requests.begin(sent)) is not None:
        _check(before)
        if before.status is not None:
            return _answer(before.status, before.body, replayed=True)
        outcome = before.body
    if outcome is None:
        outcome = await _carried_out(house, sent, change)
    body = await tell(outcome)
    await house.requests.answer(sent, status, body)
    return _answer(status, body, replayed=before is not None)


async def _carried_out(house: House, sent: Sent, change: Change) -> dict[str, Any]:
    try:
        outcome = await change()
    except (Refused, CallerMistake):
        await house.requests.forget(sent)
        raise
    except BaseException:
        with suppress(DatabaseUnavailable):  # the same database that broke off, perhaps: then it is free in a minute
            await house.requests.give_up(sent)
        raise
    await house.requests.carried_out(sent, outcome)
    return outcome


def _check(before: Before) -> None:
    if not before.same:
        raise Refused(
            422, "idempotency-key-reused", "The Idempotency-Key belongs to another request", next="Use a new one."
        )
    if before.status is None and before.body is None:
        raise Refused(
            409,
            "under-way",
            "The same request is under way",
            next="Send it again in a moment.",
            headers={"Retry-After": "1"},
        )


async def _as_it_is(outcome: dict[str, Any]) -> dict[str, Any]:
    return outcome


def _answer(status: int, body: dict[str, Any], *, replayed: bool = False) -> JSONResponse:
    return JSONResponse(body, status, headers={"Idempotency-Replayed": "true"} if replayed else None)
