"""`gatepost notice`: what people were told, what could not be delivered, and trying out who is told where."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, Json, Limit, Options, Tenant, opened
from gatepost.service.cli.exits import EPILOG, Exit, guarded
from gatepost.state.errors import CallerMistake
from gatepost.state.status import NoticeState

if TYPE_CHECKING:
    from gatepost.service.notices.post import Post
    from gatepost.service.notices.routes import Routes

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="Notices to people: a new approval, one that was passed on, one whose time is nearly up. A worker sends them, "
    "where --notices (or GATEPOST_NOTICES) names a file of routes.\n\n"
    "Example: [bold]gatepost --notices notices.toml notice check --send[/]",
)
EXAMPLE = """\
    [[route]]
    name = "finance"
    roles = ["finance"]
    urls = ["mailto://${MAIL_USER}:${MAIL_PASSWORD}@example.com?to=finance@example.com"]"""


@app.command("list", epilog=EPILOG)
@guarded
def list_notices(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that were sent or dropped, too.")] = False,
    tenant: Tenant = LOCAL,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """What was not delivered (yet), newest first, and why.

    Example: gatepost notice list --all
    """
    from gatepost.checkpointing.notices import Notices

    with opened(context, tenant) as desk:
        rows = desk.run(Notices(desk.books.pools).list(tenant, everything=everything, limit=limit + 1))
        if as_json:
            terminal.as_json(rows, limit=limit)
            return
        terminal.table(
            ("notice", "tells of", "approval", "step", "state", "attempts", "told", "due", "why"),
            [
                (
                    *(row[name] for name in ("notice_id", "kind", "approval_id", "step_id", "state", "attempts")),
                    ", ".join(row["told"]),
                    row["due_at"] if row["state"] == NoticeState.PENDING else None,
                    row["reason"],
                )
                for row in rows
            ],
            empty="there are no notices" if everything else "everything is delivered",
            limit=limit,
        )
        if any(row["state"] == NoticeState.DEAD for row in rows):
            terminal.hint(f"send them again: {desk.typed('notice', 'retry', '--all')}")


@app.command("retry", epilog=EPILOG)
@guarded
def retry(
    context: typer.Context,
    notice: Annotated[
        str | None, typer.Argument(metavar="ID", help="The notice; may be abbreviated.", show_default=False)
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that could not be delivered.")] = False,
    tenant: Tenant = LOCAL,
) -> None:
    """Have a worker send again, at once, what could not be delivered. Whoever has it already is not told again.

    Example: gatepost notice retry ntc_1a2b
    """
    from gatepost.checkpointing.notices import Notices

    if bool(notice) == everything:
        raise CallerMistake("name one notice, or say --all. `gatepost notice list` shows what was not delivered.")
    with opened(context) as desk:
        again = desk.run(Notices(desk.books.pools).retry(notice, tenant))
    for one in again:
        terminal.say(f"{one} is sent again by the next worker that knows the routes")
    if not again:
        terminal.hint("there is nothing that could not be delivered")


@app.command("check", epilog=EPILOG)
@guarded
def check(
    context: typer.Context,
    *,
    send: Annotated[bool, typer.Option("--send", help="Send each address a message, to see.")] = False,
) -> None:
    """Read the file of routes, and say who is told what. Needs no database.

    Example: gatepost --notices notices.toml notice check --send
    """
    from gatepost.service.notices.post import Post
    from gatepost.service.notices.routes import read_routes

    options: Options = context.obj
    if options.notices is None:
        raise CallerMistake(
            f"name the file of routes: `gatepost --notices FILE notice check`. It says, say:\n{EXAMPLE}"
        )
    routes = read_routes(options.notices, os.environ)
    post = Post(routes)
    terminal.table(
        ("route", "addresses", "tenants", "for", "tells of"),
        [
            (
                route.name,
                len(route.urls),
                ", ".join(sorted(route.tenants)) or "all",
                _whom(route.roles, route.people),
                ", ".join(sorted(route.events)),
            )
            for route in routes.routes
        ],
        empty="",
    )
    if send and not _tried(routes, post):
        raise typer.Exit(Exit.NOT_SUCCEEDED)


def _tried(routes: Routes, post: Post) -> bool:
    """Send a message to each address; whether all went."""
    went, now = True, datetime.now(UTC)
    for route in routes.routes:
        for number, url in enumerate(route.urls, 1):
            said = f"This is a test of the route {route.name}, {now:%Y-%m-%d %H:%M:%S %Z}. Nobody is asked."
            why = post.send(url, title="Gatepost: a test", body=said, notice=f"ntc_test{secrets.token_hex(4)}")
            terminal.say(f"{route.name} address {number}: {why or 'sent'}")
            went = went and not why
    return went


def _whom(roles: frozenset[str], people: frozenset[str]) -> str:
    return f"role {', '.join(sorted(roles))}" if roles else ", ".join(sorted(people)) or "every question"
