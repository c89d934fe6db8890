"""Reports: what a replay found, for people, for CI and for code."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Why a re-execution goes another way than the record."""

    INPUT = "input"
    """The run starts from something else."""
    PROMPT = "prompt"
    """A model is asked something else."""
    ROUTING = "code: routing"
    """The code decides otherwise what comes next."""
    RENAME = "code: rename"
    """A step or tool has another name."""
    POLICY = "policy"
    """The policy set judges otherwise; under the recorded one nothing differs here."""
    CONFIGURATION = "configuration"
    """A workflow or tool declares something else (retries, compensation, reactions)."""
    DATA_SHAPE = "data shape"
    """A type no longer takes what is recorded, or reads it otherwise."""
    WALL_CLOCK = "wall clock read directly"
    """The code's result depends on when it is executed: it reads the clock, not the `now` that it is given."""
    MISSING_RECORD = "missing record"
    """The code asks for something that no record holds."""
    UNEXPLAINED = "unexplained"
    """No recorded fact differs: the code depends on something else (randomness, a file, the environment)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where record and re-execution differ."""

    path: str
    """`steps/charge/status`, `next`, `plan/steps/0/id`, `state/frontier/…`"""
    recorded: Any
    replayed: Any


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first transition that came out otherwise."""

    seq: int
    nodes: tuple[str, ...]
    cause: Cause
    why: str
    """What gave the cause away."""
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay found."""

    run_id: str
    workflow: str
    transitions: int
    """Compared, and found the same."""
    last: int
    """The last one on record."""
    divergence: Divergence | None = None
    consequences: tuple[int, ...] = ()
    """Transitions after the divergence: whatever differs there follows from it."""
    stopped_at: int | None = None
    """The transition before which `--break` stopped."""
    state: dict[str, Any] | None = None
    """The state of the re-execution there."""
    warnings: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether every transition that was compared came out the same."""
        return self.divergence is None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"identical": self.identical, **asdict(self)}
