"""`gatepost`: the commands, and the options that stand before them."""

from __future__ import annotations

import gc
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from gatepost.service.cli import (
    approval,
    delegation,
    doctor,
    effect,
    export,
    fork,
    history,
    key,
    notice,
    recover,
    replay,
    role,
    run,
    serve,
    worker,
    workflow,
)
from gatepost.service.cli import policy as rules
from gatepost.service.cli.before import CommandsAfterOptions
from gatepost.service.cli.desk import Options, named_workflows
from gatepost.service.cli.exits import EPILOG, flush, leave
from gatepost.service.cli.typed import options_before

app = typer.Typer(
    name="gatepost",
    cls=CommandsAfterOptions,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    help="Durable agent runs on LangGraph and Postgres: planned, gated, approved, done once.\n\n"
    'Start one: [bold]gatepost run --goal "vendor onboarding review"[/]\n\n'
    "See what waits for you: [bold]gatepost approval list[/]",
)
app.add_typer(run.app, name="run")
app.add_typer(recover.app, name="step")
app.add_typer(approval.app, name="approval")
app.add_typer(role.app, name="role")
app.add_typer(delegation.app, name="delegation")
app.add_typer(effect.app, name="effect")
app.add_typer(workflow.app, name="workflow")
app.add_typer(rules.app, name="policy")
app.add_typer(key.app, name="key")
app.add_typer(notice.app, name="notice")
app.command("worker", epilog=EPILOG)(worker.work)
app.command("serve", epilog=EPILOG)(serve.serve)
app.command("dev", epilog=EPILOG)(serve.dev)
app.command("history", epilog=EPILOG)(history.show)
app.command("export", epilog=EPILOG)(export.export)
app.command("replay", epilog=EPILOG)(replay.replay)
app.command("fork", epilog=EPILOG)(fork.fork)
app.command("doctor", epilog=EPILOG)(doctor.doctor)
app.command("migrate", epilog=EPILOG)(doctor.migrate)


def _version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if wanted:
        from importlib.metadata import version

        typer.echo(f"gatepost {version('gatepost')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A Postgres URL. Default: GATEPOST_DATABASE_URL, else an embedded server."),
    ] = None,
    workflows: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:ATTRIBUTE", help="A workflow or a list of them; repeat. Also GATEPOST_WORKFLOWS."),
    ] = None,
    principal: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Who acts. Default: the user of this system.")
    ] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask at the terminal.")] = False,
    policy: Annotated[
        Path | None, typer.Option(envvar="GATEPOST_POLICY", metavar="FILE", help="A Cedar policy set for the gate.")
    ] = None,
    policies: Annotated[
        Path | None,
        typer.Option(envvar="GATEPOST_POLICIES", metavar="DIR", help="Sets of tenants, a file TENANT.cedar for each."),
    ] = None,
    notices: Annotated[
        Path | None,
        typer.Option(envvar="GATEPOST_NOTICES", metavar="FILE", help="Who is told of approvals, and where (TOML)."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,  # noqa: ARG001 (its callback acts)
) -> None:
    """Options for every command."""
    context.obj = Options(
        database=database,
        workflows=named_workflows(workflows),
        policy=policy,
        policies=policies,
        principal=principal,
        no_input=no_input,
        notices=notices,
        before=options_before(context),
    )


ROOM_FOR_IMPORTS = 50_000


def main() -> None:
    """The console script."""
    # What is imported stays: a collector that looks through it every 700 objects takes a sixth of a command's start.
    gc.set_threshold(ROOM_FOR_IMPORTS, *gc.get_threshold()[1:])
    _forgive_missing_streams()
    _forgive_encodings()
    try:
        app(prog_name="gatepost")
    except SystemExit as end:
        flush()
        leave(end.code)
        raise


def _forgive_missing_streams() -> None:
    """A process that was started with a stream closed reads nothing there, and writes to nobody."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w"))  # noqa: SIM115 (for good)


def _forgive_encodings() -> None:
    """A screen that knows no `✓` shows an escape; a byte that is no text is refused where it enters, not here."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)


if __name__ == "__main__":
    main()
