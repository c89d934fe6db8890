"""Runs: looking through them, starting one, and one run in full with its timeline and its graphs."""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gatepost.checkpointing.orders import Order
from gatepost.nodes.workflow import Workflow
from gatepost.service.http import shape
from gatepost.service.http.again import id_from, needed
from gatepost.service.http.caller import Caller, InHouse
from gatepost.service.http.events import stamp_of
from gatepost.service.http.house import House
from gatepost.service.http.operating import ordered, released
from gatepost.service.http.problem import problem_of
from gatepost.service.http.reading import run_of, why_of
from gatepost.service.http.runs import next_runs, started
from gatepost.service.pages import form
from gatepost.service.pages.drawing import Drawing, Node, drawing
from gatepost.service.pages.render import page
from gatepost.service.pages.timeline import timeline
from gatepost.service.pages.visitor import Visitor, form_of
from gatepost.state.errors import CallerMistake, UnknownGoal, UnknownRun
from gatepost.state.status import RUN_FINAL, RUN_PARKED, RunStatus

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Query(max_length=300)]
PAGE = 50
LATEST = 40
MOST_BOXES = 60
ORDERS = ("hold", "cancel", "release")
_ENDS = {"__start__": "start", "__end__": "end"}


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
        after=shape.place_of(after or None, int, datetime, str),
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
        asked = form.fields(_schema(workflow), {})
        values = form.read(given, asked, {}) if workflow.input else _free(given)
        run_id = id_from(needed(given.get("request_key")), visitor)
        await started(house, visitor, run_id, shape.Start(goal=goal, input=values))
    except (CallerMistake, ValueError) as error:
        said = problem_of(error).detail or "The goal or its input cannot be used."
        return await _start_page(house, visitor, goal, given=given, refused=said)
    return RedirectResponse(f"/runs/{run_id}", 303)


@router.get("/runs/{run_id}")
async def run(run_id: str, house: InHouse, visitor: Visitor) -> HTMLResponse:
    """One run."""
    return await _run_page(house, visitor, run_id)


@router.post("/runs/{run_id}/{order}")
async def order(run_id: str, order: str, request: Request, house: InHouse, visitor: Visitor) -> Response:
    """Hold, release or cancel it."""
    visitor.check("operate")
    given = await form_of(request)
    reason = given.get("reason", "")[:2000]
    await run_of(house, run_id, visitor.tenant)
    try:
        if order == "release":
            await released(house, visitor, run_id, reason)
        elif order in ORDERS:
            await ordered(house, visitor, cast("Order", order), run_id, reason)
        else:
            raise CallerMistake("a run can be held, released or cancelled.")
    except UnknownRun:
        raise
    except CallerMistake as error:
        return await _run_page(house, visitor, run_id, refused=problem_of(error).detail)
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
        fields=form.fields(_schema(chosen), {}) if chosen else [],
        request_key=(given or {}).get("request_key") or secrets.token_urlsafe(16),
        typed=given or {},
        refused=refused,
    )


async def _run_page(house: House, visitor: Caller, run_id: str, *, refused: str = "") -> HTMLResponse:
    row = await run_of(house, run_id, visitor.tenant)
    history = house.saver.history
    records = await house.overview.lanes(run_id)
    effects = await history.effects(run_id)
    latest = await history.transitions(run_id, after=max(-1, row["seq"] - LATEST), limit=LATEST + 1)
    status = RunStatus(row["status"])
    return await page(
        house,
        visitor,
        "one_run.html",
        status=422 if refused else 200,
        stamp=stamp_of(row),
        refresh="" if row["finished_at"] else f"/v1/runs/{run_id}/events?after={row['seq']}",
        run=row,
        why=await why_of(house, run_id, visitor.tenant),
        approvals=await house.overview.approvals(visitor.tenant, status=None, run_id=run_id),
        artifacts=await history.artifacts(run_id),
        effects=effects,
        timeline=timeline(
            records=records,
            effects=effects,
            owners=await house.overview.owners(run_id),
            began=row["created_at"],
            until=row["finished_at"] or row["now"],
        ),
        plan=await _plan(house, row, records),
        graph=await _graph(house, run_id, latest),
        transitions=latest,
        may={
            "hold": status not in RUN_FINAL | RUN_PARKED,
            "release": status in RUN_PARKED,
            "cancel": status not in RUN_FINAL,
        },
        refused=refused,
    )


async def _plan(house: House, row: dict[str, Any], records: list[dict[str, Any]]) -> Drawing | None:
    if not row["plan_version"]:
        return None
    plan = await house.saver.history.plan(row["run_id"], row["plan_version"])
    if len(plan.steps) > MOST_BOXES:
        return None
    stands = {record["step_id"]: str(record["status"]) for record in records}
    nodes = [
        Node(step.id, step.id, stands.get(step.id, "pending"), note=step.tool, link=f"#step-{step.id}")
        for step in plan.steps
    ]
    return drawing(nodes, ((need, step.id) for step in plan.steps for need in step.needs))


async def _graph(house: House, run_id: str, latest: list[dict[str, Any]]) -> Drawing:
    visits = await house.overview.visits(run_id)
    following = set(latest[-1]["next"]) if latest else set()
    shown = house.graph.get_graph()
    nodes = [
        Node(
            name,
            _ENDS.get(name, name),
            "here" if name in following else "seen" if visits.get(name) else "idle",
            note=f"×{visits[name]}" if visits.get(name) else "",
        )
        for name in shown.nodes
    ]
    return drawing(nodes, ((edge.source, edge.target) for edge in shown.edges))


def _schema(workflow: Workflow) -> dict[str, Any]:
    return workflow.input.model_json_schema() if workflow.input else {}


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
