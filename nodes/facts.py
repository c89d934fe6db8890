"""Facts: outputs of reads that a step relies on, how old they may be, and whether a newer one matters.

Pure. Invariant: a difference that does not matter leaves the old output standing, so that an approval of it stands
as well; small differences therefore never add up unseen, because each is held against what was approved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from jsonpointer import JsonPointer, JsonPointerException
from pydantic import JsonValue

from gatepost.nodes.outcome import Outcome
from gatepost.nodes.tool import ToolMistake
from gatepost.state.board import Board
from gatepost.state.effect import EffectClass
from gatepost.state.fact import Material, wrong_with
from gatepost.state.plan import Step
from gatepost.state.status import EffectState, StepStatus
from gatepost.state.step import StepRecord

STANDS = "read again: stands"
"""How the reason of a fact begins that was read again and is what it was."""
JUST_JUDGED = timedelta(seconds=30)
"""A step that the gate let go so recently is not held up again because its facts have aged since."""
SHOWN_CHANGES = 20


def stale(board: Board, step: Step, now: datetime) -> list[str]:
    """The facts of a step that are older than it allows, by database time."""
    return [fact for fact, allowed in step.relies_on.items() if _too_old(board.records.get(fact), allowed, now)]


def relied_on(board: Board, step: Step) -> dict[str, JsonValue]:
    """The values that a step relies on, as they are shown to a person."""
    found = {fact: board.records.get(fact) for fact in step.relies_on}
    return {fact: record.output for fact, record in found.items() if record is not None}


def read_anew(
    record: StepRecord, outcome: Outcome, materials: Sequence[Material | None]
) -> tuple[Outcome, dict[str, Any]]:
    """What a second reading makes of a fact: the outcome that counts, and what the step's record says about it.

    Args:
        record: of the read, with the output that stood.
        outcome: of reading it again.
        materials: what matters to those who rely on it; any of them is enough.
    """
    if not record.again or outcome.state is not EffectState.SUCCEEDED:
        return outcome, {}
    changes = tuple(weighed(materials, record.output, outcome.result))[:SHOWN_CHANGES]
    demand = outcome.finding.needs_approval if outcome.finding else None
    if demand == record.needs_approval and not _matters_to_any(materials, record.output, outcome.result):
        small = f", but for what does not matter ({'; '.join(map(told, changes))})" if changes else ""
        stands = replace(outcome, result=record.output, finding=None)
        return stands, {"again": False, "changes": (), "needs_approval": demand, "reason": f"{STANDS}{small}"}
    if not changes:
        changes = ({"at": "", "was": record.needs_approval, "now": demand},)
    return outcome, {"again": False, "changes": changes, "reason": f"changed: {'; '.join(map(told, changes))}"}


def matters(material: Material | None, was: JsonValue, now: JsonValue) -> bool:
    """Whether a newer value of a fact is another fact; a function that cannot tell says yes."""
    if material is None:
        return was != now
    if callable(material):
        try:
            return bool(material(was, now))
        except Exception:  # noqa: BLE001 (the caller's function; not knowing is never a reason to send something)
            return True
    if isinstance(material, Mapping):
        return any(_differ(_at(was, place), _at(now, place), by) for place, by in material.items())
    return any(_at(was, place) != _at(now, place) for place in material)


def weighed(materials: Sequence[Material | None], was: JsonValue, now: JsonValue) -> Iterator[dict[str, JsonValue]]:
    """As `differences`; those that would not matter by themselves say so: `"material": False`."""
    for change in differences(was, now):
        small = not any(_counts(material, str(change["at"]), was, now) for material in materials)
        yield {**change, "material": False} if small else change


def differences(was: Any, now: Any, at: str = "") -> Iterator[dict[str, JsonValue]]:
    """Where two values differ: `{"at": JSON pointer, "was": …, "now": …}`; what is missing is None."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in [*was, *(name for name in now if name not in was)]:
            place = str(name).replace("~", "~0").replace("/", "~1")
            yield from differences(was.get(name), now.get(name), f"{at}/{place}")
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for index, pair in enumerate(zip(was, now, strict=True)):
            yield from differences(*pair, f"{at}/{index}")
    elif was != now:
        yield {"at": at, "was": was, "now": now}


def told(change: Mapping[str, Any]) -> str:
    """A difference in words: `/price 100 → 120`."""
    place = f"{change.get('fact', '')}{change['at']}"
    return f"{place} {change['was']!r:.60} → {change['now']!r:.60}".strip()


def check_material(name: str, effect: EffectClass, material: object) -> None:
    """Refuse a declaration of what matters that cannot work.

    Raises:
        ToolMistake: says why.
    """
    if material is None or (callable(material) and effect is EffectClass.READ):
        return
    if effect is not EffectClass.READ:
        raise ToolMistake(f"tool {name!r}: material= is for reads; a {effect} is never made again to see what changed.")
    if problem := wrong_with(material):
        raise ToolMistake(f"tool {name!r}: {problem}")


def _matters_to_any(materials: Sequence[Material | None], was: JsonValue, now: JsonValue) -> bool:
    return any(matters(material, was, now) for material in materials)


def _counts(material: Material | None, at: str, was: JsonValue, now: JsonValue) -> bool:
    """Whether a difference at this place is one of those that matter; a function speaks of the whole value."""
    if material is None or callable(material):
        return matters(material, was, now)
    places = [place for place in material if f"{place}/".startswith(f"{at}/") or f"{at}/".startswith(f"{place}/")]
    if isinstance(material, Mapping):
        return matters({place: material[place] for place in places}, was, now)
    return matters(places, was, now)


def _too_old(record: StepRecord | None, allowed: timedelta, now: datetime) -> bool:
    if record is None or record.status is not StepStatus.SUCCEEDED:
        return False
    return record.now is None or now - datetime.fromisoformat(record.now) > allowed


def _at(value: JsonValue, place: str) -> Any:
    try:
        return JsonPointer(place).resolve(value)
    except JsonPointerException:
        return None


def _differ(was: Any, now: Any, by: float) -> bool:
    """Numbers, and texts that are numbers, may differ by so much; everything else not at all."""
    if was == now:
        return False
    try:
        return abs(Decimal(str(was)) - Decimal(str(now))) > Decimal(str(by))
    except InvalidOperation:
        return True
