"""Booked: what the ledger's rows say of a call, beside what the re-execution says of it. Pure.

Invariant: a row and the call that it is of agree in everything that was known before the call was made, and in how it
ended. A row that is gone, that was altered, or that no call of the run accounts for is a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gatepost.checkpointing.effect_rows import Intent
from gatepost.nodes.outcome import Outcome
from gatepost.state.recording import Recording, Row
from gatepost.state.status import EffectState

_ENDED = (EffectState.SUCCEEDED, EffectState.FAILED)


def called_as(intent: Intent, outcome: Outcome) -> Row:
    """The row that a call would have now."""
    failure = outcome.failure.plain() if outcome.failure and outcome.state is EffectState.FAILED else None
    return {
        "step": intent.step,
        "purpose": intent.purpose,
        "generation": intent.generation,
        "tool": intent.tool,
        "fingerprint": intent.fingerprint,
        "arguments": intent.arguments,
        "approval": intent.approval,
        **ended_as(outcome.state, outcome.result, failure),
        "attempts": outcome.attempts if outcome.wake_at is not None else 1,
    }


def ended_as(state: EffectState, result: Any, failure: Any) -> Row:
    """How a call ended."""
    return {
        "state": state.value,
        "result": result if state is EffectState.SUCCEEDED else None,
        "failure": failure if state is EffectState.FAILED else None,
    }


def booked_as(row: Row | None, called: Row) -> Row | None:
    """What the ledger has of a call, in the words of `called_as`; None where it has nothing.

    The rows are as the run left them: a call that waited or was in doubt may have come to another end later, and more
    attempts may have been made.
    """
    if row is None:
        return None
    found = {**row, "step": row["step_id"], "approval": row["approval_id"]}
    later = called["state"] not in _ENDED and not (
        called["state"] == EffectState.IN_DOUBT and row["state"] == "intended"
    )
    told = {name: called[name] if later and name in ("state", "result", "failure") else found[name] for name in called}
    if "attempts" in called:
        told["attempts"] = min(called["attempts"], row["attempts"])
    return told


def needs_a_row(called: Row, *, forked: bool) -> bool:
    """Whether the call was announced: one that waits before its first attempt, or that a fork refused, was not."""
    return called.get("attempts") != 0 and not (forked and called["state"] == EffectState.FAILED)


def unaccounted(recording: Recording) -> dict[int, list[Row]]:
    """Rows of the ledger that no step of the run speaks of, by the first transition after they were announced."""
    undone = {row["step_id"] for row in recording.steps if "compensat" in str(row["record"].get("status"))}
    known = {row["record"].get("key") for row in recording.steps}
    strange = [
        row
        for row in recording.effects
        if not (row["key"] in known or (row["purpose"] == "compensate" and row["step_id"] in undone))
    ]
    found: dict[int, list[Row]] = {}
    for row in strange:
        after = (one["seq"] for one in recording.transitions if one["at"] >= row["intended_at"])
        if (seq := next(after, None)) is not None:
            found.setdefault(seq, []).append(row)
    return found


def contradiction(recorded: Mapping[str, Any], replayed: Mapping[str, Any]) -> str | None:
    """What the ledger says otherwise than the rest of the record; None where it does not."""
    for key in sorted({*recorded, *replayed}):
        row, call = recorded.get(key), replayed.get(key)
        if row is None and call is not None:
            return f"the ledger has no row {key}, under which {call.get('tool', 'a tool')} was called"
        if call is None and row is not None:
            return f"the ledger has a row {key} for {row['tool']}, and no step of the run speaks of it"
        if row is not None and call is not None and row != call:
            return f"the ledger's row {key} is another than its step's record: {', '.join(_others(row, call))}"
    return None


def _others(row: Mapping[str, Any], call: Mapping[str, Any]) -> Iterable[str]:
    return (f"{name} {row[name]!r:.60} ≠ {call[name]!r:.60}" for name in call if row[name] != call[name])
