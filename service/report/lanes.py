"""The timeline: a lane for each node, a bar for each transition, and the waits before them. Pure.

A person takes hours where a node takes milliseconds, so widths are logarithms; the titles say the true lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gatepost.service.told import headline, lasted
from gatepost.state.transition import Transition

WAITS = "waits"
_FINEST_SECONDS = 0.005
_WHOLE = 100.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time; places are percent of the width."""

    left: float
    width: float
    kind: str
    """`wait`, `work`, or the cause where it is a special one: `person`, `timer`, `operator`, `takeover`."""
    seq: int
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A node, or the waits."""

    name: str
    bars: tuple[Bar, ...]


def lanes(story: Sequence[Transition]) -> list[Lane]:
    """Place transitions, in the order in which their nodes first ran; the waits come last."""
    whole = sum(_length(one.waited) * bool(one.waited) + _length(one.seconds) for one in story) or 1.0
    scale, place = _WHOLE / whole, 0.0
    found: dict[str, list[Bar]] = {}
    waits: list[Bar] = []
    for one in story:
        if one.waited:
            width = _length(one.waited) * scale
            waits.append(_bar(place, width, "wait", one, f"#{one.seq} waited {lasted(one.waited)}: {one.cause}"))
            place += width
        width = _length(one.seconds) * scale
        kind = one.cause.kind if one.cause.kind not in ("owner", "start") else "work"
        for node in dict.fromkeys(one.nodes or (one.source,)):
            found.setdefault(node, []).append(_bar(place, width, kind, one, f"#{one.seq} {headline(one)}"))
        place += width
    drawn = [Lane(name, tuple(bars)) for name, bars in found.items()]
    return [*drawn, Lane(WAITS, tuple(waits))] if waits else drawn


def _bar(left: float, width: float, kind: str, one: Transition, title: str) -> Bar:
    return Bar(round(left, 3), round(width, 3), kind, one.seq, title)


def _length(seconds: float) -> float:
    return math.log1p(seconds / _FINEST_SECONDS) + 0.3
