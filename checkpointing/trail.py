"""A run's trail of checkpoints: which of them its policy keeps, and what the next one has to make up for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gatepost.state.checkpoints import CheckpointPolicy, keeps
from gatepost.state.status import STEP_SETTLED


@dataclass
class Trail:
    """Which checkpoints are kept, and what the next one has to make up for."""

    policy: CheckpointPolicy = "after_each_step"
    newest: str | None = None
    """The newest checkpoint that was kept."""
    unsaved: set[str] = field(default_factory=set)
    """Channels that changed since then: their values are in no row of LangGraph's."""
    items: int = 0
    """Steps that came to their end since then."""
    since: datetime | None = None

    def keeps(self, parts: Mapping[str, Sequence[Mapping[str, Any]]], *, boundary: bool, now: datetime) -> bool:
        """Whether the policy keeps a checkpoint of a transition with these rows."""
        self.since = self.since or now
        self.items += sum(row["status"] in STEP_SETTLED for row in parts.get("step", ()))
        return keeps(self.policy, boundary=boundary, items=self.items, elapsed=now - self.since)

    def kept(self, checkpoint_id: str, now: datetime) -> None:
        """A checkpoint was kept."""
        self.newest, self.items, self.since = checkpoint_id, 0, now
        self.unsaved.clear()
