"""The replay of a run from its page: whether today's code goes the way that is on record, and if not, where and why.

Invariant: nothing is called and nothing is written; the code of a workflow runs in a process of its own (`Replays`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from gatepost.service.http.caller import Caller, InHouse
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused, problem_of
from gatepost.service.http.reading import run_of
from gatepost.service.pages.render import page, sentence
from gatepost.service.pages.visitor import Visitor, form_of
from gatepost.state.errors import CallerMistake, UnknownRun
from gatepost.state.report import Cause

router = APIRouter(include_in_schema=False)
AROUND = 6
"""Transitions that are shown before and after the one that differs."""
MOST_DIFFERENCES = 40
_DIGITS = 10
_FIRST = ("next", "status", "reason", "steps", "plan", "approvals", "taken", "artifacts")
SENTENCES: Mapping[str, str] = {
    Cause.INPUT: "The run would start from something else: today's workflow reads its input otherwise.",
    Cause.PROMPT: "A model would be asked something else, so what it answered then is no answer to it.",
    Cause.ROUTING: "Today's code decides otherwise what comes next.",
    Cause.RENAME: "A step or a tool has another name today.",
    Cause.POLICY: "Today's policy judges otherwise. Under the policy of then, the run goes the same way.",
    Cause.CONFIGURATION: "A workflow or a tool declares something else today: retries, undoing, reactions.",
    Cause.DATA_SHAPE: "A type has changed: it no longer takes what is on record, or reads it otherwise.",
    Cause.WALL_CLOCK: "The code looks at the clock by itself, so it decides otherwise at another time.",
    Cause.MISSING_RECORD: "Today's code asks for something that nobody wrote down then.",
    Cause.UNEXPLAINED: "Nothing on record differs: the code depends on chance, a file, or its surroundings.",
}


@router.get("/runs/{run_id}/replay")
async def ask(run_id: str, house: InHouse, visitor: Visitor) -> HTMLResponse:
    """What a replay is, and the button that starts one."""
    return await _page(house, visitor, await run_of(house, run_id, visitor.tenant))


@router.post("/runs/{run_id}/replay")
async def replay(run_id: str, request: Request, house: InHouse, visitor: Visitor) -> HTMLResponse:
    """Replay it, and say what came out."""
    row = await run_of(house, run_id, visitor.tenant)
    given = await form_of(request)
    try:
        options = {"begin": _number(given, "begin") or 1, "until": _number(given, "until")}
        report = await house.replays.verdict(row, key_id=visitor.key.key_id, clocks=True, **options)
    except UnknownRun:
        raise
    except (Refused, CallerMistake) as error:
        problem = problem_of(error)
        said = " ".join(text for text in (problem.title + ".", sentence(problem.detail), problem.next) if text)
        return await _page(house, visitor, row, refused=said, code=problem.status, given=given)
    return await _page(house, visitor, row, report=report, given=given)


def _number(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal() or len(text) > _DIGITS or not 0 < int(text) < 2**31:
        raise CallerMistake(f"{text!r:.40} is no transition's number.")
    return int(text)


async def _page(
    house: House,
    visitor: Caller,
    row: dict[str, Any],
    *,
    report: dict[str, Any] | None = None,
    refused: str = "",
    code: int = 200,
    given: Mapping[str, str] | None = None,
) -> HTMLResponse:
    found = report["divergence"] if report else None
    near = []
    if found:
        near = await house.saver.history.page(row["run_id"], before=found["seq"] + AROUND + 1, limit=2 * AROUND + 1)
        found["differences"] = sorted(found["differences"], key=_place)[:MOST_DIFFERENCES]
    return await page(
        house,
        visitor,
        "replay.html",
        status=code,
        run=row,
        report=report,
        found=found,
        sentence=SENTENCES.get(found["cause"], "") if found else "",
        near=near,
        refused=refused,
        given=given or {},
    )


def _place(one: Mapping[str, Any]) -> tuple[int, str]:
    name = one["path"].partition("/")[0]
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST)), one["path"]
