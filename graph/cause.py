"""Causes: what made a re-execution go another way, from the evidence. Pure.

The order is from the most to the least direct: what was seen while it was executed, what an
experiment showed, what the difference looks like, and only then which recorded facts changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatepost.graph.booked import contradiction
from gatepost.graph.difference import same
from gatepost.graph.isolated import REFUSED
from gatepost.graph.tape import Note
from gatepost.nodes.circumstances import changed
from gatepost.state.report import Cause


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about the first transition that differs."""

    seq: int
    recorded: Mapping[str, Any]
    replayed: Mapping[str, Any]
    error: str | None
    """What the re-execution stopped with, where it could not go on."""
    notes: tuple[Note, ...]
    refused: tuple[str, ...]
    """What the seal refused."""
    then: Mapping[str, Any] | None
    """The facts of the code that made the record."""
    now: Mapping[str, Any]
    given: Any
    """The recorded input as today's workflow takes it."""
    clock: bool
    """Whether it comes out differently at another time."""
    policy: bool
    """Whether it comes out as recorded under the recorded policy."""


def cause_of(found: Evidence) -> tuple[Cause, str]:
    """The cause, and what gave it away."""
    for rule in (_noted, _input, _clock, _policy, _renamed, _refused, _booked, _changed):
        if (cause := rule(found)) is not None:
            return cause
    return Cause.UNEXPLAINED, "no recorded fact is another now; the code depends on something that is not recorded"


def _noted(found: Evidence) -> tuple[Cause, str] | None:
    for cause in (Cause.PROMPT, Cause.DATA_SHAPE):
        for note in found.notes:
            if note.cause is cause:
                return cause, note.text if note.then is None else f"{note.text}: {note.then!r:.300} → {note.now!r:.300}"
    return None


def _input(found: Evidence) -> tuple[Cause, str] | None:
    if isinstance(found.given, str):
        return Cause.INPUT, f"today's workflow refuses the recorded input: {found.given}"
    then = _state(found.recorded).get("input")
    now = _state(found.replayed).get("input")
    if then is not None and now is not None and then != now:
        return Cause.INPUT, "the run starts from another input than its first states were made from"
    return None


def _clock(found: Evidence) -> tuple[Cause, str] | None:
    if not found.clock:
        return None
    return Cause.WALL_CLOCK, "executed at other times it comes out differently; `now` is given by situation and context"


def _policy(found: Evidence) -> tuple[Cause, str] | None:
    if not found.policy:
        return None
    then = (found.then or {}).get("policy", {}).get("version")
    now = found.now["policy"]["version"]
    return Cause.POLICY, f"under the recorded policy set ({then}) it is as recorded; today's is {now}"


def _renamed(found: Evidence) -> tuple[Cause, str] | None:
    """Plans whose steps differ only by name, or by the name of the tool; or a tool that is gone."""
    for version in found.recorded.get("plan", {}):
        then, now = found.recorded["plan"][version], found.replayed.get("plan", {}).get(version)
        if now is None:
            continue
        names = _names(then.get("steps", []), now.get("steps", []))
        if names:
            return Cause.RENAME, ", ".join(f"{old} is now {new}" for old, new in names.items())
    said = f"{found.error} {_state(found.replayed).get('ending')}"
    if "names the tool" in said:
        return Cause.RENAME, f"a recorded step names a tool that is not there: {said[:300]}"
    return None


def _refused(found: Evidence) -> tuple[Cause, str] | None:
    if found.refused:
        return (
            Cause.MISSING_RECORD,
            f"the code reaches for the world, and what it got there is not recorded: {found.refused[0]}",
        )
    said = f"{found.error or ''} {_state(found.replayed).get('ending') or ''} {found.replayed.get('reason', '')}"
    if REFUSED in said:
        return Cause.MISSING_RECORD, f"the code reaches for the world from C, and was refused: {said.strip()[:300]}"
    for note in found.notes:
        if note.cause is Cause.MISSING_RECORD:
            return Cause.MISSING_RECORD, note.text
    return None


def _booked(found: Evidence) -> tuple[Cause, str] | None:
    """The ledger against the rest of the record: the steps come out as recorded, their rows do not fit them."""
    if not same(found.recorded.get("steps"), found.replayed.get("steps")):
        return None
    why = contradiction(found.recorded.get("effects", {}), found.replayed.get("effects", {}))
    return None if why is None else (Cause.MISSING_RECORD, why)


def _changed(found: Evidence) -> tuple[Cause, str] | None:
    """What differs in the code, by the recorded facts, where nothing more direct is known."""
    others = [] if found.then is None else changed(found.then, found.now)
    if _shapes_differ(found, others):
        return Cause.DATA_SHAPE, "tools take or give another type than when the run was made"
    if found.recorded.get("plan") != found.replayed.get("plan"):
        its = "its code changed" if "strategy" in others else "its code is the same, what it holds or reads is not"
        return Cause.ROUTING, f"the strategy plans otherwise ({its})"
    if "configuration" in others:
        return Cause.CONFIGURATION, f"declared otherwise now: {', '.join(_settings(found)) or 'a setting'}"
    if _goes_elsewhere(found) or {"strategy", "conclude"} & set(others):
        code = [name for name in ("strategy", "conclude") if name in others]
        why = f"the code of {' and '.join(code)} changed" if code else "the same state leads elsewhere"
        return Cause.ROUTING, why
    return None


def _shapes_differ(found: Evidence, others: list[str]) -> bool:
    told = (str(side.get("steps", "")) for side in (found.recorded, found.replayed))
    return "shapes" in others and any("validation" in said for said in told)


def _goes_elsewhere(found: Evidence) -> bool:
    """Whether what runs next, or the plan, is another one."""
    return found.error is not None or any(
        found.recorded.get(part) != found.replayed.get(part) for part in ("next", "plan")
    )


def _settings(found: Evidence) -> list[str]:
    then, now = (found.then or {}).get("configuration", {}), found.now["configuration"]
    flat_then, flat_now = dict(_flat(then)), dict(_flat(now))
    return [
        f"{name} {flat_then.get(name)} → {flat_now.get(name)}"
        for name in sorted({*flat_then, *flat_now})
        if flat_then.get(name) != flat_now.get(name)
    ][:5]


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [pair for name, member in value.items() for pair in _flat(member, f"{path}/{name}".lstrip("/"))]
    return [(path, value)]


def _names(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> dict[str, str]:
    """Old name to new, where two lists of steps are the same but for names."""
    if len(then) != len(now):
        return {}
    ids = {old["id"]: new["id"] for old, new in zip(then, now, strict=True) if old["id"] != new["id"]}
    tools = {old["tool"]: new["tool"] for old, new in zip(then, now, strict=True) if old["tool"] != new["tool"]}
    others = any(_rest(old) != _rest(new) for old, new in zip(then, now, strict=True) if not _refers(old))
    return {} if others else {**ids, **tools}


def _rest(step: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in step.items() if name not in ("id", "tool", "needs")}


def _refers(step: Mapping[str, Any]) -> bool:
    """What refers to a renamed step is another text, and the same step."""
    return "$ref" in str(step)


def _state(seen: Mapping[str, Any]) -> Mapping[str, Any]:
    found = seen.get("state")
    return found if isinstance(found, Mapping) else {}
