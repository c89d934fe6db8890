"""`gatepost run recover`, `gatepost step retry` and `skip`: an operator's hands on a run that does not go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import (
    DEFAULT_ARTIFACTS,
    LOCAL,
    Artifacts,
    As,
    Desk,
    Json,
    RunId,
    Tenant,
    acting,
    named,
    opened,
)
from gatepost.service.cli.exits import EPILOG, Exit, guarded
from gatepost.state.errors import CallerMistake
from gatepost.state.recovery import Mode

if TYPE_CHECKING:
    from gatepost.checkpointing.orders import Answer
    from gatepost.nodes.outlook import Outlook

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="Try a step of a run again, or leave it out.\n\n"
    'Example: [bold]gatepost step retry run_4f charge --reason "the bank is back"[/]',
)

Why = Annotated[str, typer.Option("--reason", "-m", help="Why; needed, and on record with your name.")]
StepId = Annotated[str, typer.Argument(metavar="STEP", help="The step, as `gatepost run show` names it.")]
NoRun = Annotated[bool, typer.Option("--no-run", help="Record it and leave the run to a worker.")]

_BECOMES = {
    Mode.RESUME: "goes on",
    Mode.ROLLBACK: "is undone, the last step first, and ends",
    Mode.ESCALATE: "asks a person about what failed",
    Mode.ABANDON: "ends where it is, and nothing is undone",
}
MODES = "; ".join(f"{mode}: it {becomes}" for mode, becomes in _BECOMES.items())


@guarded
def recover(
    context: typer.Context,
    run_id: RunId,
    *,
    mode: Annotated[Mode, typer.Option(help=f"What becomes of it. {MODES}.")],
    reason: Why = "",
    tenant: Tenant = LOCAL,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    name: As = None,
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
    as_json: Json = False,
) -> None:
    """Recover a run that failed, was called off, or does not go on. Shows first what that would do.

    Without --yes it asks at a terminal; elsewhere it only shows what it would do, and leaves with 3.

    Example: gatepost run recover run_4f --mode rollback --reason "the order was a mistake"
    """
    name = named(context, name)
    with opened(context, tenant) as desk:
        run = desk.run(_found(desk, run_id))
        hands = desk.graph.hands(acting(name).actor, context=desk.acting(name))
        outlook = desk.run(hands.outlook(run, mode))
        if as_json:
            terminal.as_json(outlook.plain())
        else:
            _show(desk, outlook)
        if yes or terminal.interactive():
            _need(reason)
        if not yes and not _agreed(desk, run, mode, reason, name):
            raise typer.Exit(Exit.WAITS)
        answer = desk.run(hands.recover(run, mode, why=reason))
        _go_on(desk, run, answer, name=name, no_run=no_run or mode is Mode.ABANDON, artifacts=artifacts)


@app.command("retry", epilog=EPILOG)
@guarded
def retry(
    context: typer.Context,
    run_id: RunId,
    step: StepId,
    *,
    reason: Why = "",
    tenant: Tenant = LOCAL,
    name: As = None,
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Try a step that failed again, or an undo that failed: as a new call, under a new key.

    A step in doubt is not tried again: it may have happened (`gatepost effect resolve`).

    Example: gatepost step retry run_4f charge --reason "the bank is back"
    """
    _need(reason)
    name = named(context, name)
    with opened(context, tenant) as desk:
        run = desk.run(_found(desk, run_id))
        answer = desk.run(desk.graph.hands(acting(name).actor, context=desk.acting(name)).retry(run, step, why=reason))
        _go_on(desk, run, answer, name=name, no_run=no_run, artifacts=artifacts)


@app.command("skip", epilog=EPILOG)
@guarded
def skip(
    context: typer.Context,
    run_id: RunId,
    step: StepId,
    *,
    reason: Why = "",
    tenant: Tenant = LOCAL,
    name: As = None,
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Leave a step out that has not happened; what refers to its output is left out with it.

    Example: gatepost step skip run_4f notify --reason "told by phone"
    """
    _need(reason)
    name = named(context, name)
    with opened(context, tenant) as desk:
        run = desk.run(_found(desk, run_id))
        answer = desk.run(desk.graph.hands(acting(name).actor, context=desk.acting(name)).skip(run, step, why=reason))
        _go_on(desk, run, answer, name=name, no_run=no_run, artifacts=artifacts)


def _show(desk: Desk, outlook: Outlook) -> None:
    terminal.note(f"{outlook.run_id} is {outlook.status}. Recovered so, it {_BECOMES[outlook.mode]}:")
    if outlook.steps:
        rows = [(step.what, step.step, desk.retyped(step.why)) for step in outlook.steps]
        terminal.table(("what", "step", "why"), rows, empty="")
    else:
        terminal.say("no step is touched")


def _agreed(desk: Desk, run: str, mode: Mode, reason: str, name: str | None) -> bool:
    if not terminal.interactive():
        again = desk.typed("run", "recover", run, "--mode", mode, "--reason", reason or "say why", "--yes", name=name)
        terminal.hint(f"nothing was done. To do it: {again}")
        return False
    if (terminal.ask("Do it? [y/N] ") or "").strip().lower() in ("y", "yes"):
        return True
    terminal.hint("nothing was done")
    return False


def _need(reason: str) -> None:
    if not reason.strip():
        raise CallerMistake('say why: --reason "…". It is on record with your name. Nothing was done.')


def _go_on(desk: Desk, run: str, answer: Answer, *, name: str | None, no_run: bool, artifacts: Path) -> None:
    from gatepost.service.cli.carry import Manner, carry_on

    if answer.owner is not None:
        terminal.say(f"{run} is told: {answer.owner} stops at its next superstep, and whoever moves it then does it")
    elif no_run:
        terminal.say(f"{run} is {answer.status}")
    else:
        carry_on(desk, None, run, Manner(name=name, artifacts=artifacts, ask=False))
        return
    terminal.hint(f"see: {desk.typed('run', 'why', run)}")


async def _found(desk: Desk, prefix: str) -> str:
    return await desk.books.runs.find(prefix, desk.tenant)
