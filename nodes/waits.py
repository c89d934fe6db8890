"""Waits between the attempts at a call: how long, and by the database's clock.

Invariant: nobody waits for long under a run's lease (what takes longer is parked, and nobody holds the run meanwhile),
and whoever waits notices within a slice that the run went to another owner.
"""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta

import anyio

from gatepost.checkpointing.session import RunSession
from gatepost.nodes.tool import Retry
from gatepost.state.step import Failure

LONGEST_PAUSE_SECONDS = 60.0
"""Whatever takes longer is not waited for here, under the run's lease: the run is parked, and nobody holds it."""
SLICE_SECONDS = 1.0
"""How often a wait looks whether the run is still ours, and what the database's clock says."""


class Clock:
    """Database time, as last read and gone on since.

    Args:
        now: just read.
    """

    def __init__(self, now: datetime) -> None:
        self.set(now)

    def set(self, now: datetime) -> None:
        """It was read again."""
        self._read = (now, time.monotonic())

    def now(self) -> datetime:
        """What the database would say."""
        then, at = self._read
        return then + timedelta(seconds=time.monotonic() - at)


async def pause(session: RunSession, seconds: float) -> None:
    """Wait, for as long as the run is ours; the heartbeat keeps the lease meanwhile.

    Raises:
        LostRun: another owner has the run.
    """
    while seconds > 0:
        await anyio.sleep(min(seconds, SLICE_SECONDS))
        session.check()
        seconds -= SLICE_SECONDS


def pause_seconds(retry: Retry, attempt: int, failure: Failure, dice: random.Random) -> float:
    """How long to wait before the next attempt: what the provider asks, else doubled each time with jitter."""
    if failure.retry_after is not None:
        return failure.retry_after
    longest: float = min(retry.longest.total_seconds(), retry.first.total_seconds() * 2 ** min(attempt - 1, 60))
    return longest * dice.uniform(0.5, 1.0)
