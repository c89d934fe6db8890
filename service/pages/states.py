"""The stepper: the state of a run after each of its transitions, and how it differs from any other one.

Invariant: a page reads at most two states, however long the run is, and shows of each no more than a person can
look at; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from gatepost.checkpointing.recordings import channels_of
from gatepost.graph import view
from gatepost.graph.difference import ABSENT, Change, difference
from gatepost.service.http.caller import InHouse
from gatepost.service.http.house import House
from gatepost.service.http.problem import Refused
from gatepost.service.http.reading import run_of
from gatepost.service.pages.render import page
from gatepost.service.pages.visitor import Visitor
from gatepost.state.board import pending
from gatepost.state.record import Record
from gatepost.state.transition import Transition

router = APIRouter(include_in_schema=False)
AROUND = 5
"""Transitions on either side that can be gone to by one click."""
MOST_CHANGES = 120
MOST_STEPS = 60
FOLDED = 3
"""More places than that within one value are shown as the value before and after."""
_TWICE = frozenset({"schema_version", "approval"})
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
        said = f"The run has made {row['seq']} so far."
        raise Refused(404, "no-such-transition", "There is no such transition", detail=said)
    (first,) = await house.saver.history.transitions(run_id, limit=1)
    earlier = max((one.seq for one in near if one.seq < here), default=None)
    other = await _other(house, run_id, near, against if against is not None else earlier)
    pair = await _Pair.read(house, run_id, shown, other)
    changes = told_apart(pair.before, pair.state) if pair.state is not None and pair.before is not None else []
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
        state=_shown(pair) if pair.state is not None else None,
        compared=pair.before is not None,
        changes=changes[:MOST_CHANGES],
        more_changes=max(0, len(changes) - MOST_CHANGES),
        more_moved=max(0, pair.moved - MOST_STEPS),
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


@dataclass(frozen=True, slots=True)
class _Pair:
    """A state, and the one that it is compared with; None where it was not kept."""

    state: dict[str, Any] | None
    before: dict[str, Any] | None
    moved: int
    """Steps that stand otherwise in one of them, or did in between; of so many at most are `MOST_STEPS` read."""
    changed: frozenset[str]
    counted: Mapping[str, int]
    planned: int

    @classmethod
    async def read(cls, house: House, run_id: str, one: Transition, other: Transition | None) -> _Pair:
        """Read both, with the steps that moved in between and those that moved last."""
        overview, wanted = house.overview, [one] if other is None else [one, other]
        low, high = min(each.seq for each in wanted), max(each.seq for each in wanted)
        names, moved = await overview.moved(run_id, after=low, until=high, limit=MOST_STEPS)
        last, _ = await overview.moved(run_id, after=-1, until=high, limit=MOST_STEPS)
        names = list(dict.fromkeys([*names, *last]))[:MOST_STEPS]
        found: list[dict[str, Any] | None] = []
        plans = _Plans(house, run_id)
        for each in wanted:
            channels = await channels_of_transition(house, run_id, each)
            if channels is not None and view.is_run_state(channels):
                plan, planned = await plans.of(channels["plan_version"])
                stood = await overview.stood(run_id, names, seq=each.seq)
                channels = view.put_together(channels, plan, {**planned, **stood})
            found.append(channels)
        state, before = found[0], found[1] if len(found) > 1 else None
        counted = await overview.progress(run_id, seq=one.seq) if state is not None else {}
        size = await overview.planned(run_id, state["plan_version"]) if state and state.get("plan_version") else 0
        steps = (state or {}).get("steps") or {}
        apart = {name for name in steps if before is None or steps[name] != (before.get("steps") or {}).get(name)}
        return cls(state, before, moved, frozenset(apart if before is not None else ()), counted, size)


class _Plans:
    """The plans of a run that are short enough to be shown, each read once."""

    def __init__(self, house: House, run_id: str) -> None:
        self._house, self._run_id = house, run_id
        self._known: dict[int, tuple[dict[str, Any] | None, dict[str, Any]]] = {0: (None, {})}

    async def of(self, version: int) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """A version as plain data, and its steps before anything was recorded of them."""
        if version not in self._known:
            if await self._house.overview.planned(self._run_id, version) > MOST_STEPS:
                self._known[version] = None, {}
            else:
                plan = await self._house.saver.history.plan(self._run_id, version)
                self._known[version] = plan.plain(), pending(plan)
        return self._known[version]


async def channels_of_transition(house: House, run_id: str, one: Transition) -> dict[str, Any] | None:
    """What the checkpoint of a transition holds; None where none was kept."""
    if one.checkpoint_id is None:
        return None
    place = {"thread_id": run_id, "checkpoint_ns": "", "checkpoint_id": one.checkpoint_id}
    kept = await house.saver.aget_tuple({"configurable": place})
    return None if kept is None else channels_of(kept.checkpoint["channel_values"])


def told_apart(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What differs, for a person: the steps first, and of a value that differs in many places the whole."""
    was, now = ({name: state[name] for name in state if name not in _TWICE} for state in (before, after))
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


def _shown(pair: _Pair) -> dict[str, Any]:
    """A state as a person looks at it: steps in a table, those that changed first, and the rest by name."""
    state = pair.state or {}
    steps: Mapping[str, Any] = state.get("steps") or {}
    order = sorted(steps, key=lambda step: step not in pair.changed)[:MOST_STEPS]
    rest = {name: value for name, value in state.items() if name not in {"steps", *_TWICE}}
    waiting = max(0, pair.planned - sum(pair.counted.values()))
    return {
        "steps": [{**steps[step], "id": step, "changed": step in pair.changed} for step in order],
        "more_steps": max(pair.planned, len(steps)) - len(order),
        "counted": {**pair.counted, **({"pending": waiting + pair.counted.get("pending", 0)} if waiting else {})},
        "channels": {name: _plain(value) for name, value in rest.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.plain()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
