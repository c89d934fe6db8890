"""Recorded histories on standard output."""

from __future__ import annotations

from gatepost.service import terminal
from gatepost.service.cli.desk import Desk, acting


async def write_recording(desk: Desk, prefix: str) -> None:
    """Everything that a replay of the run needs, as JSON lines."""
    from gatepost.checkpointing.recordings import record_of

    tenant = acting(None).tenant
    run_id = await desk.checkpointer.runs.find(prefix, tenant)
    for line in (await record_of(desk.checkpointer, run_id, tenant)).lines():
        terminal.content(f"{line}\n")
