"""`gatepost delegation`: who answers in whose place, for how long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, As, Json, Tenant, acting, named, opened
from gatepost.service.cli.exits import EPILOG, guarded
from gatepost.service.cli.values import read_duration
from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from gatepost.state.delegation import ScopeKind

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="Let somebody answer approvals in your place for a while. They count as you, and never as both of you.\n\n"
    "Example: [bold]gatepost delegation give --to bob --role finance --until 3d --reason holiday[/]",
)


@app.command("give", epilog=EPILOG)
@guarded
def give(
    context: typer.Context,
    *,
    delegate: Annotated[str, typer.Option("--to", metavar="NAME", help="Who answers in your place.")],
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="When it ends: 3d, 8h, 2026-12-24T18:00+01:00.")
    ],
    giver: Annotated[
        str | None, typer.Option("--from", metavar="NAME", help="In whose place, where that is not you.")
    ] = None,
    role: Annotated[str | None, typer.Option("--role", help="Only with this role.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only in this workflow.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="Only for this tool.")] = None,
    passes_on: Annotated[bool, typer.Option("--may-pass-on", help="They may delegate it in turn.")] = False,
    reason: Annotated[str, typer.Option("--reason", "-m", help="For the record.")] = "",
    tenant: Tenant = LOCAL,
    name: As = None,
) -> None:
    """Let somebody answer in your place, until then.

    Example: gatepost delegation give --to bob --role finance --until 3d --as alice
    """
    who = acting(named(context, name), tenant)
    kind, scope = _scope(role=role, workflow=workflow, tool=tool)
    with opened(context) as desk:
        given = desk.run(
            desk.books.people.delegate(
                giver or who.actor,
                delegate,
                tenant=who.tenant,
                by=who.actor,
                until=_until(until),
                kind=kind,
                scope=scope,
                passes_on=passes_on,
                reason=reason,
            )
        )
    terminal.say(terminal.one_line(f"{given.shown} to {given.delegate}, until {terminal.safe(given.ends_at)}"))


@app.command("end", epilog=EPILOG)
@guarded
def end(
    context: typer.Context,
    delegation: Annotated[str, typer.Argument(metavar="ID", help="The delegation; may be abbreviated.")],
    *,
    tenant: Tenant = LOCAL,
    name: As = None,
) -> None:
    """End a delegation before its time. What was decided under it stands.

    Example: gatepost delegation end del_1a --as alice
    """
    who = acting(named(context, name), tenant)
    with opened(context) as desk:
        ended = desk.run(desk.books.people.end(delegation, tenant=who.tenant, by=who.actor))
    terminal.say(f"{ended} is over")


@app.command("list", epilog=EPILOG)
@guarded
def list_delegations(
    context: typer.Context,
    *,
    tenant: Tenant = LOCAL,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over as well.")] = False,
    as_json: Json = False,
) -> None:
    """Who answers in whose place, newest first.

    Example: gatepost delegation list --json
    """
    with opened(context) as desk:
        rows = desk.run(desk.books.people.delegations(tenant, ended=everything))
    if as_json:
        terminal.as_json(rows)
        return
    terminal.table(
        ("delegation", "from", "to", "for", "until", "given by", "why", "ended"),
        [_cells(row) for row in rows],
        empty="nobody answers in another's place",
    )


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    what = "everything" if row["kind"] == "all" else f"{row['kind']} {row['scope']}"
    if row["passes_on"]:
        what += ", may be passed on"
    ended = None if row["ended_at"] is None else f"by {row['ended_by']} at {row['ended_at']:%Y-%m-%d %H:%M:%S}"
    people = (row["delegation_id"], row["giver"], row["delegate"])
    return (*people, what, row["ends_at"], row["given_by"], row["reason"], ended)


def _scope(**given: str | None) -> tuple[ScopeKind, str]:
    found = [(kind, scope) for kind, scope in given.items() if scope is not None]
    if len(found) > 1:
        raise CallerMistake("name one of --role, --workflow, --tool, or none of them for everything.")
    if not found:
        return "all", ""
    kind: Any = found[0][0]
    return kind, found[0][1]


def _until(text: str) -> datetime | timedelta:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return read_duration(text)
        except CallerMistake:
            raise CallerMistake(f"--until {text!r} is no time. Write 3d, 8h or 2026-12-24T18:00+01:00.") from None
    return moment if moment.tzinfo is not None else moment.astimezone()
