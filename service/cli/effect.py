"""`gatepost effect`: what was done to the world, what nobody knows about, and saying what became of it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import (
    DEFAULT_ARTIFACTS,
    LOCAL,
    Artifacts,
    As,
    Desk,
    EffectKey,
    Json,
    Limit,
    Tenant,
    acting,
    authenticated,
    named,
    opened,
)
from gatepost.service.cli.exits import EPILOG, guarded
from gatepost.service.cli.values import read_pairs
from gatepost.state.errors import CallerMistake
from gatepost.state.status import EffectState

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="See what was done to the world, and say what became of a call whose end nobody saw. Keys may be "
    "abbreviated.\n\n"
    "Example: [bold]gatepost effect resolve eff_1a2b --happened --result '\"ch_7\"' --as alice[/]",
)


@app.command("list", epilog=EPILOG)
@guarded
def list_effects(
    context: typer.Context,
    *,
    unknown: Annotated[bool, typer.Option("--unknown", help="Only those that nobody knows the end of.")] = False,
    run_id: Annotated[str | None, typer.Option("--run", metavar="ID", help="Only those of a run.")] = None,
    tenant: Tenant = LOCAL,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """What was done, newest first.

    Example: gatepost effect list --unknown
    """
    with opened(context, tenant) as desk:
        rows = desk.run(_page(desk, run_id, unknown=unknown, limit=limit + 1))
    if as_json:
        terminal.as_json(rows, limit=limit)
        return
    terminal.table(
        ("effect", "run", "step", "tool", "state", "attempts", "since", "why"),
        [
            (
                row["key"],
                row["run_id"],
                row["step_id"],
                row["tool"] if row["purpose"] == "run" else f"{row['tool']} (undo)",
                _stands(row),
                row["attempts"],
                row["intended_at"],
                (row["failure"] or {}).get("message", ""),
            )
            for row in rows
        ],
        empty="nothing was done" if not unknown else "there is nothing that nobody knows the end of",
        limit=limit,
    )


@app.command("show", epilog=EPILOG)
@guarded
def show(context: typer.Context, effect: EffectKey, *, tenant: Tenant = LOCAL, as_json: Json = False) -> None:
    """One effect: what was called, under which authority, and what is known of it.

    Example: gatepost effect show eff_1a2b
    """
    with opened(context, tenant) as desk:
        row = desk.run(_row(desk, effect))
        if as_json:
            terminal.as_json(row)
            return
        for name, value in _shown(row):
            terminal.say(f"{name:<12} {terminal.one_line(terminal.safe(value))}")
        if row["state"] == EffectState.IN_DOUBT and row["question"] is not None:
            for command in _commands(desk, row):
                terminal.note(f"  {command}")


@app.command("resolve", epilog=EPILOG)
@guarded
def resolve(
    context: typer.Context,
    effect: EffectKey,
    *,
    happened: Annotated[bool, typer.Option("--happened", help="It happened, and the run goes on.")] = False,
    did_not: Annotated[bool, typer.Option("--did-not-happen", help="It did not happen, and will not.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="It happened; end the run and undo what it did.")] = False,
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="What the call returned: JSON, or a text.")
    ] = None,
    comment: Annotated[str, typer.Option("--comment", "-m", help="How you know; for the record.")] = "",
    tenant: Tenant = LOCAL,
    name: As = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Record it and leave the run to somebody else.")] = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Say what became of a call whose end nobody saw, and carry the run on.

    Example: gatepost effect resolve eff_1a2b --did-not-happen --comment "the bank has no such transfer"
    """
    from gatepost.graph.resolution import resolve as resolve_effect
    from gatepost.service.cli.carry import go_on

    if [happened, did_not, undo].count(True) != 1:
        raise CallerMistake("say one of: --happened, --did-not-happen, --undo.")
    name = named(context, name)
    with opened(context, tenant) as desk:
        row = desk.run(_row(desk, effect))
        desk.knows(row)
        recorded = desk.run(
            resolve_effect(
                desk.checkpointer,
                desk.graph.equipment,
                row["key"],
                tenant=desk.tenant,
                by=acting(name).actor,
                happened=not did_not,
                result=None if result is None else read_pairs([f"result={result}"])["result"],
                undo=undo,
                comment=comment,
                channel="cli",
                authenticated=authenticated(name),
                going_on=not no_run,
            )
        )
        if recorded is None:
            terminal.say(f"recorded: its run {row['run_id']} had ended, and only the ledger had to know")
            return
        go_on(desk, row["run_id"], recorded, name=name, no_run=no_run, artifacts=artifacts)


def _shown(row: dict[str, Any]) -> list[tuple[str, Any]]:
    failure = row["failure"] or {}
    facts = {
        "key": row["key"],
        "state": _stands(row),
        "run": f"{row['run_id']} ({row['run_status']})",
        "step": row["step_id"],
        "tool": f"{row['tool']} {row['tool_version']} ({row['effect_class']}, on doubt {row['on_doubt']})",
        "purpose": None if row["purpose"] == "run" else "undoes what the step did",
        "arguments": json.dumps(row["arguments"], ensure_ascii=False),
        "result": None if row["result"] is None else json.dumps(row["result"], ensure_ascii=False),
        "failure": f"{failure['kind']}: {failure['message']}" if failure else None,
        "approval": row["approval_id"],
        "attempts": row["attempts"],
        "announced": row["intended_at"],
        "last attempt": row["attempted_at"],
        "finished": row["finished_at"],
        "question": row["question"],
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def _stands(row: dict[str, Any]) -> str:
    """The state as people read it; what was announced and taken back before any call is said to be."""
    return "taken back" if row["state"] == EffectState.INTENDED and not row["attempts"] else str(row["state"])


def _commands(desk: Desk, row: dict[str, Any]) -> list[str]:
    return [
        desk.typed("effect", "resolve", row["key"], *said)
        for said in (("--happened", "--result", "what it returned"), ("--did-not-happen",), ("--undo",))
    ]


async def _page(desk: Desk, run: str | None, *, unknown: bool, limit: int) -> list[dict[str, Any]]:
    run_id = None if run is None else await desk.books.runs.find(run, desk.tenant)
    return await desk.books.effects.page(desk.tenant, unknown=unknown, run_id=run_id, limit=limit)


async def _row(desk: Desk, prefix: str) -> dict[str, Any]:
    effects = desk.books.effects
    return await effects.row(await effects.find(prefix, desk.tenant), desk.tenant)
