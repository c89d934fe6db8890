"""`gatepost workflow`: what this installation can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import Json, Options
from gatepost.service.cli.exits import EPILOG, guarded

if TYPE_CHECKING:
    from gatepost.nodes.workflow import Workflow

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="The workflows that are installed, and those named by --workflows or GATEPOST_WORKFLOWS.\n\n"
    "Example: [bold]gatepost workflow list[/]",
)


@app.callback()
def only_groups() -> None:
    """Keep `list` a command of its own, so that others can join it."""


@app.command("list", epilog=EPILOG)
@guarded
def list_workflows(context: typer.Context, *, as_json: Json = False) -> None:
    """The workflows, the goals that mean them, what they are started with, and what their tools do to the world.

    Example: gatepost workflow list
    """
    from gatepost.service.catalog import find_workflows
    from gatepost.state.form import takes_of

    options: Options = context.obj
    known = find_workflows(options.workflows)
    for broken in known.broken:
        terminal.complain("warning", broken)
    found = known.workflows
    if as_json:
        terminal.as_json([_described(workflow) for workflow in found])
        return
    terminal.table(
        ("workflow", "goal", "tools", "input"),
        [
            (
                workflow.name,
                "; ".join(workflow.goals),
                ", ".join(f"{tool.name} ({tool.effect})" for tool in workflow.tools),
                takes_of(schema) if (schema := workflow.input_schema) else "any",
            )
            for workflow in found
        ],
        empty="no workflow is installed; name one with --workflows module:ATTRIBUTE",
    )


def _described(workflow: Workflow) -> dict[str, object]:
    return {
        "name": workflow.name,
        "goals": list(workflow.goals),
        "description": workflow.description,
        "input_schema": workflow.input_schema,
        "tools": {tool.name: str(tool.effect) for tool in workflow.tools},
    }
