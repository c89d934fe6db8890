"""From what was measured to what is shown: medians over rounds, per step."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.crew import Stretch
from bench.rows import Row


@dataclass
class Series:
    """One row at one number of runs: a stretch for each round."""

    row: Row
    runs: int
    transitions: float | None = None
    """Supersteps of a step, where the engine has them."""
    stretches: list[Stretch] = field(default_factory=list)

    @property
    def units(self) -> float:
        """What a step is divided by: a row about transitions shows one of them."""
        return (self.transitions or 1.0) if self.row.per_transition else 1.0

    @property
    def each_ms(self) -> list[float]:
        """Milliseconds that one run needs for one step, in each round."""
        return [1000 * stretch.seconds * stretch.runs / stretch.steps / self.units for stretch in self.stretches]

    @property
    def ms(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.each_ms)

    @property
    def best_ms(self) -> float:
        """The fastest round."""
        return min(self.each_ms)

    @property
    def rate(self) -> float:
        """Steps a second, of all runs."""
        return 1000 * self.runs / self.ms

    @property
    def commits(self) -> float:
        """Commits that wrote, per step; exact."""
        return self._per_step(stretch.counted.commits for stretch in self.stretches)

    @property
    def wal_bytes(self) -> float:
        """Bytes of write-ahead log per step."""
        return self._per_step(stretch.counted.wal_bytes for stretch in self.stretches)

    @property
    def table_bytes(self) -> float:
        """Bytes by which the database grew, indexes included, per step; in pages of 8 kB, so over all rounds."""
        return self._per_step(stretch.counted.table_bytes for stretch in self.stretches)

    @property
    def client_ms(self) -> float:
        """CPU time of the crew per step."""
        return 1000 * self._per_step(stretch.client_seconds for stretch in self.stretches)

    @property
    def server_ms(self) -> float | None:
        """CPU time of the server per step."""
        spent = [stretch.counted.server_seconds for stretch in self.stretches]
        known = [seconds for seconds in spent if seconds is not None]
        return 1000 * self._per_step(known) if len(known) == len(spent) else None

    def _per_step(self, amounts: object) -> float:
        steps = sum(stretch.steps for stretch in self.stretches)
        return sum(amounts) / steps / self.units  # type: ignore[call-overload,no-any-return]


def ratio(one: Series, other: Series) -> float:
    """How much longer a step of one takes than a step of the other: the median over the rounds.

    Both were measured turn about, so that what slows the machine for a while slows a pair alike.
    """
    pairs = zip(one.each_ms, other.each_ms, strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class Result:
    """One table: every row at every number of runs, on one server."""

    disk: str
    processes: int
    series: Sequence[Series]

    def at(self, row: str, runs: int) -> Series | None:
        """A row at a number of runs, if it was measured."""
        return next((one for one in self.series if one.row.name == row and one.runs == runs), None)

    @property
    def levels(self) -> list[int]:
        """The numbers of runs at once."""
        return sorted({one.runs for one in self.series})
