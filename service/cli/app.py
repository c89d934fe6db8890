"""`gatepost`: the commands, and the options that stand before them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatepost.service.cli import approval, doctor, history, run, workflow
from gatepost.service.cli.desk import Options, named_workflows
from gatepost.service.cli.exits import EPILOG

app = typer.Typer(
    name="gatepost",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    help="Durable agent runs on LangGraph and Postgres: planned, gated, approved, done once.\n\n"
    'Start one: [bold]gatepost run --goal "vendor onboarding review"[/]\n\n'
    "See what waits for you: [bold]gatepost approval list[/]",
)
app.add_typer(run.app, name="run")
app.add_typer(approval.app, name="approval")
app.add_typer(workflow.app, name="workflow")
app.command("history", epilog=EPILOG)(history.show)
app.command("export", epilog=EPILOG)(history.export)
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
        typer.Option(metavar="MODULE:NAME", help="Another workflow; may be repeated. Also GATEPOST_WORKFLOWS."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(envvar="GATEPOST_POLICY", metavar="FILE", help="A Cedar policy set for the gate.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,  # noqa: ARG001 (its callback acts)
) -> None:
    """Options for every command."""
    context.obj = Options(database=database, workflows=named_workflows(workflows), policy=policy)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
