"""Recorded histories, to a file or to standard output."""

from __future__ import annotations

import sys
from typing import IO

from gatepost.service.cli.desk import LOCAL, Desk


async def write_recording(desk: Desk, run: str, file: IO[str] | None, *, tenant: str = LOCAL) -> str:
    """Everything that a replay of the run needs, as JSON lines; gives the run's id."""
    from gatepost.checkpointing.recordings import record_of

    for line in (await record_of(desk.checkpointer, run, tenant)).lines():
        (file or sys.stdout).write(f"{line}\n")
    return run
