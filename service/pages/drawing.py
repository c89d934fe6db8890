"""Drawings of graphs: boxes in layers from left to right, lines between them. Our own SVG, and no more.

Pure. Layers are longest paths (Sugiyama's method without its refinements); edges that lead back are
drawn below. The boxes of a layer stand in the order of what leads to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 136, 42
GAP_X, GAP_Y = 44, 18
MARGIN = 12
LONGEST_NAME = 17


@dataclass(frozen=True, slots=True)
class Node:
    """What is to be drawn."""

    id: str
    name: str
    status: str
    note: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """A node in its place."""

    node: Node
    x: int
    y: int

    @property
    def short(self) -> str:
        """A name that fits."""
        name = self.node.name
        return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


@dataclass(frozen=True, slots=True)
class Line:
    """An edge in its place."""

    path: str
    both: bool
    """Whether it leads back as well."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn, in pixels."""

    width: int
    height: int
    boxes: list[Box]
    lines: list[Line]


def drawing(nodes: Sequence[Node], edges: Iterable[tuple[str, str]]) -> Drawing:
    """Place nodes and edges."""
    known = {node.id: node for node in nodes}
    joined = list(dict.fromkeys((one, two) for one, two in edges if one in known and two in known and one != two))
    forward = _forward(list(known), joined)
    layers = _layers(list(known), forward)
    boxes = _placed(known, layers, forward)
    lines = []
    for one, two in joined:
        if (one, two) in forward:
            lines.append(Line(_path(boxes[one], boxes[two]), both=(two, one) in joined))
        elif (two, one) not in forward:
            lines.append(Line(_back(boxes[one], boxes[two]), both=False))
    width = max((box.x for box in boxes.values()), default=0) + WIDTH + MARGIN
    height = max((box.y for box in boxes.values()), default=0) + HEIGHT + MARGIN
    bent = any("Q" in line.path for line in lines)
    return Drawing(width, height + (GAP_Y if bent else 0), list(boxes.values()), lines)


def _forward(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges that do not lead back, seen from where one begins (a walk in depth, without recursion)."""
    after: dict[str, list[str]] = {one: [] for one in ids}
    for source, target in edges:
        after[source].append(target)
    found: set[tuple[str, str]] = set()
    state: dict[str, int] = {}
    for root in ids:
        stack = [(root, iter(after[root]))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            one, rest = stack[-1]
            two = next(rest, None)
            if two is None:
                state[one] = 2
                stack.pop()
            elif state.get(two) != 1:
                found.add((one, two))
                if two not in state:
                    state[two] = 1
                    stack.append((two, iter(after[two])))
    return found


def _layers(ids: Sequence[str], forward: set[tuple[str, str]]) -> Mapping[str, int]:
    depth = dict.fromkeys(ids, 0)
    for _ in ids:
        moved = False
        for one, two in forward:
            if depth[two] <= depth[one]:
                depth[two], moved = depth[one] + 1, True
        if not moved:
            break
    return depth


def _placed(known: Mapping[str, Node], layers: Mapping[str, int], forward: set[tuple[str, str]]) -> dict[str, Box]:
    before: dict[str, list[str]] = {one: [] for one in known}
    for one, two in forward:
        before[two].append(one)
    rows: dict[int, list[str]] = {}
    for one in known:
        rows.setdefault(layers[one], []).append(one)
    tallest = max((len(row) for row in rows.values()), default=0)
    places: dict[str, float] = {}
    boxes: dict[str, Box] = {}
    order = {one: number for number, one in enumerate(known)}
    for layer in sorted(rows):
        row = sorted(rows[layer], key=lambda one: (_middle(before[one], places), order[one]))
        top = (tallest - len(row)) / 2
        for number, one in enumerate(row):
            places[one] = top + number
            x = MARGIN + layer * (WIDTH + GAP_X)
            boxes[one] = Box(known[one], x, round(MARGIN + places[one] * (HEIGHT + GAP_Y)))
    return {one: boxes[one] for one in known}


def _middle(before: Sequence[str], places: Mapping[str, float]) -> float:
    found = [places[one] for one in before if one in places]
    return sum(found) / len(found) if found else 0.0


def _path(one: Box, two: Box) -> str:
    left, right = one.x + WIDTH, two.x
    from_y, to_y, bend = one.y + HEIGHT // 2, two.y + HEIGHT // 2, (right - left) // 2
    return f"M{left} {from_y} C{left + bend} {from_y} {right - bend} {to_y} {right} {to_y}"


def _back(one: Box, two: Box) -> str:
    from_x, to_x, low = one.x + WIDTH // 2, two.x + WIDTH // 2, max(one.y, two.y) + HEIGHT
    return f"M{from_x} {one.y + HEIGHT} Q{(from_x + to_x) // 2} {low + 2 * GAP_Y} {to_x} {two.y + HEIGHT}"
