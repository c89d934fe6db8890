"""The stepper without a kernel: HTML that opens and closes by itself, for nbconvert, GitHub, and where no widget is.

Invariant: it is built as elements and never as text, so whatever a run holds is text in it; there is no script, no
address and no attribute in it that a run's content could fill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree as ET

from gatepost.service.notebook import shown
from gatepost.service.terminal import safe
from gatepost.state.transition import Transition

STEPS = 25
"""Transitions that are in it, at most; of a longer run the newest."""
_DEEP = 6
_MOST = 25
_LETTERS = 400
_LINES = 5_000
"""Of states, in all of it; the newest come first. A notebook is to stay a file that can be mailed."""


def page(
    head: Mapping[str, Any], story: Sequence[Transition], states: Mapping[int, Mapping[str, Any]], *, group: str
) -> str:
    """The HTML of some transitions.

    Args:
        head: the run, as `Reading.head` says.
        story: the transitions, in order.
        states: those that were kept, by number; one before the first transition serves its comparison.
        group: of the parts of which one is open at a time; different for each stepper on a page.
    """
    root = ET.Element("div", {"class": "gatepost-stepper"})
    _add(root, "style", files("gatepost.service").joinpath("notebook", "stepper.css").read_text(encoding="utf-8"))
    title = _add(root, "p")
    _add(title, "strong", head["run"])
    facts = [f"{head['workflow']}: {head['goal']}", head["status"], *filter(None, [head["forked"]])]
    _add(title, "span", f" {' · '.join(facts)}")
    if story and story[0].seq > head["first"]:
        _add(root, "p", f"The newest {len(story)} of its transitions; the others are asked of a running notebook.")
    drawn = _trees(story, states)
    for one in story:
        _transition(root, one, states, drawn.get(one.seq), group=group, opened=one is story[-1])
    return ET.tostring(root, encoding="unicode", method="html")


def _trees(story: Sequence[Transition], states: Mapping[int, Mapping[str, Any]]) -> dict[int, shown.Node]:
    """The states that there is room for, newest first."""
    found: dict[int, shown.Node] = {}
    left = _LINES
    for one in reversed(story):
        if one.seq in states and left > 0:
            tree = shown.tree("state", states[one.seq], deep=_DEEP, most=_MOST, letters=_LETTERS)
            if (left := left - _lines(tree)) >= 0 or not found:
                found[one.seq] = tree
    return found


def _lines(node: shown.Node) -> int:
    return 1 + sum(_lines(member) for member in node.get("members") or ())


def _transition(
    root: ET.Element,
    one: Transition,
    states: Mapping[int, Mapping[str, Any]],
    tree: shown.Node | None,
    *,
    group: str,
    opened: bool,
) -> None:
    entry = shown.entry(one)
    box = _add(root, "details", **{"name": group, **({"open": "open"} if opened else {})})
    _add(box, "summary", f"#{entry['seq']} {entry['headline']}")
    _add(box, "p", f"{entry['at']} · next: {', '.join(entry['next']) or 'nothing'} · {entry['status']}")
    if entry["details"]:
        things = _add(box, "ul")
        for thing in entry["details"]:
            _add(things, "li", f"{thing['kind']} {thing['text']}")
    if one.seq not in states:
        _add(box, "p", "No state was kept here.")
        return
    _changed(box, one.seq, states)
    if tree is None:
        _add(box, "p", "Its state is asked of a running notebook: there is no room for all of them here.")
    else:
        _branch(box, tree)


def _changed(box: ET.Element, seq: int, states: Mapping[int, Mapping[str, Any]]) -> None:
    earlier = max((other for other in states if other < seq), default=None)
    told = shown.changes({} if earlier is None else states[earlier], states[seq])
    part = _add(box, "details")
    since = "nothing" if earlier is None else f"#{earlier}"
    _add(part, "summary", f"{len(told['changes']) + told['more']} changes since {since}")
    table = _add(part, "table")
    for change in told["changes"]:
        row = _add(table, "tr")
        for side in ("path", "before", "after"):
            _add(row, "td", change[side])
    if told["more"]:
        _add(part, "p", f"… {told['more']:,} more")


def _branch(box: ET.Element, node: shown.Node) -> None:
    if not node.get("members"):
        _add(box, "div", f"{node['name']}: {node['text']}")
        return
    part = _add(box, "details")
    _add(part, "summary", f"{node['name']}: {node['text']}")
    for member in node["members"]:
        _branch(part, member)
    if node["more"]:
        _add(part, "div", f"… {node['more']:,} more")


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = None if text is None else safe(text)
    return element
