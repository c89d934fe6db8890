"""The stepper: the state of a run after each of its transitions, and how it differs from any other one.

Invariant: a page reads at most two states, however long the run is, and shows of each no more than a person can
look at; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from gatepost.checkpointing.recordings import channels_of
from gatepost.graph import view
from gatepost.graph.difference import ABSENT, Change, difference
from gatepost.graph.rewind import Rewind
from gatepost.service.http.caller import InHouse
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused
from gatepost.service.http.reading import run_of
from gatepost.service.pages.render import page
from gatepost.service.pages.visitor import Visitor
from gatepost.state.record import Record
from gatepost.state.transition import Transition

router = APIRouter(include_in_schema=False)
AROUND = 5
"""Transitions on either side that can be gone to by one click."""
MOST_CHANGES = 120
MOST_STEPS = 60
FOLDED = 3
"""More places than that within one value are shown as the value before and after."""
_ENGINE_ONLY = frozenset({"schema_version", "approval"})
"""What would only repeat what is shown elsewhere."""
_FIRST = ("status", "steps", "outcome", "approvals", "input", "responses")
_LAST = ("counters", "signals", "frontier", "planning", "plan")
"""What the engine keeps for itself; a person looks at it last."""
Number = Annotated[int | None, Query(ge=0, le=2**62)]


@router.get("/runs/{run_id}/states")
async def states(
    run_id: str, house: InHouse, visitor: Visitor, at: Number = None, against: Number = None
) -> HTMLResponse:
    """The state after a transition (the last one, if none is named), and what changed against another one."""
    row = await run_of(house, run_id, visitor.tenant)
    here = min(at, row["seq"]) if at is not None else row["seq"]
    near = await house.saver.history.page(run_id, before=here + AROUND + 1, limit=2 * AROUND + 1)
    shown = next((one for one in near if one.seq == here), None)
    if shown is None:
        raise Refused(
            404, "no-such-transition", "There is no such transition", detail=f"The run has made {row['seq']} so far."
        )
    (first,) = await house.saver.history.transitions(run_id, limit=1)
    earlier = max((one.seq for one in near if one.seq < here), default=None)
    other = await _other(house, run_id, near, against if against is not None else earlier)
    found = await _states(house, run_id, [one for one in (shown, other) if one is not None])
    state, before = found.get(here), found.get(other.seq) if other else None
    changes = told_apart(before, state) if state is not None and before is not None else []
    return await page(
        house,
        visitor,
        "states.html",
        run=row,
        transition=shown,
        near=near,
        go={
            "first": first["seq"] if first["seq"] < here else None,
            "previous": earlier,
            "next": min((one.seq for one in near if one.seq > here), default=None),
            "last": row["seq"] if row["seq"] > here else None,
        },
        other=other.seq if other else None,
        chosen=against is not None and against != earlier,
        state=_shown(state, changes) if state is not None else None,
        compared=before is not None,
        changes=changes[:MOST_CHANGES],
        more_changes=max(0, len(changes) - MOST_CHANGES),
    )


async def _other(house: House, run_id: str, near: list[Transition], wanted: int | None) -> Transition | None:
    """The transition to compare with, if the run has it."""
    if wanted is None:
        return None
    found = next((one for one in near if one.seq == wanted), None)
    if found is None:
        asked = await house.saver.history.page(run_id, before=wanted + 1, limit=1)
        found = asked[0] if asked and asked[0].seq == wanted else None
    return found


async def _states(house: House, run_id: str, wanted: list[Transition]) -> dict[int, dict[str, Any]]:
    """The states that were kept, by transition. The later one is read first: from there going back costs little."""
    rewind, found = Rewind(house.saver.history), {}
    for one in sorted(wanted, key=lambda one: -one.seq):
        if one.checkpoint_id is None:
            continue
        place = {"thread_id": run_id, "checkpoint_ns": "", "checkpoint_id": one.checkpoint_id}
        kept = await house.saver.aget_tuple({"configurable": place})
        if kept is None:
            continue
        values = channels_of(kept.checkpoint["channel_values"])
        found[one.seq] = await rewind.as_of(values, seq=one.seq) if view.is_run_state(values) else values
    return found


def told_apart(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What differs, for a person: the steps first, and of a value that differs in many places the whole.

    Plans and step records that are the same object in both need no look.
    """
    names = [
        name
        for name in dict.fromkeys([*before, *after])
        if name not in _ENGINE_ONLY and before.get(name) is not after.get(name)
    ]
    was, now = ({name: state[name] for name in names if name in state} for state in (before, after))
    for name in names:
        one, two = was.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(two, dict):
            same = {key for key in one.keys() & two.keys() if one[key] is two[key]}
            was[name] = {key: value for key, value in one.items() if key not in same}
            now[name] = {key: value for key, value in two.items() if key not in same}
    return sorted(_folded(difference(was, now), was, now), key=_place)


def _folded(changes: list[Change], was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Differences deep within one value as one, where there are many."""
    values: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        parts = change.path.split("/")
        values.setdefault(tuple(parts[: 2 if parts[0] in _LAST else 3]), []).append(change)
    found: list[Change] = []
    for path, inside in values.items():
        if len(inside) <= FOLDED:
            found += inside
        else:
            found.append(Change("/".join(path), _within(was, path), _within(now, path)))
    return found


def _within(state: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if isinstance(state, Record):
            state = state.plain()
        if isinstance(state, list) and part.isdecimal() and int(part) < len(state):
            state = state[int(part)]
        elif isinstance(state, Mapping) and part in state:
            state = state[part]
        else:
            return ABSENT
    return _plain(state)


def _place(change: Change) -> tuple[int, str]:
    name = change.path.partition("/")[0]
    known = {**{one: number for number, one in enumerate(_FIRST)}, **dict.fromkeys(_LAST, 100)}
    return known.get(name, 50), change.path


def _shown(state: Mapping[str, Any], changes: list[Change]) -> dict[str, Any]:
    """A state as a person looks at it: steps in a table, those that changed first, and the rest by name."""
    steps: Mapping[str, Any] = state.get("steps") or {}
    changed = dict.fromkeys(
        change.path.split("/")[1] for change in changes if change.path.startswith("steps/") and "/" in change.path
    )
    order = [step for step in changed if step in steps]
    order += [step for step in steps if step not in changed][: max(0, MOST_STEPS - len(order))]
    counted: dict[str, int] = {}
    for record in steps.values():
        counted[str(record["status"])] = counted.get(str(record["status"]), 0) + 1
    rest = {name: value for name, value in state.items() if name not in {"steps", *_ENGINE_ONLY}}
    return {
        "steps": [{**steps[step], "id": step, "changed": step in changed} for step in order[:MOST_STEPS]],
        "more_steps": len(steps) - min(len(order), MOST_STEPS),
        "counted": counted,
        "channels": {name: _plain(value) for name, value in rest.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.plain()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
