"""The timeline of a run: the run itself, a lane for each node and for each step, on one axis. Pure.

A person takes hours where a node takes milliseconds, so the axis is not even: each stretch between two moments gets
the logarithm of its length, and titles say how long it was. Pages and reports draw the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any, Literal

from gatepost.service.told import headline, lasted
from gatepost.state.status import STEP_SETTLED, StepStatus
from gatepost.state.transition import StepMove, Transition

TICKS = 6
RUN = "the run"
_FINEST_SECONDS = 0.02
_LEAST = 0.05
"""Of an axis' length between two moments, so that what is shorter is still apart."""
_NARROWEST = 0.4
"""Percent: what is shorter is still seen."""
_ORDINARY = ("owner", "start")
_ENTRY = {"input": "start", "START": "start", "__start__": "start"}
"""How LangGraph calls what happens before the first node."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time in which something stood so. Places are percent of the width."""

    left: float
    width: float
    kind: str
    """A step's status; of a node `work`, or the cause of its transition where that is another than going on."""
    title: str
    seq: int
    """The transition that made it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment."""

    left: float
    kind: str
    title: str


@dataclass
class Lane:
    """The run, a node or a step."""

    name: str
    group: Literal["run", "node", "step"]
    status: str = ""
    note: str = ""
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What is drawn."""

    lanes: list[Lane]
    """The run first, then steps, then nodes, each in the order in which they first moved."""
    ticks: list[tuple[float, str]]


def timeline(story: Sequence[Transition], *, effects: Iterable[Mapping[str, Any]], until: datetime) -> Timeline:
    """Place what happened.

    Args:
        story: transitions in order, a whole run or a part of it.
        effects: rows of the ledger; those of other steps are left out.
        until: when the story ends: when the run did, or now.
    """
    if not story:
        return Timeline([], [])
    moves: dict[str, list[tuple[Transition, StepMove]]] = {}
    for one in story:
        for move in one.steps:
            moves.setdefault(move.step, []).append((one, move))
    made = [one for one in effects if one["step_id"] in moves]
    axis = _Axis([until, *_moments(story, made)])
    lanes = [_run(story, axis, until)]
    lanes += [_step(name, moved, axis, story[0], until) for name, moved in moves.items()]
    for lane in lanes[1:]:
        lane.marks += [_receipt(one, axis) for one in made if one["step_id"] == lane.name]
    return Timeline([*lanes, *_nodes(story, axis)], axis.ticks())


class _Axis:
    def __init__(self, moments: Iterable[datetime]) -> None:
        self._moments = sorted(set(moments))
        places = [0.0]
        for sooner, later in pairwise(self._moments):
            places.append(places[-1] + math.log1p((later - sooner).total_seconds() / _FINEST_SECONDS) + _LEAST)
        whole = places[-1] or 1.0
        self._places = [100 * place / whole for place in places]

    def at(self, moment: datetime) -> float:
        index = min(bisect_left(self._moments, moment), len(self._places) - 1)
        return round(self._places[index], 2)

    def bar(self, start: datetime, end: datetime, kind: str, title: str, seq: int) -> Bar:
        left = min(self.at(start), 100 - _NARROWEST)
        return Bar(left, round(max(self.at(end) - left, _NARROWEST), 2), kind, title, seq)

    def ticks(self) -> list[tuple[float, str]]:
        found: list[tuple[float, str]] = []
        for moment, place in zip(self._moments, self._places, strict=True):
            text = f"+{lasted((moment - self._moments[0]).total_seconds())}"
            if not found or (place - found[-1][0] >= 100 / TICKS and text != found[-1][1]):
                found.append((round(place, 2), text))
        return [(place, text) for place, text in found if place < 100 - 100 / TICKS / 2]


def _began(one: Transition) -> datetime:
    return one.at - timedelta(seconds=one.seconds)


def _moments(story: Iterable[Transition], effects: Iterable[Mapping[str, Any]]) -> Iterator[datetime]:
    for one in story:
        yield one.at
        yield _began(one)
        if one.waited:
            yield _began(one) - timedelta(seconds=one.waited)
    for effect in effects:
        yield effect["finished_at"] or effect["intended_at"]


def _run(story: Sequence[Transition], axis: _Axis, until: datetime) -> Lane:
    """Who moved the run, what it waited for, and what was done to it."""
    owned = [list(stretch) for _, stretch in groupby(story, key=lambda one: one.epoch)]
    owners = len([stretch for stretch in owned if stretch[0].source != "fork"])
    lane = Lane(RUN, "run", note=f"{owners} owners" if owners > 1 else "one owner")
    for number, stretch in enumerate(owned):
        end = _began(owned[number + 1][0]) if number + 1 < len(owned) else until
        said = f"owner {stretch[0].epoch}, from transition {stretch[0].seq}: {stretch[0].actor}"
        lane.bars.append(axis.bar(_began(stretch[0]), end, f"owner-{number % 2}", said, stretch[0].seq))
    for one in story:
        if one.waited:
            kind = "waiting" if one.cause.kind == "timer" else "blocked"
            said = f"waited {lasted(one.waited)} until #{one.seq}: {one.cause}"
            lane.bars.append(axis.bar(_began(one) - timedelta(seconds=one.waited), _began(one), kind, said, one.seq))
        if one.source == "fork" or one.cause.kind not in (*_ORDINARY, "timer"):
            kind = "fork" if one.source == "fork" else one.cause.kind
            lane.marks.append(
                Mark(axis.at(_began(one)), kind, f"#{one.seq} {one.reason if kind == 'fork' else one.cause}")
            )
    return lane


def _nodes(story: Sequence[Transition], axis: _Axis) -> list[Lane]:
    found: dict[str, Lane] = {}
    for one in story:
        kind = "work" if one.cause.kind in _ORDINARY else one.cause.kind
        for node in dict.fromkeys(_ENTRY.get(node, node) for node in one.nodes or (one.source,)):
            lane = found.setdefault(node, Lane(node, "node"))
            lane.bars.append(axis.bar(_began(one), one.at, kind, f"#{one.seq} {headline(one)}", one.seq))
    for lane in found.values():
        lane.note = f"{len(lane.bars)} {'visit' if len(lane.bars) == 1 else 'visits'}"
    return list(found.values())


def _step(
    name: str, moved: Sequence[tuple[Transition, StepMove]], axis: _Axis, first: Transition, until: datetime
) -> Lane:
    last = moved[-1][1]
    lane = Lane(name, "step", status=str(last.to), note=last.label or last.reason)
    stood = StepStatus(moved[0][1].was)
    if stood not in STEP_SETTLED | {StepStatus.PENDING}:
        lane.bars.append(_stood(axis, _began(first), moved[0][0].at, stood.value, "", moved[0][0].seq))
    for number, (one, move) in enumerate(moved):
        status = StepStatus(move.to)
        if status in STEP_SETTLED:
            why = f": {move.reason}" if move.reason else ""
            lane.marks.append(Mark(axis.at(one.at), status.value, f"{status.value}{why}"))
        else:
            end = moved[number + 1][0].at if number + 1 < len(moved) else until
            lane.bars.append(_stood(axis, one.at, end, status.value, move.reason, one.seq))
    return lane


def _stood(axis: _Axis, start: datetime, end: datetime, kind: str, why: str, seq: int) -> Bar:
    said = f"{kind.replace('_', ' ')} for {lasted((end - start).total_seconds())}" + (f": {why}" if why else "")
    return axis.bar(start, end, kind, said, seq)


def _receipt(effect: Mapping[str, Any], axis: _Axis) -> Mark:
    undo = " (undo)" if effect["purpose"] == "compensate" else ""
    tries = f", {effect['attempts']} attempts" if effect["attempts"] > 1 else ""
    kind = "retried" if effect["attempts"] > 1 else "effect"
    moment = effect["finished_at"] or effect["intended_at"]
    return Mark(axis.at(moment), kind, f"{effect['tool']}{undo} {effect['state']}{tries}, under {effect['key']}")
