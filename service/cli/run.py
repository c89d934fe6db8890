"""`gatepost run`: start, list, show and resume runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli import order, recover, why
from gatepost.service.cli.desk import (
    DEFAULT_ARTIFACTS,
    LOCAL,
    Artifacts,
    As,
    Desk,
    Json,
    Limit,
    Options,
    RunId,
    Tenant,
    acting,
    named,
    opened,
)
from gatepost.service.cli.exits import EPILOG, guarded
from gatepost.service.cli.quotes import SentenceCommand, SentenceGroup
from gatepost.service.cli.standing import print_artifact, print_standing, standing
from gatepost.service.cli.values import read_input, read_pairs
from gatepost.state.errors import CallerMistake
from gatepost.state.ids import new_run_id, run_id_of
from gatepost.state.status import RunStatus

if TYPE_CHECKING:
    from gatepost.graph.context import RunContext
    from gatepost.service.cli.carry import Manner

app = typer.Typer(
    cls=SentenceGroup,
    invoke_without_command=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="Start a run, or look after the ones there are.\n\n"
    'Example: [bold]gatepost run --goal "vendor onboarding review" --set vendor=northwind-analytics[/]',
)

Goal = Annotated[
    str | None, typer.Option("--goal", "-g", help="What is to be done; `gatepost workflow list` has the goals.")
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="JSON|@FILE", help="The run's input; `gatepost workflow list` says what each takes."
    ),
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One value of the input; repeat.")]
Id = Annotated[str | None, typer.Option("--id", help="The run's id; the same id and input again goes on with it.")]
NoInput = Annotated[bool, typer.Option("--no-input", help="Never ask at the terminal.")]


@app.callback()
@guarded
def short(
    context: typer.Context,
    *,
    goal: Goal = None,
    given: Input = None,
    pairs: Set = None,
    run_id: Id = None,
    tenant: Tenant = LOCAL,
    name: As = None,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
    no_input: NoInput = False,
) -> None:
    """Start a run, or look after the ones there are."""
    if context.invoked_subcommand is None:
        manner = _manner(context, name, artifacts, no_input=no_input)
        _start(context, goal, given, pairs, run_id=run_id, tenant=tenant, manner=manner)
    elif misplaced := _given_options(context):
        raise CallerMistake(
            f"{', '.join(misplaced)} before `{context.invoked_subcommand}` would be lost: write it after "
            f"`run {context.invoked_subcommand}`, if that takes it."
        )


@app.command("start", epilog=EPILOG, cls=SentenceCommand)
@guarded
def start(
    context: typer.Context,
    *,
    goal: Goal = None,
    given: Input = None,
    pairs: Set = None,
    run_id: Id = None,
    tenant: Tenant = LOCAL,
    name: As = None,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
    no_input: NoInput = False,
    detach: Annotated[bool, typer.Option("--detach", help="Write it down for a `gatepost worker`, and leave.")] = False,
    priority: Annotated[int, typer.Option(help="With --detach: workers take the highest first.")] = 0,
) -> None:
    """Start a run and follow it until it ends or waits for a person; or leave it to a worker.

    Example: gatepost run start --goal "vendor onboarding review"
    """
    if detach:
        who = acting(named(context, name), tenant)
        _detach(context, goal, given, pairs, run_id=run_id, who=who, priority=priority)
    elif priority:
        raise CallerMistake("--priority is for workers: it needs --detach.")
    else:
        manner = _manner(context, name, artifacts, no_input=no_input)
        _start(context, goal, given, pairs, run_id=run_id, tenant=tenant, manner=manner)


@app.command("resume", epilog=EPILOG)
@guarded
def resume(
    context: typer.Context,
    run_id: RunId,
    *,
    tenant: Tenant = LOCAL,
    name: As = None,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
    no_input: NoInput = False,
) -> None:
    """Go on with a run whose process died, or that was interrupted. Asks nothing that is answered.

    Example: gatepost run resume run_4f
    """
    from gatepost.service.cli.carry import carry_on

    manner = _manner(context, name, artifacts, no_input=no_input)
    with opened(context, tenant) as desk:
        row = desk.run(_row(desk, run_id))
        desk.knows(row)
        carry_on(desk, None, row["run_id"], manner)


@app.command("list", epilog=EPILOG)
@guarded
def list_runs(
    context: typer.Context,
    *,
    status: Annotated[RunStatus | None, typer.Option(help="Only runs that stand so.")] = None,
    tenant: Tenant = LOCAL,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """The runs there are, newest first.

    Example: gatepost run list --status blocked
    """
    with opened(context, tenant) as desk:
        rows = desk.run(desk.books.runs.list(desk.tenant, status=status, limit=limit + 1))
        start_one = desk.typed("run", "--goal", "vendor onboarding review")
    if as_json:
        terminal.as_json(rows, limit=limit)
        return
    terminal.table(
        ("id", "status", "goal", "started", "why"),
        [(row["run_id"], row["status"], row["goal"], row["created_at"], row["reason"]) for row in rows],
        empty=f"no run is {status}" if status else f"no runs yet. Start one: {start_one}",
        limit=limit,
    )


@app.command("show", epilog=EPILOG)
@guarded
def show(
    context: typer.Context,
    run_id: RunId,
    *,
    artifact: Annotated[str | None, typer.Option(metavar="NAME", help="Print this artifact and nothing else.")] = None,
    tenant: Tenant = LOCAL,
    as_json: Json = False,
) -> None:
    """Where a run stands: its steps, what it waits for, its effects and artifacts, and who moves it next.

    Example: gatepost run show run_4f --artifact onboarding_decision.json
    """
    with opened(context, tenant) as desk:
        found = desk.run(standing(desk, desk.run(_row(desk, run_id))))
    if artifact is not None:
        print_artifact(found, artifact)
    elif as_json:
        terminal.as_json(found)
    else:
        print_standing(found)


app.command("why", epilog=EPILOG)(why.show)
app.command("hold", epilog=EPILOG)(order.hold)
app.command("release", epilog=EPILOG)(order.release)
app.command("cancel", epilog=EPILOG)(order.cancel)
app.command("recover", epilog=EPILOG)(recover.recover)


def _start(
    context: typer.Context,
    goal: str | None,
    given: str | None,
    pairs: list[str] | None,
    *,
    run_id: str | None,
    tenant: str,
    manner: Manner,
) -> None:
    from gatepost.service.cli.carry import carry_on

    asked, chosen = _asked(goal, given, pairs, run_id)
    with opened(context, tenant) as desk:
        desk.knows_goal(asked["goal"])
        carry_on(desk, asked, chosen, manner)


def _detach(
    context: typer.Context,
    goal: str | None,
    given: str | None,
    pairs: list[str] | None,
    *,
    run_id: str | None,
    who: RunContext,
    priority: int,
) -> None:
    asked, chosen = _asked(goal, given, pairs, run_id)
    with opened(context, who.tenant) as desk:
        config: Any = {"configurable": {"thread_id": chosen}}
        desk.knows_goal(asked["goal"])
        desk.graph.admit(asked, config, context=who, priority=priority)
        terminal.say(chosen)
        shown = desk.typed("run", "why", chosen)
    terminal.hint(f"written down for a worker; who moves it, and when: {shown}")


def _asked(
    goal: str | None, given: str | None, pairs: list[str] | None, run_id: str | None
) -> tuple[dict[str, Any], str]:
    """What a run is to be started with, and its id."""
    if goal is None:
        raise CallerMistake('say what is to be done: `gatepost run --goal "…"` (`gatepost workflow list` shows goals).')
    data = {**(read_input(given, what="--input") if given else {}), **read_pairs(pairs or [])}
    return {"goal": goal, "input": data}, run_id_of(run_id) if run_id is not None else new_run_id()


def _given_options(context: typer.Context) -> list[str]:
    """The options that were written before the subcommand, as they are written."""
    return [
        option.opts[0]
        for option in context.command.params
        if (source := context.get_parameter_source(option.name or "")) is not None and source.name == "COMMANDLINE"
    ]


def _manner(context: typer.Context, name: str | None, artifacts: Path, *, no_input: bool) -> Manner:
    from gatepost.service.cli.carry import Manner

    options: Options = context.obj
    return Manner(name=named(context, name), artifacts=artifacts, ask=not (no_input or options.no_input))


async def _row(desk: Desk, prefix: str) -> dict[str, Any]:
    return await desk.books.runs.get(await desk.books.runs.find(prefix, desk.tenant), desk.tenant)
