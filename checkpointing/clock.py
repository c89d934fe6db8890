"""Database time between two answers: what an owner takes for it who does not wait for the next one.

Invariant: what is taken for it is never early, and late by the way of the last answer only. Where that is not so, it
says so: no monotonic clock counts a sleep of the machine, and an answer may have been long on its way.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

LATE_SECONDS = 5.0
"""By how much it may be late."""


@dataclass(frozen=True, slots=True)
class Asked:
    """When the database was asked."""

    at: float
    """By this process's monotonic clock."""
    ahead: float
    """By how much this machine's clock was ahead of that one, in seconds."""

    @classmethod
    def now(cls, at: float | None = None) -> Asked:
        """It is asked now, or was at `at`."""
        moment = time.monotonic()
        return cls(moment if at is None else at, time.time() - moment)


class Clock:
    """Goes on from the time that the database told last.

    Args:
        told: what it said.
        asked: when it was asked.
    """

    def __init__(self, told: datetime, asked: Asked) -> None:
        self.tell(told, asked)

    def tell(self, told: datetime, asked: Asked) -> None:
        """The database has just answered."""
        self._told, self._asked, self._answered = told, asked, time.monotonic()

    def time(self) -> datetime:
        """Database time."""
        return self._told + timedelta(seconds=time.monotonic() - self._answered)

    def timely(self) -> bool:
        """Whether `time()` is late by little: the answer came soon, and this machine has not slept since then."""
        slept = abs(Asked.now().ahead - self._asked.ahead)
        return self._answered - self._asked.at < LATE_SECONDS and slept < LATE_SECONDS
