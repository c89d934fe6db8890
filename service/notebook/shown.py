"""What the stepper shows, as plain data: transitions, states as trees, differences. Pure.

Invariant: every text has its hidden characters made visible and every part has a greatest size, so that what a model,
a caller or a provider wrote neither deceives the reader nor drowns the notebook. Whoever draws it draws text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from gatepost.graph.difference import ABSENT, Change, difference
from gatepost.service import told
from gatepost.service.terminal import safe
from gatepost.state.errors import InvalidValue
from gatepost.state.record import Record
from gatepost.state.transition import Transition

MEMBERS = 100
"""Of a list or an object, shown at once."""
CHANGES = 200
LETTERS = 2_000
BRIEF = 200
Node = dict[str, Any]


def entry(one: Transition) -> dict[str, Any]:
    """A transition: `seq, at, headline, nodes, next, status, cause, seconds, kept, details`."""
    return {
        "seq": one.seq,
        "at": one.plain()["at"],
        "headline": safe(told.headline(one)),
        "nodes": [safe(node) for node in one.nodes],
        "next": [safe(node) for node in one.next],
        "status": one.status,
        "reason": clipped(one.reason, LETTERS),
        "cause": clipped(str(one.cause), LETTERS),
        "seconds": one.seconds,
        "kept": one.checkpoint_id is not None,
        "details": [
            {"kind": safe(kind), "text": clipped(text, LETTERS)} for kind, text in islice(told.details(one), MEMBERS)
        ],
    }


def tree(name: str, value: Any, *, deep: int, start: int = 0, most: int = MEMBERS, letters: int = LETTERS) -> Node:
    """A value as a tree to open and close.

    Args:
        name: of the value in what holds it.
        value: plain data, or a record.
        deep: how many levels below it are filled in; what lies deeper is asked for by its path.
        start: the first of its members that is filled in.
        most: how many members of each branch.
        letters: how many of each leaf.

    Returns:
        A leaf `{name, text}`, or a branch `{name, size, text, key, members, more}`; `members` is None where it is not
        filled in, `more` counts those that follow. `key` is what the path to it is made of.
    """
    value = _plain(value)
    node: Node = {"name": safe(name), "key": name}
    if not isinstance(value, dict | list) or not value:
        return {**node, "text": clipped(_told(value), letters)}
    pairs = list(value.items()) if isinstance(value, dict) else [(str(at), one) for at, one in enumerate(value)]
    node = {**node, "size": len(pairs), "text": f"{len(pairs)} {'fields' if isinstance(value, dict) else 'items'}"}
    if deep <= 0:
        return {**node, "members": None, "more": 0}
    chosen = pairs[start : start + most]
    members = [tree(str(key), member, deep=deep - 1, most=most, letters=letters) for key, member in chosen]
    return {**node, "members": members, "more": max(0, len(pairs) - start - len(chosen))}


def part(value: Any, path: Sequence[str]) -> Any:
    """What lies at a path of keys and indexes.

    Raises:
        InvalidValue: nothing does.
    """
    for key in path:
        value = _plain(value)
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise InvalidValue(f"there is no {'/'.join(path)} in this state. Step to it again: the run has gone on.")
    return value


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What differs: `{changes: [{path, before, after}], more}`."""
    found = difference(before, after)
    return {"changes": [_change(one) for one in found[:CHANGES]], "more": max(0, len(found) - CHANGES)}


def clipped(text: str, most: int) -> str:
    """A text with what is hidden in it made visible, or its beginning so and how much of it is left out."""
    return safe(text[:most]) + (f"… ({len(text) - most:,} more characters)" if len(text) > most else "")


def _change(change: Change) -> dict[str, str]:
    sides = {side: clipped(_told(getattr(change, side)), BRIEF) for side in ("before", "after")}
    return {"path": clipped(change.path, BRIEF), **sides}


def _told(value: Any) -> str:
    if isinstance(value, str) and value == ABSENT:
        return ABSENT
    return json.dumps(_plain(value), ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    return value.plain() if isinstance(value, Record) else value
