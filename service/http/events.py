"""Events: what is committed, as it is committed (server-sent events), from committed rows alone.

Invariant: an event's id is the number of its transition, so whoever comes back with the last id it saw
misses nothing and gets nothing twice. A stream ends when the run does, when the service leaves, and when
its key is no longer in force.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from gatepost.checkpointing.history import utc
from gatepost.service.http.caller import Caller, InHouse, Reader, still
from gatepost.service.http.house import House
from gatepost.service.http.placed import Placed
from gatepost.service.http.reading import run_of
from gatepost.service.http.sent import Given, NoQuery

router = APIRouter(tags=["events"])
LOOK_SECONDS = 0.5
"""The bell rings when a run is queued and when its owner lets go; what lies between is looked for so often."""
BEAT_SECONDS = 15.0
"""After so long without news a stream says that it lives, and its key is looked at again."""
LONGEST_SECONDS = 900.0
"""A stream ends then; browsers come back by themselves."""
PAGE = 200
MEDIA_TYPE = "text/event-stream"


class Since(Given):
    """From where on."""

    after: int = Field(default=-1, ge=-1, le=2**62, description="As Last-Event-ID, for a first request.")


LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="The last id that was seen.")]


@router.get("/runs/{run_id}/events", response_class=StreamingResponse)
async def of_a_run(
    run_id: str,
    house: InHouse,
    caller: Reader,
    since: Annotated[Since, Query()],
    last: LastEventId = None,
) -> StreamingResponse:
    """The transitions of a run, from the first or after the last one seen; then each as it is committed."""
    await run_of(house, run_id, caller.tenant)
    seen = int(last) if last is not None and last.isdecimal() and len(last) < 19 else since.after  # noqa: PLR2004
    return _streamed(house, caller, _run_events(house, caller, run_id, seen))


@router.get("/events", response_class=StreamingResponse)
async def of_the_inbox(house: InHouse, caller: Reader, _: NoQuery) -> StreamingResponse:
    """How many questions of the tenant are open: now, and whenever one is opened or closed."""
    return _streamed(house, caller, _inbox_events(house, caller))


def _streamed(house: House, caller: Caller, events: AsyncIterator[str]) -> StreamingResponse:
    async def lines() -> AsyncGenerator[str]:
        yield "retry: 1000\n\n"
        async for event in events:
            yield event

    place, headers = house.stream(caller.key.key_id), {"X-Accel-Buffering": "no"}
    return Placed(lines(), place=place, seconds=2 * LONGEST_SECONDS, media_type=MEDIA_TYPE, headers=headers)


async def _run_events(house: House, caller: Caller, run_id: str, seen: int) -> AsyncIterator[str]:
    stood: str | None = None
    async for _ in _looks(house, caller):
        row = await run_of(house, run_id, caller.tenant)
        while rows := await house.saver.history.transitions(run_id, after=seen, limit=PAGE):
            for transition in rows:
                seen = transition["seq"]
                yield _event("transition", {**transition, "at": utc(transition["at"])}, number=seen)
        if stamp_of(row) != stood:
            stood = stamp_of(row)
            yield _event("status", {"status": row["status"], "reason": row["reason"], "stamp": stood})
        if row["finished_at"] is not None:
            yield _event("end", {"status": row["status"]})
            return
        yield ""


async def _inbox_events(house: House, caller: Caller) -> AsyncIterator[str]:
    stood: str | None = None
    async for _ in _looks(house, caller):
        count, stamp = await house.overview.stamp(caller.tenant)
        yield _event("inbox", {"open": count, "stamp": stamp}) if stamp != stood else ""
        stood = stamp


async def _looks(house: House, caller: Caller) -> AsyncIterator[None]:
    """Now, and whenever there may be news."""
    began = beat = time.monotonic()
    while not house.waker.stopping.is_set() and time.monotonic() - began < LONGEST_SECONDS:
        if time.monotonic() - beat > BEAT_SECONDS:
            if not await still(caller, house):
                return
            beat = time.monotonic()
        rung = house.waker.next_ring
        yield
        await house.waker.wait(LOOK_SECONDS, rung=rung)


def stamp_of(row: Mapping[str, Any]) -> str:
    """A text that changes whenever a run stands otherwise."""
    return f"{row['seq']} {row['status']} {row['reason']}"


def _event(kind: str, said: dict[str, Any], *, number: int | None = None) -> str:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(said, default=str)}\n\n"
