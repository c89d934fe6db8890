"""Operating on a run from its page: recover it, try a step again, leave one out; each shown before it is done.

Invariant: a preview does nothing; what is done is written down with who did it and why, and whoever moves the run next
acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gatepost.nodes.instructions import SKIPPABLE
from gatepost.service.http.caller import Caller, InHouse
from gatepost.service.http.house import House
from gatepost.service.http.problem import problem_of
from gatepost.service.http.reading import run_of, why_of
from gatepost.service.pages.render import page
from gatepost.service.pages.visitor import Visitor, form_of
from gatepost.state.errors import CallerMistake, UnknownRun
from gatepost.state.recovery import STANDS, Mode
from gatepost.state.status import RunStatus, StepStatus

router = APIRouter(include_in_schema=False)
MOST_STEPS = 40
MODES: Mapping[Mode, tuple[str, str]] = {
    Mode.RESUME: ("Let it go on", "It goes on where it stands. What failed for certain is tried again, as a new call."),
    Mode.ROLLBACK: ("Undo what it did", "What succeeded is undone, the last first; then the run ends."),
    Mode.ESCALATE: ("Ask a person", "A person is asked about each step that failed: try it again, or let it fail."),
    Mode.ABANDON: ("Leave it", "It ends where it is. Nothing is undone."),
}
_AGAIN = frozenset({StepStatus.FAILED, StepStatus.COMPENSATION_FAILED})
Text = Annotated[str, Query(max_length=40)]


@router.get("/runs/{run_id}/operate")
async def ask(run_id: str, house: InHouse, visitor: Visitor, mode: Text = "") -> HTMLResponse:
    """What can be done, and what a way to recover the run would do."""
    visitor.check("operate")
    return await _page(house, visitor, run_id, mode=mode)


@router.post("/runs/{run_id}/operate")
async def operate(run_id: str, request: Request, house: InHouse, visitor: Visitor) -> Response:
    """Do it."""
    visitor.check("operate")
    given = await form_of(request)
    await run_of(house, run_id, visitor.tenant)
    try:
        await _done(house, visitor, run_id, given)
    except UnknownRun:
        raise
    except CallerMistake as error:
        return await _page(house, visitor, run_id, mode=given.get("mode", ""), refused=_said(error), given=given)
    return RedirectResponse(f"/runs/{run_id}", 303)


async def _done(house: House, visitor: Caller, run_id: str, given: Mapping[str, str]) -> None:
    why = given.get("reason", "").strip()[:2000]
    if not why:
        raise CallerMistake("say why; it is on record with your name.")
    hands = house.graph.hands(visitor.name, context=visitor.context)
    match given.get("act"):
        case "recover" if given.get("mode") in set(Mode):
            await hands.recover(run_id, Mode(given["mode"]), why=why)
        case "retry":
            await hands.retry(run_id, given.get("step", "")[:200], why=why)
        case "skip":
            await hands.skip(run_id, given.get("step", "")[:200], why=why)
        case _:
            raise CallerMistake("a run can be recovered, and a step tried again or left out.")


async def _page(
    house: House,
    visitor: Caller,
    run_id: str,
    *,
    mode: str = "",
    refused: str = "",
    given: Mapping[str, str] | None = None,
) -> HTMLResponse:
    row = await run_of(house, run_id, visitor.tenant)
    status, outlook = RunStatus(row["status"]), None
    if mode in set(Mode):
        try:
            outlook = await house.graph.hands(visitor.name, context=visitor.context).outlook(run_id, Mode(mode))
        except CallerMistake as error:
            refused = refused or _said(error)
    steps = await house.overview.steps(run_id)
    acts = [(step, _acts(StepStatus(step["status"]))) for step in steps]
    known = row["workflow"] in house.graph.equipment.catalog.workflows
    return await page(
        house,
        visitor,
        "operate.html",
        status=422 if refused else 200,
        run=row,
        why=await why_of(house, run_id, visitor.tenant),
        modes=[(one.value, *said) for one, said in MODES.items() if status in STANDS[one]] if known else [],
        outlook=outlook,
        outlook_words=MODES[outlook.mode] if outlook else None,
        steps=[(step, found) for step, found in acts if found][:MOST_STEPS] if known else [],
        known=known,
        refused=refused,
        given=given or {},
    )


def _acts(status: StepStatus) -> list[tuple[str, str]]:
    again = [("retry", "Try again")] if status in _AGAIN else []
    return [*again, *([("skip", "Leave out")] if status in SKIPPABLE else [])]


def _said(error: CallerMistake) -> Any:
    """The message without commands of a terminal."""
    return problem_of(error).detail
