"""`gatepost key`: who may call the service."""

from __future__ import annotations

from typing import Annotated

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, As, Json, Limit, acting, given, named, opened, other
from gatepost.service.cli.exits import EPILOG, guarded
from gatepost.service.cli.typed import typed
from gatepost.service.cli.values import read_duration

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="Keys of the service (`gatepost serve`): who may call it, for which tenant, to do what.\n\n"
    "Example: [bold]gatepost key create alice --scope read --scope decide[/]",
)
Tenant = Annotated[
    str, typer.Option("--tenant", metavar="NAME", callback=given, help="Whose runs it reaches, and nobody else's.")
]


@app.command("create", epilog=EPILOG)
@guarded
def create(
    context: typer.Context,
    principal: Annotated[str, typer.Argument(metavar="NAME", help="In whose name it acts: a person or a program.")],
    *,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="read, start, decide, operate; repeat. Without: read."),
    ] = None,
    tenant: Tenant = LOCAL,
    lasts: Annotated[str, typer.Option("--lasts", metavar="TIME", help="How long it is good, at most 366d.")] = "90d",
    label: Annotated[str, typer.Option(help="A word for the list.")] = "",
    name: As = None,
) -> None:
    """Make a key and print it, once: only its hash is stored.

    Example: gatepost key create alice --scope read --scope decide --lasts 30d
    """
    from gatepost.checkpointing.keys import Keys

    name = named(context, name)
    with opened(context, tenant) as desk:
        made = desk.run(
            Keys(desk.books.pools).create(
                tenant=tenant,
                principal=principal,
                scopes=scopes or ["read"],
                lasts=read_duration(lasts),
                created_by=acting(name).actor,
                label=label,
            )
        )
        terminal.say(made.secret)
        terminal.hint(f"{made.key_id} is good until {made.expires_at:%Y-%m-%d %H:%M %Z}. It is not shown again.")
        revoke = desk.typed("key", "revoke", made.key_id)
        terminal.hint(f"Send it as `Authorization: Bearer …`, or sign in with it. To end it: {revoke}")


@app.command("list", epilog=EPILOG)
@guarded
def list_keys(context: typer.Context, *, tenant: Tenant = LOCAL, limit: Limit = 200, as_json: Json = False) -> None:
    """The keys of a tenant, newest first. What they are is stored nowhere.

    Example: gatepost key list
    """
    from gatepost.checkpointing.keys import Keys

    with opened(context, tenant) as desk:
        rows = desk.run(Keys(desk.books.pools).of_tenant(tenant, limit=limit + 1))
        make_one = desk.typed("key", "create", "NAME")
    if as_json:
        terminal.as_json(rows, limit=limit)
        return
    terminal.table(
        ("key", "acts as", "may", "until", "stands", "label"),
        [
            (
                row["key_id"],
                row["principal"],
                ", ".join(row["scopes"]),
                row["expires_at"],
                "in force" if row["in_force"] else "revoked" if row["revoked_at"] else "expired",
                row["label"],
            )
            for row in rows
        ],
        empty=f"no keys; make one with: {make_one}",
        limit=limit,
    )


@app.command("revoke", epilog=EPILOG)
@guarded
def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id (key_…); may be abbreviated.")],
    *,
    tenant: Tenant = LOCAL,
    name: As = None,
) -> None:
    """Revoke a key for good; sessions that rest on it end with their next request.

    Example: gatepost key revoke key_1a
    """
    from gatepost.checkpointing.keys import Keys
    from gatepost.state.errors import CallerMistake

    if not key.startswith("key_"):
        shown = typed(context.obj.before, "key", "list", tenant=other(tenant))
        raise CallerMistake(f"that is no key's id. They begin with key_, and are shown by: {shown}")
    name = named(context, name)
    with opened(context) as desk:
        key_id, since = desk.run(Keys(desk.books.pools).revoke(key, tenant, by=acting(name).actor))
        terminal.say(f"{key_id} is revoked since {since:%Y-%m-%d %H:%M:%S %Z}")
