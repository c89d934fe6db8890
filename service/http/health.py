"""Health: whether the process lives, and whether it can do its work. Neither tells anything of any run."""

from __future__ import annotations

from fastapi import APIRouter

from gatepost.service.http.caller import InHouse, Reader
from gatepost.service.http.sent import NoQuery

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(house: InHouse) -> dict[str, str]:
    """The database answers, and is the one that this release knows. 503 otherwise."""
    await house.secrets()
    await house.overview.now()
    return {"status": "ok"}


workflows = APIRouter(tags=["workflows"])


@workflows.get("/workflows")
async def known(house: InHouse, caller: Reader, _: NoQuery) -> list[dict[str, object]]:  # noqa: ARG001 (it is needed, and no more)
    """The workflows that this service knows, and the goals that mean them."""
    return [
        {
            "name": workflow.name,
            "goals": list(workflow.goals),
            "description": workflow.description,
            "tools": {tool.name: str(tool.effect) for tool in workflow.tools},
            "input_schema": workflow.input_schema,
        }
        for workflow in house.graph.equipment.catalog.workflows.values()
    ]
