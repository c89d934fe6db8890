"""`gatepost role`: who holds which role."""

from __future__ import annotations

from typing import Annotated

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, As, Json, Tenant, acting, named, opened
from gatepost.service.cli.exits import EPILOG, guarded

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="Say who holds which role. A gate asks for roles; whoever holds one may answer.\n\n"
    "Example: [bold]gatepost role grant alice finance[/]",
)

Person = Annotated[str, typer.Argument(metavar="NAME", help="The person.", show_default=False)]
Role = Annotated[str, typer.Argument(metavar="ROLE", help="The role, as gates name it.", show_default=False)]


@app.command("grant", epilog=EPILOG)
@guarded
def grant(context: typer.Context, person: Person, role: Role, *, tenant: Tenant = LOCAL, name: As = None) -> None:
    """Give a person a role.

    Example: gatepost role grant alice finance --as hr
    """
    who = acting(named(context, name), tenant)
    with opened(context) as desk:
        new = desk.run(desk.books.people.grant(person, role, tenant=who.tenant, by=who.actor))
    terminal.say(terminal.one_line(f"{person} {'now holds' if new else 'held already'} the role {role}"))


@app.command("revoke", epilog=EPILOG)
@guarded
def revoke(context: typer.Context, person: Person, role: Role, *, tenant: Tenant = LOCAL, name: As = None) -> None:
    """Take a role from a person. What they decided stands.

    Example: gatepost role revoke alice finance --as hr
    """
    who = acting(named(context, name), tenant)
    with opened(context) as desk:
        held = desk.run(desk.books.people.revoke(person, role, tenant=who.tenant, by=who.actor))
    terminal.say(terminal.one_line(f"{person} {'no longer holds' if held else 'did not hold'} the role {role}"))


@app.command("list", epilog=EPILOG)
@guarded
def list_roles(
    context: typer.Context,
    *,
    tenant: Tenant = LOCAL,
    everything: Annotated[bool, typer.Option("--all", help="Those that were revoked as well.")] = False,
    as_json: Json = False,
) -> None:
    """Who holds which role, and who gave it.

    Example: gatepost role list --all
    """
    with opened(context, tenant) as desk:
        rows = desk.run(desk.books.people.roles(tenant, ended=everything))
        give_one = desk.typed("role", "grant", "NAME", "ROLE")
    if as_json:
        terminal.as_json(rows)
        return
    columns = ("principal", "role", "granted_by", "granted_at", *(("revoked_by", "revoked_at") if everything else ()))
    terminal.table(
        [column.replace("_", " ") for column in columns],
        [[row[column] for column in columns] for row in rows],
        empty=f"nobody holds a role; give one with: {give_one}",
    )
