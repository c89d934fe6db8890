"""One run: where it stands, what happened to it, and what can be done with it.

Invariant: a page shows a stretch of the run, with links to what was before and after it; what it costs and how big it
is does not grow with the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gatepost.checkpointing.orders import Order
from gatepost.service.http.caller import Caller, InHouse
from gatepost.service.http.events import stamp_of
from gatepost.service.http.house import House
from gatepost.service.http.operating import ordered, released
from gatepost.service.http.problem import problem_of
from gatepost.service.http.reading import run_of, why_of
from gatepost.service.pages.drawing import Drawing, Node, drawing
from gatepost.service.pages.render import page
from gatepost.service.pages.visitor import Visitor, form_of
from gatepost.service.timeline import timeline
from gatepost.state.errors import CallerMistake, UnknownRun
from gatepost.state.status import RUN_FINAL, RUN_PARKED, STEP_SETTLED, RunStatus
from gatepost.state.transition import Transition

router = APIRouter(include_in_schema=False)
STRETCH = 50
"""Transitions of one page."""
MOST_BOXES = 60
ORDERS = ("hold", "cancel", "release")
_ENDS = {"__start__": "start", "__end__": "end"}


@router.get("/runs/{run_id}")
async def run(
    run_id: str, house: InHouse, visitor: Visitor, before: Annotated[int | None, Query(ge=1, le=2**62)] = None
) -> HTMLResponse:
    """One run: its newest stretch, or the one before a transition."""
    return await run_page(house, visitor, run_id, before=before)


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
        return await run_page(house, visitor, run_id, refused=problem_of(error).detail)
    return RedirectResponse(f"/runs/{run_id}", 303)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a run's story."""

    story: list[Transition]
    earlier: Transition | None
    """The transition before it."""
    newest: bool

    @property
    def older(self) -> int | None:
        """Where the stretch before this one ends."""
        return self.story[0].seq if self.earlier is not None else None

    def newer(self, last: int) -> int | None:
        """Where the stretch after this one ends, if there is one."""
        if self.newest or not self.story or self.story[-1].seq >= last:
            return None
        return min(self.story[-1].seq + STRETCH, last) + 1


async def _stretch(house: House, run_id: str, before: int | None) -> Stretch:
    found = await house.saver.history.page(run_id, before=before, limit=STRETCH + 1)
    earlier, story = (found[0], found[1:]) if len(found) > STRETCH else (None, found)
    return Stretch(story, earlier, newest=before is None)


async def run_page(
    house: House, visitor: Caller, run_id: str, *, before: int | None = None, refused: str = ""
) -> HTMLResponse:
    """The page of a run."""
    row = await run_of(house, run_id, visitor.tenant)
    shown = await _stretch(house, run_id, before)
    story = shown.story
    until = None if shown.newest or not story else story[-1].at
    effects = await house.overview.effects(run_id, since=shown.earlier.at if shown.earlier else None, until=until)
    status = RunStatus(row["status"])
    ended = row["finished_at"] or row["now"]
    planned = await house.overview.planned(run_id, row["plan_version"]) if row["plan_version"] else 0
    live = not row["finished_at"] and shown.newest
    return await page(
        house,
        visitor,
        "one_run.html",
        status=422 if refused else 200,
        stamp=stamp_of(row),
        refresh=f"/v1/runs/{run_id}/events?after={row['seq']}" if live else "",
        run=row,
        why=await why_of(house, run_id, visitor.tenant),
        approvals=await house.overview.asked(run_id, visitor.tenant),
        artifacts=await house.overview.artifacts(run_id),
        effects=effects[::-1],
        timeline=timeline(story, effects=effects, until=until or ended),
        story=story,
        older=shown.older,
        newer=shown.newer(row["seq"]),
        newest=shown.newest,
        progress=_progress(await house.overview.progress(run_id), planned),
        plan=await _plan(house, row) if 0 < planned <= MOST_BOXES else None,
        planned=planned,
        graph=await _graph(house, row, story if shown.newest else []),
        forks=await house.overview.forks(run_id, visitor.tenant),
        may={
            "hold": status not in RUN_FINAL | RUN_PARKED,
            "release": status in RUN_PARKED,
            "cancel": status not in RUN_FINAL,
        },
        refused=refused,
    )


def _progress(moved: Mapping[str, int], planned: int) -> dict[str, Any]:
    """How far a run is: steps that came to an end, of those that are planned."""
    settled = sum(number for status, number in moved.items() if status in STEP_SETTLED)
    return {"settled": settled, "all": max(planned, sum(moved.values())), "counted": moved}


async def _plan(house: House, row: Mapping[str, Any]) -> Drawing:
    plan = await house.saver.history.plan(row["run_id"], row["plan_version"])
    stands = {step["step_id"]: str(step["status"]) for step in await house.overview.steps(row["run_id"])}
    nodes = [
        Node(step.id, step.id, stands.get(step.id, "pending"), note=step.tool, link=f"#step-{step.id}")
        for step in plan.steps
    ]
    return drawing(nodes, ((need, step.id) for step in plan.steps for need in step.needs))


async def _graph(house: House, row: Mapping[str, Any], story: list[Transition]) -> Drawing:
    visits = await house.overview.visits(row["run_id"])
    following = set(story[-1].next) if story else set()
    shown = house.graph.get_graph()
    nodes = [
        Node(
            name,
            _ENDS.get(name, name),
            "here" if name in following else "seen" if visits.get(name) else "idle",
            note=f"×{visits[name]:,}" if visits.get(name) else "",
        )
        for name in shown.nodes
    ]
    return drawing(nodes, ((edge.source, edge.target) for edge in shown.edges))
