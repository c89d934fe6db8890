"""Runs: looking through them, and starting one."""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gatepost.service.http import shape
from gatepost.service.http.again import id_from, needed
from gatepost.service.http.caller import Caller, InHouse
from gatepost.service.http.house import House
from gatepost.service.http.problem import problem_of
from gatepost.service.http.runs import next_runs, started
from gatepost.service.http.sent import PRINTED, place_of
from gatepost.service.pages import form
from gatepost.service.pages.render import page
from gatepost.service.pages.visitor import Visitor, form_of
from gatepost.state.errors import CallerMistake, UnknownGoal
from gatepost.state.status import RunStatus

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Query(max_length=300, pattern=PRINTED)]
PAGE = 50


@router.get("/runs")
async def runs(
    house: InHouse, visitor: Visitor, search: Text = "", status: Text = "", workflow: Text = "", after: Text = ""
) -> HTMLResponse:
    """The runs: those that need somebody first."""
    rows = await house.overview.runs(
        visitor.tenant,
        status=status if status in set(RunStatus) else None,
        workflow=workflow or None,
        search=search.strip() or None,
        after=place_of(after or None, int, datetime, str),
        limit=PAGE + 1,
    )
    filters = {"search": search, "status": status, "workflow": workflow, "next": next_runs(rows, PAGE)}
    return await page(
        house,
        visitor,
        "runs.html",
        refresh="/v1/events",
        rows=rows[:PAGE],
        filters=filters,
        statuses=[status.value for status in RunStatus],
        workflows=sorted(house.graph.equipment.catalog.workflows),
    )


@router.get("/start")
async def start_form(house: InHouse, visitor: Visitor, goal: Text = "") -> HTMLResponse:
    """What may be started, and its input as a form."""
    visitor.check("start")
    return await _start_page(house, visitor, goal)


@router.post("/start")
async def start(request: Request, house: InHouse, visitor: Visitor) -> Response:
    """Start a run. The form has a key of its own, so two clicks are one run."""
    visitor.check("start")
    given = await form_of(request)
    goal = given.get("goal", "")
    try:
        workflow = house.graph.equipment.catalog.for_goal(goal)
        asked = form.fields(workflow.input_schema, {})
        values = form.read(given, asked, {}) if workflow.input else _free(given)
        run_id = id_from(needed(given.get("request_key")), visitor)
        await started(house, visitor, run_id, shape.Start(goal=goal, input=values))
    except (CallerMistake, ValueError) as error:
        said = problem_of(error).detail or "The goal or its input cannot be used."
        return await _start_page(house, visitor, goal, given=given, refused=said)
    return RedirectResponse(f"/runs/{run_id}", 303)


async def _start_page(
    house: House, visitor: Caller, goal: str, *, given: dict[str, str] | None = None, refused: str = ""
) -> HTMLResponse:
    catalog = house.graph.equipment.catalog
    goals = [(workflow, goal) for workflow in catalog.workflows.values() for goal in workflow.goals]
    try:
        chosen = catalog.for_goal(goal) if goal else None
    except UnknownGoal:
        chosen, refused = None, refused or "There is no such goal."
    if chosen is None and len(goals) == 1:
        chosen, goal = goals[0]
    return await page(
        house,
        visitor,
        "start.html",
        status=422 if refused else 200,
        goals=goals,
        goal=goal,
        chosen=chosen,
        fields=form.fields(chosen.input_schema, {}) if chosen else [],
        request_key=(given or {}).get("request_key") or secrets.token_urlsafe(16),
        typed=given or {},
        refused=refused,
    )


def _free(given: dict[str, str]) -> dict[str, Any]:
    """The input of a workflow that takes any data: JSON."""
    text = given.get("input", "").strip()
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CallerMistake('the input is no JSON object. Write for example {"customer": "ada"}.')
    return found
