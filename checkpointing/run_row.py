"""A run as its row said when somebody took it: who asked for it, what it is, and how far it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gatepost.state.status import RunStatus


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as its row said when the lease was taken."""

    run_id: str
    tenant: str
    root_run_id: str
    requested_by: str
    goal: str
    workflow: str
    input: dict[str, Any]
    status: RunStatus
    seq: int
    plan_version: int
    parent_run_id: str | None = None
    """Of a fork: the run that it was forked from."""
    fork_effects: str | None = None
    """Of a fork: `reuse`, `dry-run` or `fire`."""
    created_at: datetime | None = None
    traceparent: str | None = None
    """The trace that it belongs to (W3C), where it was started by somebody who traces."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> RunRow:
        """Pick the fields out of a row of gatepost.run."""
        fields: dict[str, Any] = {name: row.get(name) for name in cls.__slots__}
        return cls(**{**fields, "status": RunStatus(row["status"])})
