"""`gatepost policy`: the commands about policies, and the versions that have judged here."""

from __future__ import annotations

from typing import Annotated

import typer

from gatepost.service import terminal
from gatepost.service.cli import policy_check, policy_explain
from gatepost.service.cli.desk import Json, Limit, opened
from gatepost.service.cli.exits import EPILOG, guarded

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="What runs unattended, what a person is asked about, what never runs: check the Cedar policies, ask them why, "
    "try them on cases. Nothing here changes anything.\n\n"
    "Example: [bold]gatepost policy explain docs_collect vendor=acme --origin model[/]",
)
app.command("check", epilog=EPILOG)(policy_check.check)
app.command("explain", epilog=EPILOG)(policy_explain.explain)
app.command("test", epilog=EPILOG, help=policy_check.TEST_HELP)(policy_check.try_cases)
app.command("schema", epilog=EPILOG)(policy_explain.schema)


@app.command("list", epilog=EPILOG)
@guarded
def list_versions(context: typer.Context, *, limit: Limit = 50, as_json: Json = False) -> None:
    """The versions of the policy sets that have judged here, the latest first.

    Example: gatepost policy list
    """
    with opened(context) as desk:
        rows = desk.run(desk.books.policies.list(limit=limit + 1))
    if as_json:
        terminal.as_json(rows, limit=limit)
        return
    terminal.table(
        ("version", "since", "sets"),
        [(row["version"], row["first_used"], ", ".join(f"{one['layer']} {one['name']}" for one in row["sets"]))
         for row in rows],
        empty="no run was moved here yet",
        limit=limit,
    )  # fmt: skip


@app.command("show", epilog=EPILOG)
@guarded
def show(
    context: typer.Context,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As it stands on an approval; may be abbreviated.")],
    *,
    as_json: Json = False,
) -> None:
    """The text of the sets of a version, as they were when they judged.

    Example: gatepost policy show 12a81b
    """
    with opened(context) as desk:
        row = desk.run(desk.books.policies.show(version))
    if as_json:
        terminal.as_json(row)
        return
    for one in row["sets"]:
        terminal.say(f"// {one['layer']}: {one['name']}, version {one['version']}")
        terminal.say(terminal.safe(one["text"]))
