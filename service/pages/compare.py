"""Two runs side by side: a fork and what it was forked from, or any two of a tenant.

Invariant: what is compared is what became of steps, in order, and not how a run got there: a fork passes the gate once
more, which is no difference. After the first difference whatever differs follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from gatepost.service.http.caller import InHouse
from gatepost.service.http.events import stamp_of
from gatepost.service.http.house import House
from gatepost.service.http.reading import run_of
from gatepost.service.pages.render import page
from gatepost.service.pages.states import channels_of_transition, told_apart
from gatepost.service.pages.visitor import Visitor
from gatepost.state.errors import UnknownRun
from gatepost.state.status import STEP_SETTLED, StepStatus
from gatepost.state.transition import StepMove, Transition

router = APIRouter(include_in_schema=False)
LONGEST = 400
"""Transitions of each run that are compared; of longer ones the first after the fork."""
MOST_ROWS = 80
MOST_CHANGES = 80
MOST_STEPS = 60
_TOLD = STEP_SETTLED | {StepStatus.BLOCKED, StepStatus.WAITING, StepStatus.IN_DOUBT}
"""What a person calls an event of a step; the rest is on the way there."""
_OF_A_RUN = ("run_id", "frontier", "counters", "signals", "approval", "approvals", "schema_version", "planning")
_OF_A_STEP = ("status", "tool", "label", "output", "failure")
"""What two runs can have in common of a step; keys, times and approvals are always of one run."""
Text = Annotated[str, Query(max_length=120)]


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a step."""

    seq: int
    step: str
    to: str
    said: str

    @property
    def same(self) -> tuple[str, str, str]:
        """What an event of the other run must be to be the same."""
        return self.step, self.to, self.said


@dataclass(frozen=True, slots=True)
class Row:
    """One event of each."""

    left: Event | None
    right: Event | None
    kind: str
    """`same`, `first` (the first difference), `after` (differs, which follows from it)."""


@router.get("/runs/{run_id}/compare")
async def compare(
    run_id: str, house: InHouse, visitor: Visitor, other: Annotated[Text, Query(alias="with")] = ""
) -> HTMLResponse:
    """A run beside the one it was forked from, or beside any other."""
    right = await run_of(house, run_id, visitor.tenant)
    named = other.strip() or right["parent_run_id"] or ""
    left, refused = None, ""
    if named:
        try:
            left = await run_of(house, named, visitor.tenant)
        except UnknownRun as error:
            refused = str(error)
    is_fork = left is not None and right["parent_run_id"] == left["run_id"]
    found = await _compared(house, left, right, since=right["parent_seq"] if is_fork else -1) if left else {}
    return await page(
        house,
        visitor,
        "compare.html",
        status=404 if refused else 200,
        refresh="" if right["finished_at"] or left is None else f"/v1/runs/{run_id}/events?after={right['seq']}",
        stamp=stamp_of(right),
        run=right,
        left=left,
        is_fork=is_fork,
        refused=refused,
        named=named,
        **found,
    )


async def _compared(house: House, left: dict[str, Any], right: dict[str, Any], *, since: int) -> dict[str, Any]:
    stories = [await house.saver.history.page(one["run_id"], after=since, limit=LONGEST) for one in (left, right)]
    rows, more = side_by_side(*map(events_of, stories), going=not right["finished_at"])
    names = list(dict.fromkeys(move.step for story in stories for one in story for move in one.steps))[:MOST_STEPS]
    ends = [await _end(house, one, names) for one in (left, right)]
    changes = told_apart(*({**end, "steps": _in_common(end["steps"])} for end in ends))
    ledgers = [await _ledger(house, one) for one in (left, right)]
    marked = {row.kind for row in rows}
    first = next((row for row in rows if row.kind == "first"), None)
    return {
        "rows": rows,
        "more_rows": more,
        "first": first,
        "identical": "first" not in marked,
        "cut": any(len(story) == LONGEST for story in stories),
        "changes": changes[:MOST_CHANGES],
        "more_changes": max(0, len(changes) - MOST_CHANGES),
        "effects": [
            _effect(step, [end["steps"].get(step, {}) for end in ends], [ledger.get(step) for ledger in ledgers])
            for step in names
            if any(step in ledger for ledger in ledgers) or _stands_in(ends[1]["steps"].get(step, {}))
        ],
        "changed": await _set(house, right),
    }


def events_of(story: list[Transition]) -> list[Event]:
    """What became of steps in a story."""
    return [_event(one.seq, move) for one in story for move in one.steps if StepStatus(move.to) in _TOLD]


def _event(seq: int, move: StepMove) -> Event:
    failed = (move.failure or {}).get("message", "") if move.to == StepStatus.FAILED else ""
    return Event(seq, move.step, move.to, failed or (move.label if move.to == StepStatus.SUCCEEDED else ""))


def side_by_side(left: list[Event], right: list[Event], *, going: bool = False) -> tuple[list[Row], int]:
    """Events beside each other, and how many more there are. Where the right run still goes on, what is missing there
    is not there yet, which is no difference.
    """
    rows: list[Row] = []
    apart = False
    for at in range(max(len(left), len(right))):
        one = left[at] if at < len(left) else None
        two = right[at] if at < len(right) else None
        if one and two and one.same == two.same:
            kind = "same" if not apart else "after"
        elif two is None and going and not apart:
            kind = "yet"
        else:
            kind, apart = ("after" if apart else "first"), True
        rows.append(Row(one, two, kind))
    return rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS)


async def _end(house: House, row: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """How a run stands now, without what is always of one run only."""
    last = await house.saver.history.page(row["run_id"], limit=1)
    channels = await channels_of_transition(house, row["run_id"], last[0]) if last else None
    stood = await house.overview.stood(row["run_id"], names, seq=2**62)
    rest = {name: value for name, value in (channels or {}).items() if name not in _OF_A_RUN}
    return {**rest, "status": str(row["status"]), "steps": stood}


def _in_common(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What two runs can have in common of their steps."""
    return {step: {name: record.get(name) for name in _OF_A_STEP} for step, record in steps.items()}


async def _ledger(house: House, row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["step_id"]: one for one in await house.overview.effects(row["run_id"], since=None, until=None)}


def _stands_in(record: Mapping[str, Any]) -> str:
    """What a fork did instead of a call, in a word; empty where it made the call, or made none."""
    reason, failure = record.get("reason") or "", (record.get("failure") or {}).get("message", "")
    if reason.startswith("inherited from run"):
        return "reused"
    if reason.startswith("dry run"):
        return "dry run"
    return "not called" if failure.startswith("not called in this fork") else ""


def _effect(step: str, records: list[Mapping[str, Any]], ledgers: list[Mapping[str, Any] | None]) -> dict[str, Any]:
    instead = _stands_in(records[1])
    return {
        "step": step,
        "left": ledgers[0],
        "right": ledgers[1],
        "word": instead or ("fired" if ledgers[1] else "not made" if ledgers[0] else ""),
        "why": (records[1].get("reason") or (records[1].get("failure") or {}).get("message", "")) if instead else "",
    }


async def _set(house: House, row: Mapping[str, Any]) -> str:
    """What was set when it was forked, as it was written down."""
    if row["parent_run_id"] is None:
        return ""
    first = await house.saver.history.transitions(row["run_id"], limit=1)
    return str(first[0]["reason"]) if first and first[0]["source"] == "fork" else ""
