"""`gatepost run hold`, `release` and `cancel`: an operator's hands on a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import As, Desk, RunId, acting, named, opened
from gatepost.service.cli.exits import guarded

if TYPE_CHECKING:
    from gatepost.checkpointing.orders import Order

Why = Annotated[str, typer.Option("--reason", "-m", help="Why; it is on record with your name.")]


@guarded
def hold(context: typer.Context, run_id: RunId, *, reason: Why = "", name: As = None) -> None:
    """Stop a run until somebody releases it. What is under way reaches the end of its superstep.

    Example: gatepost run hold run_4f --reason "the vendor called"
    """
    _order(context, "hold", run_id, reason=reason, name=name)


@guarded
def cancel(context: typer.Context, run_id: RunId, *, reason: Why = "", name: As = None) -> None:
    """Call a run off for good. What is under way reaches the end of its superstep; what is done stays done.

    Example: gatepost run cancel run_4f --reason "not needed any more"
    """
    _order(context, "cancel", run_id, reason=reason, name=name)


@guarded
def release(context: typer.Context, run_id: RunId, *, reason: Why = "", name: As = None) -> None:
    """Let a run go on that was held, or that workers gave up (stranded): any worker takes it then.

    Example: gatepost run release run_4f --reason "the provider is back"
    """
    from gatepost.checkpointing.orders import Orders

    with opened(context) as desk:
        run = desk.run(_found(desk, run_id))
        who = acting(named(context, name))
        orders = Orders(desk.checkpointer.pools)
        status = desk.run(orders.release(run, who.tenant, actor=who.actor, why=reason))
        terminal.say(f"{run} is {status}")
        terminal.hint(f"who moves it next: {desk.typed('run', 'why', run)}")


def _order(context: typer.Context, order: Order, run_id: str, *, reason: str, name: str | None) -> None:
    from gatepost.checkpointing.orders import Orders

    with opened(context) as desk:
        run = desk.run(_found(desk, run_id))
        who = acting(named(context, name))
        answer = desk.run(Orders(desk.checkpointer.pools).give(order, run, who.tenant, actor=who.actor, why=reason))
        if answer.owner is None:
            terminal.say(f"{run} is {answer.status}")
        else:
            terminal.say(f"{run} is told to stop: {answer.owner} obeys at its next superstep")
            terminal.hint(f"see: {desk.typed('run', 'why', run)}")


async def _found(desk: Desk, prefix: str) -> str:
    return await desk.checkpointer.runs.find(prefix, acting(None).tenant)
