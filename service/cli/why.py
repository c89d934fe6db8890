"""`gatepost run why`: who moves a run next."""

from __future__ import annotations

from typing import Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, Desk, Json, RunId, Tenant, opened
from gatepost.service.cli.exits import guarded


@guarded
def show(context: typer.Context, run_id: RunId, *, tenant: Tenant = LOCAL, as_json: Json = False) -> None:
    """Who moves a run next, and the command that helps: an owner, a worker, a timer, a person, or nobody.

    Example: gatepost run why run_4f
    """
    with opened(context, tenant) as desk:
        found = desk.run(report(desk, run_id))
    if as_json:
        terminal.as_json(found)
        return
    terminal.say(terminal.one_line(found["sentence"]))
    terminal.say(f"    → {found['command']}")


async def report(desk: Desk, prefix: str) -> dict[str, Any]:
    """What `run why` says of the run that an abbreviation means."""
    from gatepost.checkpointing.movers import Movers
    from gatepost.service.why import why

    books, tenant = desk.books, desk.tenant
    run_id = await books.runs.find(prefix, tenant)
    row = await Movers(books.pools, books.runs).why(run_id, tenant)
    said = why(row)
    shown = ("run_id", "status", "reason", "until", "detail", "seq", "setbacks", "trouble", "ahead", "movers")
    return {
        "kind": said.kind,
        **{name: row[name] for name in shown},
        "sentence": said.sentence,
        "command": desk.typed(*said.command),
    }
