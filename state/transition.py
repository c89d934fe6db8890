"""Transitions as people read them: one superstep with its cause, its length, what changed, and what hangs on it.

Metadata only: no arguments, outputs or contents, so that a page of them is small whatever a run carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

CauseKind: TypeAlias = Literal["start", "owner", "person", "timer", "operator", "takeover"]
"""`start`: somebody asked for the run. `owner`: whoever moved it before went on. `person`: an approval was answered.
`timer`: a wait was over. `operator`: somebody ordered it. `takeover`: another owner, after one had stopped."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Who or what made a transition happen."""

    kind: CauseKind
    who: str
    """The principal under whose name it was made; for `person`, who answered."""
    why: str = ""

    def __str__(self) -> str:
        """One line: `person alice: approve apr_1a (cli)`."""
        return f"{self.kind} {self.who}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True, slots=True)
class StepMove:
    """What became of a step."""

    step: str
    was: str
    to: str
    tool: str = ""
    label: str = ""
    reason: str = ""
    approval: str | None = None
    key: str | None = None
    policies: tuple[str, ...] = ()
    """Ids of the policies that decided."""
    failure: Mapping[str, Any] | None = None
    attempts: int | None = None
    """How often its effect was attempted until now; None where it has none, as reads have none."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One superstep of a run."""

    run_id: str
    seq: int
    at: datetime
    """When it was committed."""
    nodes: tuple[str, ...]
    next: tuple[str, ...]
    was: str
    """The status of the run before."""
    status: str
    reason: str
    source: str
    actor: str
    cause: Cause
    epoch: int
    seconds: float
    """From when it could begin until it was committed: the wait before it is not counted."""
    waited: float
    """Seconds before that in which the run waited for a person or a timer."""
    checkpoint_id: str | None
    """None where the workflow's policy kept none."""
    channels: tuple[str, ...]
    """The channels that it wrote; empty where no checkpoint was kept."""
    steps: tuple[StepMove, ...]
    effects: tuple[Mapping[str, Any], ...]
    """The ledger's rows that were announced in it: `key, step, purpose, tool, effect_class, state, attempts, …`."""
    approvals: tuple[Mapping[str, Any], ...]
    """Opened or answered in it: `approval, step, what ("opened" or "answered"), status, kind, tool, decisions`."""
    orders: tuple[Mapping[str, Any], ...]
    """What operators did meanwhile: `kind, actor, reason, at`."""
    made: tuple[Mapping[str, Any], ...]
    """Plans and artifacts: `kind, name, detail`."""

    def plain(self) -> dict[str, Any]:
        """The same as plain data; times are ISO 8601 in UTC."""
        data: dict[str, Any] = _plain(asdict(self))
        return data


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
