"""`gatepost run hold`, `release` and `cancel`: an operator's hands on a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, As, Desk, RunId, Tenant, named, opened
from gatepost.service.cli.exits import guarded
from gatepost.state.status import RunStatus

if TYPE_CHECKING:
    from gatepost.checkpointing.orders import Answer

Why = Annotated[str, typer.Option("--reason", "-m", help="Why; it is on record with your name.")]


@guarded
def hold(context: typer.Context, run_id: RunId, *, reason: Why = "", tenant: Tenant = LOCAL, name: As = None) -> None:
    """Stop a run until somebody releases it. What is under way reaches the end of its superstep.

    Example: gatepost run hold run_4f --reason "the vendor called"
    """
    with opened(context, tenant) as desk:
        run = desk.run(_row(desk, run_id))["run_id"]
        who = desk.acting(named(context, name))
        _told(desk, run, desk.run(desk.books.orders.give("hold", run, who.tenant, actor=who.actor, why=reason)))


@guarded
def cancel(context: typer.Context, run_id: RunId, *, reason: Why = "", tenant: Tenant = LOCAL, name: As = None) -> None:
    """Call a run off for good. What is under way reaches the end of its superstep.

    What is done is undone where the workflow says so (compensate_on), and stays done elsewhere.

    Example: gatepost run cancel run_4f --reason "not needed any more"
    """
    with opened(context, tenant) as desk:
        row = desk.run(_row(desk, run_id))
        desk.knows(row)
        who = desk.acting(named(context, name))
        answer = desk.run(desk.graph.hands(who.actor, context=who).cancel(row["run_id"], why=reason))
        _told(desk, row["run_id"], answer)


@guarded
def release(
    context: typer.Context, run_id: RunId, *, reason: Why = "", tenant: Tenant = LOCAL, name: As = None
) -> None:
    """Let a run go on that was held, or that workers gave up (stranded): any worker takes it then.

    Example: gatepost run release run_4f --reason "the provider is back"
    """
    with opened(context, tenant) as desk:
        run = desk.run(_row(desk, run_id))["run_id"]
        who = desk.acting(named(context, name))
        status = desk.run(desk.books.orders.release(run, who.tenant, actor=who.actor, why=reason))
        terminal.say(f"{run} is {status}")
        terminal.hint(f"who moves it next: {desk.typed('run', 'why', run)}")


def _told(desk: Desk, run: str, answer: Answer) -> None:
    if answer.owner is None:
        terminal.say(f"{run} is {answer.status}")
        if answer.status is RunStatus.QUEUED:
            terminal.hint(f"what it did is undone by a worker, or by: {desk.typed('run', 'resume', run)}")
    else:
        terminal.say(f"{run} is told to stop: {answer.owner} obeys at its next superstep")
        terminal.hint(f"see: {desk.typed('run', 'why', run)}")


async def _row(desk: Desk, prefix: str) -> dict[str, Any]:
    return await desk.books.runs.get(await desk.books.runs.find(prefix, desk.tenant), desk.tenant)
