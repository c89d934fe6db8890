"""Tapes: a recording indexed for a re-execution, and what the re-execution noted on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gatepost.graph.booked import booked_as, unaccounted
from gatepost.nodes.facts import STANDS
from gatepost.state.board import Board
from gatepost.state.errors import InvalidValue
from gatepost.state.plan import Plan, plan_of
from gatepost.state.recording import Recording, Row
from gatepost.state.report import Cause
from gatepost.state.step import StepRecord

_ANSWERED_FOR = (
    "id", "kind", "purpose", "step", "tool", "args", "effect", "digest", "undo", "undoes", "effect_key", "reasons",
    "allowed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a stand-in saw, at a transition."""

    seq: int
    cause: Cause
    text: str
    then: Any = None
    now: Any = None


class Tape:
    """One recording.

    Args:
        recording: what is replayed.

    Raises:
        InvalidValue: transitions are missing in it.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.transitions: dict[int, Row] = {row["seq"]: row for row in recording.transitions}
        self.first = min(self.transitions, default=0)
        if list(self.transitions) != list(range(self.first, recording.last + 1)) or not self.transitions:
            raise InvalidValue(f"the record of run {recording.run_id} has gaps: transitions are missing in it.")
        self.entries: dict[int, Row] = {row["epoch"]: row for row in recording.entries}
        self.states: dict[int, dict[str, Any]] = {row["seq"]: row["channels"] for row in recording.states}
        self.effects: dict[str, Row] = {row["key"]: row for row in recording.effects}
        self.approvals: dict[str, Row] = {row["approval_id"]: row for row in recording.approvals}
        self.decisions: dict[str, Row] = {row["approval_id"]: row for row in recording.decisions}
        self.answers = {(row["plan_version"], row["number"]): row for row in recording.answers}
        self.notes: list[Note] = []
        self.forked = recording.run.get("fork_effects") is not None
        self.inherits = recording.run.get("fork_effects") in ("reuse", "dry-run")
        """A fork that calls nothing: the ledger has nothing of it."""
        self.undone = {
            row["record"].get("key") for row in recording.steps if row["record"].get("status") == "compensated"
        }
        """Keys of effects that were undone."""
        self._unaccounted = unaccounted(recording)
        self._steps: dict[int, dict[str, Row]] = {}
        for row in recording.steps:
            self._steps.setdefault(row["seq"], {})[row["step_id"]] = row["record"]

    def note(self, seq: int, cause: Cause, text: str, *, then: Any = None, now: Any = None) -> None:
        """Keep in mind what was seen."""
        self.notes.append(Note(seq, cause, text, then, now))

    def at(self, seq: int) -> str:
        """When a transition was committed."""
        return str(self.transitions[seq]["at"]) if seq in self.transitions else "9999"

    def now_after(self, seq: int) -> datetime:
        """What the superstep after a transition was told the time was, under the same owner."""
        row = self.transitions[seq]
        return datetime.fromisoformat(row.get("next_now") or row["at"])

    def step_at(self, seq: int, step: str) -> StepRecord | None:
        """What became of a step in a transition."""
        record = self._steps.get(seq, {}).get(step)
        return None if record is None else StepRecord.model_validate(record)

    def steps_at(self, seq: int) -> dict[str, StepRecord]:
        """What became of all steps in a transition."""
        return {step: StepRecord.model_validate(record) for step, record in self._steps.get(seq, {}).items()}

    def frontier_after(self, seq: int, step: str) -> Mapping[str, Any]:
        """A step's entry of the frontier, in the next state that was kept."""
        for later in range(seq, self.recording.last + 1):
            entry = (self.states.get(later, {}).get("frontier") or {}).get(step)
            if entry is not None:
                return dict(entry)
        return {}

    def facts(self, seq: int) -> Mapping[str, Any] | None:
        """By what the run was moved when it made a transition."""
        entry = self.entries.get(self.transitions[seq]["epoch"]) if seq in self.transitions else None
        code = entry["code"] if entry else None
        return next((row["facts"] for row in self.recording.code if row["digest"] == code), None)

    def answered(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A question joined with its answer, as the table of approvals gives it."""
        said = self.decisions.get(row["approval_id"]) or dict.fromkeys(
            ("principal", "type", "comment", "args", "channel", "authenticated", "on_behalf_of", "digest", "at")
        )
        counted = {"level": 0, "yes": 0, "on_behalf_of": ""}  # of records from before there were several answers
        return {**counted, **said, **row, "decided_digest": said["digest"], "decided_at": moment(said["at"])}

    def plan(self, version: int) -> Plan | None:
        """A plan version."""
        found = next((row["plan"] for row in self.recording.plans if row["version"] == version), None)
        return None if found is None else plan_of(found)

    def board(self, seq: int) -> Board:
        """Plan and steps as of a transition."""
        version = max((row["version"] for row in self.recording.plans if row["seq"] <= seq), default=0)
        latest: dict[str, tuple[int, Row]] = {}
        for number in sorted(self._steps):
            if number <= seq:
                latest.update({step: (number, record) for step, record in sorted(self._steps[number].items())})
        records = sorted(latest.items(), key=lambda item: (item[1][0], item[0]))
        found = (StepRecord.model_validate(record) for _, (_, record) in records)
        return Board(self.plan(version) if version else None, found, run_input=self.recording.run["input"])

    def seen(self, seq: int, replayed: Mapping[str, Any]) -> dict[str, Any]:
        """What a transition did, as `graph.sandbox` describes what it does again.

        Args:
            seq: the transition.
            replayed: what it did again; of the ledger, the rows of the calls in it.
        """
        row, found = self.transitions[seq], self.recording
        seen: dict[str, Any] = {
            "next": sorted(row["next"]),
            "status": row["status"],
            "reason": row["reason"],
            "steps": self._steps.get(seq, {}),
            "plan": {str(row["version"]): row["plan"] for row in found.plans if row["seq"] == seq},
            "approvals": {row["approval_id"]: row["request"] for row in found.approvals if row["opened_seq"] == seq},
            "taken": sorted(row["approval_id"] for row in found.approvals if row["taken_seq"] == seq),
            "artifacts": {
                f"{row['name']}@{row['version']}": {name: row[name] for name in ("step_id", "sha256", "content")}
                for row in found.artifacts
                if row["seq"] == seq
            },
            "effects": self._booked(seq, replayed.get("effects", {})),
        }
        if seq in self.states:
            seen["state"] = self.states[seq]
        return comparable(seen)

    def _booked(self, seq: int, calls: Mapping[str, Row]) -> dict[str, Row]:
        strange = {row["key"]: row for row in self._unaccounted.get(seq, ())}
        found = {key: booked_as(self.effects.get(key), call) for key, call in calls.items()}
        return {**strange, **{key: row for key, row in found.items() if row is not None}}


def comparable(seen: dict[str, Any]) -> dict[str, Any]:
    """Of questions, what a person answers for, and how: what only describes it may grow with a release."""
    compared = {**seen, "approvals": _asked(seen["approvals"]), "steps": _without_noise(seen["steps"])}
    state = seen.get("state")
    if state:
        compared["state"] = {**state}
        if state.get("frontier"):
            compared["state"]["frontier"] = {step: _entry(entry) for step, entry in state["frontier"].items()}
        if state.get("approvals"):
            compared["state"]["approvals"] = _asked(state["approvals"])
        if state.get("signals"):
            compared["state"]["signals"] = [_said(signal) for signal in state["signals"]]
    return compared


def _entry(entry: Row | None) -> Row | None:
    """Where a step stands, without what was counted for its call: the counters have it."""
    return entry and {name: value for name, value in entry.items() if name != "cost"}


def _without_noise(steps: Mapping[str, Row]) -> dict[str, Row]:
    """A fact that was read again and stands keeps what was read first; what was read then is not on record.

    What was counted for a call, the counters have.
    """
    return {
        step: {
            **{name: value for name, value in record.items() if name not in ("cost", "counted")},
            **({"reason": STANDS} if str(record.get("reason", "")).startswith(STANDS) else {}),
        }
        for step, record in steps.items()
    }


def _said(signal: Row) -> Row:
    """What nodes tell the gate, without what says nothing: a later release may have more to say."""
    return {name: value for name, value in signal.items() if value not in (None, False)}


def _asked(requests: Mapping[str, Row]) -> dict[str, Row]:
    return {
        approval: {name: request[name] for name in _ANSWERED_FOR if name in request}
        for approval, request in requests.items()
    }


def moment(text: str | None) -> Any:
    """A recorded time."""
    return None if text is None else datetime.fromisoformat(text)
