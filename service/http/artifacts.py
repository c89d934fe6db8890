"""Artifacts over HTTP: the list, and one to be saved."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from gatepost.service.http import shape
from gatepost.service.http.caller import InHouse, Reader
from gatepost.service.http.problem import Refused
from gatepost.service.http.reading import artifact_plain, run_of
from gatepost.service.http.sent import LARGEST_PAGE, PRINTED, Given, Limit

router = APIRouter(tags=["artifacts"])
HARMLESS = frozenset({"application/json", "text/plain", "text/markdown", "text/csv"})
"""Types that are sent as what they are: no browser runs anything in them. Any other one is only bytes."""
BYTES = "application/octet-stream"


class Listed(Given):
    """Which artifacts of a run."""

    after: int = Field(default=0, ge=0, le=2**31 - 1, description="`next` of the page before.")
    limit: Limit = LARGEST_PAGE


class Wanted(Given):
    """Which of its versions."""

    version: int | None = Field(default=None, ge=1, le=2**31 - 1, description="Without it, the newest.")


class Artifact(shape.Shown):
    """An artifact without its content."""

    name: str
    version: int
    media_type: str
    bytes: int
    sha256: str
    step: str


class ArtifactList(shape.Shown):
    """What a run has made."""

    artifacts: list[Artifact]
    next: int | None = Field(description="Pass it as `after` for the next page; null: there is none.")


@router.get("/runs/{run_id}/artifacts", response_model=ArtifactList)
async def listed(run_id: str, house: InHouse, caller: Reader, wanted: Annotated[Listed, Query()]) -> dict[str, Any]:
    """What a run has made, every version, oldest first."""
    await run_of(house, run_id, caller.tenant)
    rows = await house.saver.history.artifact_list(run_id, after=wanted.after, limit=wanted.limit + 1)
    page = [artifact_plain(row) for row in rows[: wanted.limit]]
    return {"artifacts": page, "next": wanted.after + wanted.limit if len(rows) > wanted.limit else None}


@router.get(
    "/runs/{run_id}/artifacts/{name:path}",
    response_class=Response,
    responses={200: {"content": {kind: {"schema": {}} for kind in sorted({*HARMLESS, BYTES})}}},
)
async def saved(
    run_id: str,
    name: Annotated[str, Path(max_length=500, pattern=PRINTED)],
    house: InHouse,
    caller: Reader,
    wanted: Annotated[Wanted, Query()],
) -> Response:
    """An artifact, to be saved. A browser opens nothing of it."""
    await run_of(house, run_id, caller.tenant)
    made = await house.saver.history.artifact(run_id, name, version=wanted.version)
    if made is None:
        version = f" of version {wanted.version}" if wanted.version else ""
        said = f"run {run_id} has no artifact {name!r:.150}{version}."
        next_ = f"GET /v1/runs/{run_id}/artifacts lists them."
        raise Refused(404, "unknown-artifact", "There is no such artifact", detail=said, next=next_)
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}"}
    kind = made["media_type"]
    return Response(made["content"], media_type=kind if kind in HARMLESS else BYTES, headers=headers)
