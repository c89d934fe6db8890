"""`gatepost fork`: a new run from a state of another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from gatepost.service import terminal
from gatepost.service.cli.changes import read_changes
from gatepost.service.cli.desk import DEFAULT_ARTIFACTS, LOCAL, Artifacts, As, Desk, RunId, Tenant, named, opened
from gatepost.service.cli.exits import guarded

if TYPE_CHECKING:
    from gatepost.checkpointing.forks import Effects, Fork


@guarded
def fork(
    context: typer.Context,
    run_id: RunId,
    *,
    at: Annotated[str, typer.Option("--at", metavar="CHECKPOINT", help="A transition's number, or a checkpoint's id.")],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="input.NAME, steps.STEP.args.NAME or steps.STEP.output; repeat."
        ),
    ] = None,
    effects: Annotated[
        str,
        typer.Option(
            metavar="reuse|dry-run|fire",
            help="reuse: recorded results stand in for calls, no other call is made. dry-run: recorded results of "
            "other arguments will do, too. fire: calls are made anew, each effect under an approval of its own.",
        ),
    ] = "reuse",
    new_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="The id of the fork.")] = None,
    tenant: Tenant = LOCAL,
    name: As = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Write it down and leave it to a worker.")] = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Start a new run from a state of another one, and go on with it. Nothing of the other run changes.

    Nothing is called unless you say --effects fire. `gatepost history ID` shows the transitions.

    Example: gatepost fork run_4f --at 6 --set input.amount=90
    """
    from gatepost.service.cli.carry import Manner, carry_on

    name = named(context, name)
    with opened(context, tenant) as desk:
        made = desk.run(_forked(desk, run_id, at, changes or [], effects, new_id, name))
        terminal.say(f"[fork] id={made.run_id} of {made.parent} at {made.seq}, effects: {made.effects}")
        if no_run:
            terminal.hint(f"a worker moves it, or: {desk.typed('run', 'resume', made.run_id)}")
        else:
            carry_on(desk, None, made.run_id, Manner(name=name, artifacts=artifacts, ask=not context.obj.no_input))


async def _forked(
    desk: Desk, prefix: str, at: str, changes: list[str], effects: str, new_id: str | None, name: str | None
) -> Fork:
    from gatepost.graph.fork import afork

    who = desk.acting(name)
    row = await desk.books.runs.get(await desk.books.runs.find(prefix, who.tenant), who.tenant)
    desk.knows(row)
    given, tools = await _schemas(desk, row) if changes else (None, {})
    return await afork(
        desk.graph,
        row["run_id"],
        at=at,
        changes=read_changes(changes, given=given, tools=tools),
        effects=cast("Effects", effects),
        run_id=new_id,
        context=who,
    )


async def _schemas(desk: Desk, row: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """What the input takes, and what the arguments of each planned step take."""
    catalog = desk.graph.equipment.catalog
    workflow, tools = catalog.named(row["workflow"]), catalog.tools(row["workflow"])
    given = workflow.input_schema or None
    if not row["plan_version"]:
        return given, {}
    plan = await desk.books.history.plan(row["run_id"], row["plan_version"])
    return given, {step.id: tools[step.tool].schema() for step in plan.steps if step.tool in tools}
