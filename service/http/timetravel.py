"""Time travel over HTTP: a run executed again and compared, and a new run from a state of another one."""

from __future__ import annotations

import json
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field, JsonValue

from gatepost.graph.fork import afork
from gatepost.service.http import shape
from gatepost.service.http.again import RequestKey, id_from, needed, once
from gatepost.service.http.caller import Caller, InHouse, Reader, Starter
from gatepost.service.http.house import House
from gatepost.service.http.reading import run_of
from gatepost.service.http.runs import telling
from gatepost.service.http.sent import Given
from gatepost.state.canonical import digest_of
from gatepost.state.errors import RunExists, UnknownRun
from gatepost.state.report import Cause

router = APIRouter(tags=["time travel"])


class Replay(Given):
    """How far a run is to be executed again."""

    begin: int = Field(default=1, ge=1, le=2**31 - 1, description="The first transition to make again.")
    until: int | None = Field(default=None, ge=1, le=2**31 - 1, description="The last one to compare.")
    clocks: bool = Field(default=True, description="Also execute it at other times, to find code that reads the clock.")


class Fork(Given):
    """From which state of a run another one is to start, and what is to be otherwise."""

    at: str = Field(min_length=1, max_length=100, description="A transition's number, or a checkpoint's id.")
    set: dict[str, JsonValue] = Field(
        default_factory=dict,
        max_length=50,
        description="By path: input.NAME, steps.STEP.args.NAME of a step that has not begun, steps.STEP.output.",
    )
    effects: Literal["reuse", "dry-run", "fire"] = Field(
        default="reuse",
        description="reuse: recorded results stand in for calls; dry-run: also those of other arguments; fire: calls "
        "are made anew, each effect under an approval of its own.",
    )


class Divergence(shape.Shown):
    """The first transition that came out otherwise."""

    seq: int
    nodes: list[str]
    cause: Cause
    why: str = Field(description="What gave the cause away.")
    differences: list[dict[str, JsonValue]] = Field(description="`path`, `recorded`, `replayed`.")
    more_differences: int = Field(description="So many more are not shown.")


class Verdict(shape.Shown):
    """Whether today's code goes the way that is on record."""

    identical: bool
    run_id: str
    workflow: str
    transitions: int = Field(description="Compared, and found the same.")
    last: int = Field(description="The last one on record.")
    divergence: Divergence | None
    consequences: list[int] = Field(description="Transitions after the divergence: what differs there follows from it.")
    warnings: list[str]


@router.post("/runs/{run_id}/replay", response_model=Verdict)
async def replay(
    run_id: str,
    given: Replay,
    request: Request,
    house: InHouse,
    caller: Reader,
    request_key: RequestKey = None,
) -> Response:
    """Execute a run again by the code that is installed now, and compare it with its record.

    Nothing is called, and nothing is changed. It takes seconds; a key has one at a time.
    """

    async def change() -> dict[str, Any]:
        row = await run_of(house, run_id, caller.tenant)
        return await house.replays.verdict(row, key_id=caller.key.key_id, **given.model_dump())

    return await once(house, request, caller, request_key, change)


@router.post("/runs/{run_id}/fork", status_code=202, response_model=shape.RunInFull)
async def fork(
    run_id: str, given: Fork, request: Request, house: InHouse, caller: Starter, request_key: RequestKey = None
) -> Response:
    """Start a new run from a state of this one, for a worker to move. Nothing of this one changes.

    It holds what this one holds, so it takes the scope `read` as well. Nothing is called unless `effects` is `fire`,
    which takes `operate` besides. Needs an Idempotency-Key.
    """
    caller.check("read")
    if given.effects == "fire":
        caller.check("operate")
    fork_key = needed(request_key)

    async def change() -> dict[str, Any]:
        return {"run": await forked(house, caller, run_id, given, fork_key)}

    return await once(house, request, caller, request_key, change, telling(house, caller), status=202)


async def forked(house: House, caller: Caller, run_id: str, given: Fork, request_key: str) -> str:
    """Write a fork down, for a worker to move; its id. The same one again is the same fork, another one is another."""
    await run_of(house, run_id, caller.tenant)
    asked = json.dumps(given.model_dump(), sort_keys=True)
    fork_id = id_from(f"{request_key} {digest_of('fork', run_id, asked)}", caller)
    options: dict[str, Any] = {
        "at": given.at, "changes": given.set, "effects": given.effects, "context": caller.context, "kept": False,
    }  # fmt: skip
    try:
        return (await afork(house.graph, run_id, run_id=fork_id, **options)).run_id
    except RunExists:
        if await _is_fork_of(house, fork_id, run_id, given, caller.tenant):
            return fork_id
        # Its first attempt died before the run was there, and left a thread under that id.
        return (await afork(house.graph, run_id, **options)).run_id


async def _is_fork_of(house: House, fork_id: str, parent: str, given: Fork, tenant: str) -> bool:
    try:
        found = await house.saver.runs.get(fork_id, tenant)
    except UnknownRun:
        return False
    return bool(found["parent_run_id"] == parent and found["fork_effects"] == given.effects)
