"""The typed state of a run: the frontier, counters and references that every checkpoint carries.

Invariant: a channel holds plain data and does not grow with the number of finished steps. Plans,
step records, outputs and artifacts are rows; what readers see has them joined in (`graph.view`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from gatepost.state.errors import UnknownVersion

STATE_SCHEMA = 1


def merge(left: dict[str, Any] | None, right: Mapping[str, Any] | None) -> dict[str, Any]:
    """Reducer: the right side's entries win; an entry of None is taken away."""
    merged = {**(left or {}), **(right or {})}
    return {key: value for key, value in merged.items() if value is not None}


def collect(left: list[Any] | None, right: list[Any] | None) -> list[Any]:
    """Reducer: append; a right side of None empties the list."""
    return [] if right is None else [*(left or []), *right]


def tally(left: dict[str, int] | None, right: Mapping[str, int] | None) -> dict[str, int]:
    """Reducer: add counts by name."""
    counts = dict(left or {})
    for name, count in (right or {}).items():
        counts[name] = counts.get(name, 0) + count
    return counts


class RunInput(TypedDict, total=False):
    """What a caller may start a run with; every other key is refused."""

    goal: str
    input: dict[str, Any]


class RunState(TypedDict, total=False):
    """What every checkpoint of a run carries."""

    schema_version: int
    run_id: str
    goal: str
    input: dict[str, Any]
    workflow: str
    status: str
    """A `RunStatus`."""
    plan_version: int
    """0 before there is a plan; the plan itself is a row."""
    frontier: Annotated[dict[str, dict[str, Any]], merge]
    """Steps that are between pending and settled-and-seen: `{step: {"status": …, "key": …, …}}`."""
    approvals: Annotated[dict[str, dict[str, Any]], merge]
    """Open approvals by id, as `ApprovalRequest` plain data."""
    signals: Annotated[list[dict[str, Any]], collect]
    """What nodes tell the gate, which empties it."""
    planning: dict[str, Any] | None
    """Why the planner is to be asked; it clears it."""
    responses: Annotated[list[dict[str, Any]], collect]
    """What people and steps said that made a new plan necessary."""
    counters: Annotated[dict[str, int], tally]
    ending: dict[str, Any] | None
    """How the run will end, once the gate knows: `{"status": …, "reason": …}`."""
    outcome: dict[str, Any] | None
    """How it ended, and what it says."""


def check_version(state: Mapping[str, Any]) -> None:
    """Refuse a state from another time before a node touches it.

    Raises:
        UnknownVersion: says what to do.
    """
    found = state.get("schema_version", STATE_SCHEMA)
    if found != STATE_SCHEMA:
        raise UnknownVersion(
            f"this run's state has schema_version {found!r}; this release reads {STATE_SCHEMA}. "
            "Finish the run with the release that wrote it, or upgrade Gatepost and run `gatepost migrate`."
        )
