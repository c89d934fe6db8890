"""Stand-ins: what answers a replay in place of the world, of people, of models and of the ledger.

Invariant: everything here comes from the recording. What it does not hold is noted as missing, and
nothing is made up for it: no provider, no database and no model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import JsonValue, ValidationError

from gatepost.checkpointing.answers import Standing, standing_in
from gatepost.checkpointing.approvals import Approvals
from gatepost.checkpointing.effect_rows import Entry, Intent, entry_of
from gatepost.checkpointing.entries import Entries
from gatepost.checkpointing.ledger import Ledger
from gatepost.checkpointing.session import RunSession
from gatepost.graph.booked import called_as, needs_a_row
from gatepost.graph.difference import same
from gatepost.graph.tape import Tape, moment
from gatepost.nodes.asking import not_asked
from gatepost.nodes.outcome import Outcome, failed, parked, succeeded, unknown
from gatepost.nodes.tool import AnyTool, InvalidResult
from gatepost.nodes.visit import Visit
from gatepost.state.ballot import Vote
from gatepost.state.canonical import digest_of
from gatepost.state.effect import EffectClass
from gatepost.state.errors import InvalidValue
from gatepost.state.recording import Row
from gatepost.state.report import Cause
from gatepost.state.status import ApprovalStatus, EffectState, StepStatus
from gatepost.state.step import Failure, StepRecord


class NotRecorded(Exception):
    """Something was asked that the recording does not hold."""


class RecordedCalls:
    """How the calls of a run ended, step by step, as its records say."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.made: dict[str, Row] = {}
        """What the ledger would have of the calls of the transition that is being made, by key."""

    async def carried_out(self, visit: Visit, tool: AnyTool, intent: Intent) -> Outcome:
        """How the call ended when it was made; its result goes through the tool's own type."""
        seq = visit.session.seq + 1
        record = self._tape.step_at(seq, intent.step)
        if record is None:
            self._tape.note(seq, Cause.MISSING_RECORD, f"step {intent.step} calls {tool.name}, and no end is on record")
            return failed(Failure(kind="bug", message="this call is not on record"))
        effect = self._tape.effects.get(intent.key)
        others = (
            effect is not None
            and effect["fingerprint"] != intent.fingerprint
            and record.fingerprint != intent.fingerprint
        )
        if others and record.status is not StepStatus.FAILED:
            return failed(Failure(kind="policy_denied", message=f"key {intent.key} is recorded for other arguments"))
        outcome = self._ended(seq, tool, record, effect, purpose=intent.purpose)
        if tool.effect is not EffectClass.READ and not others and not self._tape.inherits:
            call = called_as(intent, outcome)
            if effect is not None or needs_a_row(call, forked=self._tape.forked):
                self.made[intent.key] = call
        return outcome

    async def refused(self, visit: Visit, key: str | None, why: str) -> Outcome:
        """How a call ended that may not be made (any more)."""
        seq = visit.session.seq + 1
        for record in self._tape.steps_at(seq).values():
            if key in (record.key, None) and record.failure is not None and record.failure.message.startswith(why):
                return Outcome(
                    EffectState.IN_DOUBT if record.status is StepStatus.IN_DOUBT else EffectState.FAILED,
                    failure=record.failure,
                )
        return failed(Failure(kind="policy_denied", message=f"{why}. Nothing was called."))

    def _ended(
        self, seq: int, tool: AnyTool, record: StepRecord, effect: Mapping[str, Any] | None, *, purpose: str
    ) -> Outcome:
        if record.wake_at is not None and record.status in (StepStatus.WAITING, StepStatus.COMPENSATING):
            return self._parked(seq, record)
        match record.status:
            case StepStatus.SUCCEEDED:
                return self._result(seq, tool, record.output, note=record.reason)
            case StepStatus.COMPENSATED:
                return self._result(seq, tool, effect["result"] if effect else None)
            case StepStatus.IN_DOUBT:
                return unknown(record.failure or Failure(kind="in_doubt", message=record.reason))
            case StepStatus.COMPENSATING if purpose == "compensate":
                return unknown(Failure(kind="in_doubt", message=record.reason))
            case _:
                return failed(record.failure or Failure(kind="bug", message=record.reason))

    def _result(self, seq: int, tool: AnyTool, value: JsonValue, *, note: str = "") -> Outcome:
        try:
            outcome = succeeded(tool, value)
        except (InvalidResult, InvalidValue, ValidationError) as error:
            self._tape.note(seq, Cause.DATA_SHAPE, f"the recorded result of {tool.name} is refused now: {error}")
            return failed(Failure(kind="validation", message=str(error)))
        if not same(outcome.result, value):
            self._tape.note(seq, Cause.DATA_SHAPE, f"the recorded result of {tool.name} reads otherwise now")
        return replace(outcome, note=note)

    def _parked(self, seq: int, record: StepRecord) -> Outcome:
        entry = self._tape.frontier_after(seq, record.step)
        message = record.reason.partition(": ")[2]
        assert record.wake_at is not None
        return parked(
            Failure(kind="transient", message=message),
            until=datetime.fromisoformat(record.wake_at),
            attempts=entry.get("attempts", 0),
            doubt=entry.get("doubt", False),
        )


class RecordedApprovals(Approvals):
    """Questions and answers as they stood when a transition was made."""

    def __init__(self, tape: Tape, session: RunSession) -> None:
        self._tape = tape
        self._session = session

    async def standing(self, run_id: str, approvals: Sequence[str]) -> dict[str, Standing]:  # noqa: ARG002 (theirs)
        """As of the transition that is being made."""
        seq = self._session.seq + 1
        return {
            wanted: self._standing(self._tape.approvals[wanted], seq)
            for wanted in approvals
            if wanted in self._tape.approvals
        }

    async def list(self, tenant: str, **asked: Any) -> list[dict[str, Any]]:  # noqa: ARG002 (theirs)
        """All of the run, with the answers, as the finalizer reads them."""
        return [self._tape.answered(row) for row in self._tape.recording.approvals]

    async def withdraw(self, session: RunSession, approval: str, reason: str) -> None:
        """Nothing: the recording says what became of the question."""

    async def votes(self, approval: str) -> Sequence[Vote]:  # noqa: ARG002 (theirs)
        """None: what followed from them is on record."""
        return []

    def _standing(self, row: Mapping[str, Any], seq: int) -> Standing:
        taken = row["taken_seq"] is not None and row["taken_seq"] <= seq
        closed = row["closed_at"] is not None and row["closed_at"] <= self._tape.at(seq) and row["taken_seq"] is None
        status = ApprovalStatus.DECIDED if taken else ApprovalStatus(row["status"]) if closed else ApprovalStatus.OPEN
        if status is ApprovalStatus.DECIDED and not taken:
            status = ApprovalStatus.OPEN  # decided by then, and not yet heard
        too_late = row["act_by"] is not None and row["act_by"] <= self._tape.at(seq)
        nobody = {"level": 0, "yes": 0, **row, "principal": None, "decided_digest": None}
        asked = self._tape.answered(row) if taken else nobody
        return standing_in({**asked, "status": status, "act_too_late": too_late, **_moments(row)})


class RecordedLedger(Ledger):
    """The ledger as the run left it. What it books goes nowhere."""

    def __init__(self, tape: Tape, session: RunSession) -> None:
        self._tape = tape
        self._session = session

    async def get(self, key: str) -> Entry | None:
        """What the ledger had under a key by the transition that is being made."""
        row, seq = self._tape.effects.get(key), self._session.seq + 1
        if row is None and key in self._tape.undone:
            self._tape.note(seq, Cause.MISSING_RECORD, f"the ledger has no row {key}, whose effect is undone on record")
        return None if row is None or row["intended_at"] > self._tape.at(seq) else _entry(row)

    async def intend(self, session: RunSession, intent: Intent) -> Entry:  # noqa: ARG002 (theirs)
        """Refused: a replay announces no call.

        Raises:
            NotRecorded: always.
        """
        raise NotRecorded(f"a replay calls nothing; step {intent.step} was about to call {intent.tool}")


class RecordedEntries(Entries):
    """What models said."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    async def answer(self, session: RunSession, plan_version: int, number: int, prompt: JsonValue) -> list[JsonValue]:
        """The recorded answer.

        Raises:
            NotRecorded: the model was asked something else, or nothing, when the run was made.
            NotAsked: nothing, and the run is a fork that asks nobody.
        """
        seq, row = session.seq + 1, self._tape.answers.get((plan_version, number))
        if row is None:
            self._tape.note(seq, Cause.MISSING_RECORD, f"a model is asked for plan {plan_version}, and was not then")
            if self._tape.inherits:
                raise not_asked(session.run.parent_run_id)
            raise NotRecorded("no answer of a model is on record here")
        if row["digest"] != digest_of(prompt):
            self._tape.note(seq, Cause.PROMPT, "the model is asked something else", then=row["prompt"], now=prompt)
            raise NotRecorded("the model was asked something else when the run was made")
        return [row["answer"]]


def _moments(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: moment(row.get(name)) for name in ("act_by", "decide_by")}


def _entry(row: Mapping[str, Any]) -> Entry:
    times = {name: datetime.fromisoformat(row[name]) for name in ("intended_at", "attempted_at")}
    return entry_of({**row, **times, "now": times["attempted_at"], "not_before": None, "epoch": 0, "fresh": False})
