"""Forking a run from its page: from which state, with which changes, and what becomes of its effects.

Invariant: a field that nobody touched is no change, so a form that is sent as it came forks the run as it was.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gatepost.service.http.again import needed
from gatepost.service.http.caller import Caller, InHouse
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused, problem_of
from gatepost.service.http.reading import run_of
from gatepost.service.http.timetravel import Fork, forked
from gatepost.service.pages import form
from gatepost.service.pages.render import page
from gatepost.service.pages.states import channels_of_transition
from gatepost.service.pages.visitor import Visitor, form_of
from gatepost.state.errors import CallerMistake, UnknownRun
from gatepost.state.plan import Plan
from gatepost.state.status import StepStatus
from gatepost.state.transition import Transition

router = APIRouter(include_in_schema=False)
OFFERED = 60
"""Transitions that can be chosen from a list; others by their number."""
MOST_STEPS = 20
"""Steps whose arguments and outputs can be changed in the form."""
LONGEST = 8_000
"""Characters of an output that can be changed there."""
_NOT_BEGUN = {StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.CANCELLED}
Number = Annotated[int | None, Query(ge=0, le=2**62)]


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that belong together."""

    title: str
    path: str
    """What a change's path begins with: `input`, `steps.charge.args`, `steps.look`."""
    fields: list[form.Field]
    values: Mapping[str, Any]

    def changes(self, given: Mapping[str, str]) -> dict[str, Any]:
        """What somebody set, by path.

        Raises:
            InvalidDecision: a field holds something else than it takes.
        """
        read = form.read(given, self.fields, self.values)
        apart = {name: value for name, value in read.items() if name not in self.values or self.values[name] != value}
        return {f"{self.path}.{name}": value for name, value in apart.items()}


@router.get("/runs/{run_id}/fork")
async def ask(run_id: str, house: InHouse, visitor: Visitor, at: Number = None) -> HTMLResponse:
    """The form."""
    visitor.check("start")
    return await _page(house, visitor, await run_of(house, run_id, visitor.tenant), at)


@router.post("/runs/{run_id}/fork")
async def fork(run_id: str, request: Request, house: InHouse, visitor: Visitor) -> Response:
    """Fork it. The form has a key of its own, so two clicks are one fork, and other values another one."""
    visitor.check("start")
    row = await run_of(house, run_id, visitor.tenant)
    given = await form_of(request)
    at = int(given["at"]) if given.get("at", "").isdecimal() and len(given["at"]) < 19 else None  # noqa: PLR2004
    try:
        if at is None:
            raise CallerMistake("say from which transition.")
        if given.get("effects") not in ("reuse", "dry-run", "fire"):
            raise CallerMistake("say what becomes of the effects.")
        if given["effects"] == "fire":
            visitor.check("operate")
        changes: dict[str, Any] = {}
        for group in await _groups(house, row, await _transition(house, run_id, at)):
            changes.update(group.changes(given))
        asked = Fork(at=str(at), set=changes, effects=cast("Any", given["effects"]))
        made = await forked(house, visitor, run_id, asked, needed(given.get("request_key")))
    except UnknownRun:
        raise
    except (Refused, CallerMistake, ValueError) as error:
        problem = problem_of(error)
        said = problem.detail or problem.title if problem.status < 500 else "These changes cannot be used."  # noqa: PLR2004
        return await _page(house, visitor, row, at, given=given, refused=said)
    return RedirectResponse(f"/runs/{made}/compare", 303)


async def _transition(house: House, run_id: str, seq: int) -> Transition | None:
    found = await house.saver.history.page(run_id, before=seq + 1, limit=1)
    return found[0] if found and found[0].seq == seq else None


async def _groups(house: House, row: Mapping[str, Any], at: Transition | None) -> list[Group]:
    """What can be set, as it stood then."""
    known = house.graph.equipment.catalog.workflows.get(row["workflow"])
    channels = await channels_of_transition(house, row["run_id"], at) if at else None
    if at is None or channels is None or known is None or not channels.get("plan_version"):
        return []
    schema = known.input_schema
    run_input = channels["input"]
    groups = [Group("The input", "input", form.fields(schema, run_input, prefix="input"), run_input)]
    version = channels["plan_version"]
    if await house.overview.planned(row["run_id"], version) <= MOST_STEPS:
        plan = await house.saver.history.plan(row["run_id"], version)
        stood = await house.overview.stood(row["run_id"], list(plan.by_id), seq=at.seq)
        groups += _of_steps(plan, stood, house.graph.equipment.catalog.tools(row["workflow"]))
    return [group for group in groups if group.fields]


def _of_steps(plan: Plan, stood: Mapping[str, Mapping[str, Any]], tools: Mapping[str, Any]) -> Iterable[Group]:
    for step in plan.steps:
        record = stood.get(step.id, {})
        status = StepStatus(record.get("status", "pending"))
        name = step.id.replace("_", " ")
        if status in _NOT_BEGUN and step.tool in tools:
            path = f"steps.{step.id}.args"
            asked = form.fields(tools[step.tool].schema(), step.args, prefix=path)
            yield Group(f"Arguments of {name}, which had not begun", path, asked, step.args)
        elif status is StepStatus.SUCCEEDED:
            output = {"output": record.get("output")}
            if len(json.dumps(output)) <= LONGEST:
                path = f"steps.{step.id}"
                yield Group(f"What {name} returned", path, form.fields({}, output, prefix=path), output)


async def _page(
    house: House,
    visitor: Caller,
    row: dict[str, Any],
    at: int | None,
    *,
    given: Mapping[str, str] | None = None,
    refused: str = "",
) -> HTMLResponse:
    run_id = row["run_id"]
    offered = [one for one in await house.saver.history.page(run_id, limit=OFFERED) if _can_be(one)]
    chosen = await _transition(house, run_id, at) if at is not None else next(iter(offered), None)
    if chosen is not None and chosen.seq not in {one.seq for one in offered}:
        offered = sorted([*offered, chosen], key=lambda one: one.seq)
    return await page(
        house,
        visitor,
        "fork_from.html",
        status=422 if refused else 200,
        run=row,
        offered=offered,
        chosen=chosen,
        groups=await _groups(house, row, chosen),
        effects=(given or {}).get("effects", "reuse"),
        request_key=(given or {}).get("request_key") or secrets.token_urlsafe(16),
        typed=given or {},
        refused=refused,
    )


def _can_be(one: Transition) -> bool:
    """Whether a run can probably go on from there; forking says for certain."""
    return one.checkpoint_id is not None and bool(set(one.next) - {"planner", "finalizer", "compensator"})
