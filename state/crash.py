"""Crash points: named instants at which a test ends the process, as `kill -9` would.

In production they are nothing: a call that looks at one variable. `GATEPOST_CRASH_AT=call.after`
arms one when the process starts, `GATEPOST_CRASH_AT=call.after:2` its second time; `gatepost.testing`
arms them in a fork. The names are in `docs/guarantees.md`, with what each has shown.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

VARIABLE = "GATEPOST_CRASH_AT"


@dataclass
class Fate:
    """Where the process ends, and which instants it has passed."""

    point: str = ""
    """Empty for nowhere."""
    times: int = 1
    """How often it is passed until then, this time included."""
    passed: list[str] | None = field(default=None)
    """All instants so far, where somebody wants to know them."""

    @classmethod
    def at(cls, instant: str) -> Fate:
        """The fate to end at an instant: `call.after`, or `call.after:2` for its second time."""
        point, _, times = instant.partition(":")
        return cls(point, int(times or 1))

    def arrive(self, point: str) -> None:
        """An instant: end the process, or note it and go on."""
        if self.passed is not None:
            self.passed.append(point)
        if point != self.point:
            return
        self.times -= 1
        if self.times == 0:
            os.kill(os.getpid(), signal.SIGKILL)


_fate: Fate | None = Fate.at(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
"""The one mutable thing of this module: a process has one fate."""


def here(point: str) -> None:
    """An instant at which a test may end the process."""
    if _fate is not None:
        _fate.arrive(point)


def meet(fate: Fate | None) -> None:
    """Give the process a fate, or none."""
    global _fate  # noqa: PLW0603
    _fate = fate
