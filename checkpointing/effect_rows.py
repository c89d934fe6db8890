"""Rows of the ledger: an effect as it is announced, and as the protocol reads it back.

Pure: what is here neither reads nor writes. The ledger and the commit of a superstep write the same row of an intent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from gatepost.checkpointing.session import Foretold, RunSession
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.status import EffectState
from gatepost.state.step import Failure


@dataclass(frozen=True, slots=True)
class Intent:
    """One effect that is about to be attempted."""

    key: str
    step: str
    tool: str
    tool_version: str
    effect: EffectClass
    on_doubt: OnDoubt
    fingerprint: str
    arguments: JsonValue
    approval: str | None
    purpose: str = "run"
    generation: int = 0
    call_path: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An effect as the ledger has it."""

    key: str
    state: EffectState
    fingerprint: str
    attempts: int
    arguments: JsonValue
    result: JsonValue
    failure: Failure | None
    intended_at: datetime
    attempted_at: datetime
    """When the last attempt was announced."""
    now: datetime
    """Database time when this was read."""
    epoch: int
    """Of the owner who wrote it last."""
    cleared: bool
    """Whether every attempt so far certainly did nothing."""
    not_before: datetime | None
    """When the next one may be made, where one was to wait."""
    fresh: bool
    """Whether this call wrote the intent; otherwise an earlier one did."""


def row_of(session: RunSession, intent: Intent) -> dict[str, Any]:
    """An intent as its row is written, under the session's epoch."""
    run = session.run
    return {
        "key": intent.key,
        "run_id": run.run_id,
        "root_run_id": run.root_run_id,
        "tenant": run.tenant,
        "step_id": intent.step,
        "call_path": intent.call_path,
        "purpose": intent.purpose,
        "generation": intent.generation,
        "tool": intent.tool,
        "tool_version": intent.tool_version,
        "effect_class": intent.effect,
        "on_doubt": intent.on_doubt,
        "fingerprint": intent.fingerprint,
        "arguments": intent.arguments,
        "approval_id": intent.approval,
        "epoch": session.epoch,
    }


def foretold_entry(told: Foretold) -> Entry:
    """An intent that a superstep committed, as the ledger has it until it is called."""
    return Entry(
        key=told.row["key"],
        state=EffectState.INTENDED,
        fingerprint=told.row["fingerprint"],
        attempts=1,
        arguments=told.row["arguments"],
        result=None,
        failure=None,
        intended_at=told.at,
        attempted_at=told.at,
        now=told.at,
        epoch=told.row["epoch"],
        cleared=False,
        not_before=None,
        fresh=True,
    )


def entry_of(row: Mapping[str, Any]) -> Entry:
    """An effect as a query of the ledger gives its row."""
    return Entry(
        key=row["key"],
        state=EffectState(row["state"]),
        fingerprint=row["fingerprint"],
        attempts=row["attempts"],
        arguments=row["arguments"],
        result=row["result"],
        failure=None if row["failure"] is None else Failure.model_validate(row["failure"]),
        intended_at=row["intended_at"],
        attempted_at=row["attempted_at"],
        now=row["now"],
        epoch=row["epoch"],
        cleared=row["cleared"],
        not_before=row["not_before"],
        fresh=row["fresh"],
    )
