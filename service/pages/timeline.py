"""The timeline: a lane for each step, its bars and marks placed on an axis on which waits are drawn shorter.

Pure. A person takes hours where a step takes milliseconds, so the axis is not even: each stretch between
two moments gets the logarithm of its length. The marks below say how long it was.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gatepost.service.pages.render import length
from gatepost.state.status import STEP_SETTLED, StepStatus

LANES = 120
"""More are not drawn; the newest are."""
TICKS = 6
FINEST_SECONDS = 0.02
NARROWEST = 0.4
"""Percent: what is shorter is still seen."""
RUN = "the run"


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time in which something stood so. Places are percent of the width."""

    left: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment."""

    left: float
    kind: str
    title: str


@dataclass
class Lane:
    """A step."""

    name: str
    tool: str = ""
    status: str = ""
    note: str = ""
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What is drawn."""

    lanes: list[Lane]
    ticks: list[tuple[float, str]]
    left_out: int
    """Lanes that are not drawn."""


def timeline(
    *,
    records: Sequence[Mapping[str, Any]],
    effects: Iterable[Mapping[str, Any]],
    owners: Sequence[Mapping[str, Any]],
    began: datetime,
    until: datetime,
) -> Timeline:
    """Place what happened.

    Args:
        records: of steps, in order (`Overview.lanes`).
        effects: the ledger of the run.
        owners: the first transition under each owner.
        began: when the run was written down.
        until: when it ended, or now.
    """
    by_step: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        by_step.setdefault(record["step_id"], []).append(record)
    names = list(by_step)[-LANES:]
    made = [one for one in effects if one["step_id"] in by_step]
    axis = _Axis([began, until, *_moments(records, made, owners)])
    lanes = [_owners_lane(owners, axis, until)] if owners else []
    lanes.extend(
        _lane(name, by_step[name], [one for one in made if one["step_id"] == name], axis, until) for name in names
    )
    return Timeline(lanes, axis.ticks(), len(by_step) - len(names))


class _Axis:
    def __init__(self, moments: Iterable[datetime]) -> None:
        self._moments = sorted(set(moments))
        spans = [
            (later - sooner).total_seconds() for sooner, later in zip(self._moments, self._moments[1:], strict=False)
        ]
        places = [0.0]
        for span in spans:
            places.append(places[-1] + math.log1p(span / FINEST_SECONDS) + 0.05)
        whole = places[-1] or 1.0
        self._places = [100 * place / whole for place in places]

    def at(self, moment: datetime) -> float:
        index = min(bisect_left(self._moments, moment), len(self._places) - 1)
        return round(self._places[index], 2)

    def ticks(self) -> list[tuple[float, str]]:
        found: list[tuple[float, str]] = []
        for moment, place in zip(self._moments, self._places, strict=True):
            text = f"+{length(moment - self._moments[0])}"
            if not found or (place - found[-1][0] >= 100 / TICKS and text != found[-1][1]):
                found.append((round(place, 2), text))
        return [(place, text) for place, text in found if place < 100 - 100 / TICKS / 2]


def _moments(
    records: Iterable[Mapping[str, Any]], effects: Iterable[Mapping[str, Any]], owners: Iterable[Mapping[str, Any]]
) -> Iterable[datetime]:
    for record in records:
        yield record["at"]
    for effect in effects:
        yield effect["intended_at"]
        if effect["finished_at"]:
            yield effect["finished_at"]
    for owner in owners:
        yield owner["at"]


def _lane(
    name: str,
    records: Sequence[Mapping[str, Any]],
    effects: Sequence[Mapping[str, Any]],
    axis: _Axis,
    until: datetime,
) -> Lane:
    last = records[-1]
    lane = Lane(name, tool=last["tool"] or "", status=str(last["status"]), note=last["label"] or last["reason"] or "")
    for record, following in zip(records, [*records[1:], None], strict=True):
        status = StepStatus(record["status"])
        if status in STEP_SETTLED:
            why = f": {record['reason']}" if record["reason"] else ""
            lane.marks.append(Mark(axis.at(record["at"]), status.value, f"{status.value}{why}"))
        else:
            end = following["at"] if following else until
            lane.bars.append(_bar(axis, record["at"], end, status.value, record["reason"]))
    for effect in effects:
        lane.marks.append(_receipt(effect, axis))
    return lane


def _bar(axis: _Axis, start: datetime, end: datetime, kind: str, why: str | None) -> Bar:
    left = axis.at(start)
    said = f"{kind.replace('_', ' ')} for {length(end - start)}" + (f": {why}" if why else "")
    return Bar(left, round(max(axis.at(end) - left, NARROWEST), 2), kind, said)


def _receipt(effect: Mapping[str, Any], axis: _Axis) -> Mark:
    undo = " (undo)" if effect["purpose"] == "compensate" else ""
    tries = f", {effect['attempts']} attempts" if effect["attempts"] > 1 else ""
    kind = "retried" if effect["attempts"] > 1 else "effect"
    moment = effect["finished_at"] or effect["intended_at"]
    return Mark(axis.at(moment), kind, f"{effect['tool']}{undo} {effect['state']}{tries}, under {effect['key']}")


def _owners_lane(owners: Sequence[Mapping[str, Any]], axis: _Axis, until: datetime) -> Lane:
    lane = Lane(RUN, note=f"{len(owners)} {'entry' if len(owners) == 1 else 'entries'} by owners")
    for number, (owner, following) in enumerate(zip(owners, [*owners[1:], None], strict=True)):
        left, right = axis.at(owner["at"]), axis.at(following["at"] if following else until)
        title = f"owner {owner['epoch']}, from transition {owner['seq']}"
        lane.bars.append(Bar(left, round(max(right - left, NARROWEST), 2), f"owner-{number % 2}", title))
    return lane
