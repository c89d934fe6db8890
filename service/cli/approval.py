"""`gatepost approval`: what waits for a person, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import (
    DEFAULT_ARTIFACTS,
    ApprovalId,
    Artifacts,
    As,
    Desk,
    Json,
    Limit,
    acting,
    named,
    opened,
)
from gatepost.service.cli.exits import EPILOG, guarded
from gatepost.service.cli.quotes import SentenceCommand
from gatepost.service.cli.values import read_object, read_pairs
from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from gatepost.state.approval import ApprovalRequest

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="See what waits for a person, and answer it. Ids may be abbreviated.\n\n"
    "An answer is recorded first and carried out then, so it counts once whatever dies in between.\n\n"
    "Example: [bold]gatepost approval approve apr_1a2b --as alice[/]",
)

Comment = Annotated[str, typer.Option("--comment", "-m", help="A note for the record.")]
NoRun = Annotated[bool, typer.Option("--no-run", help="Record the answer and leave the run to somebody else.")]

Answer = Callable[["ApprovalRequest", str], dict[str, Any]]


@app.command("list", epilog=EPILOG)
@guarded
def list_approvals(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Answered and void ones as well.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """What waits for a person, oldest first.

    Example: gatepost approval list --json
    """
    status = None if everything else "open"
    with opened(context) as desk:
        rows = desk.run(desk.checkpointer.approvals.list(acting(None).tenant, status=status, limit=limit))
    if as_json:
        terminal.as_json(rows)
        return
    terminal.table(
        ("approval", "run", "step", "status", "since", "why"),
        [
            (
                row["approval_id"],
                row["run_id"],
                row["step_id"],
                row["status"] if row["type"] is None else f"{row['type']} by {row['principal']}",
                row["opened_at"],
                "; ".join(row["request"].get("reasons", [])),
            )
            for row in rows
        ],
        empty="nothing waits for a person",
    )


@app.command("show", epilog=EPILOG)
@guarded
def show(context: typer.Context, approval: ApprovalId, *, as_json: Json = False) -> None:
    """One approval: what is asked, on what it rests, and the answer if there is one.

    Example: gatepost approval show apr_1a
    """
    from gatepost.service.cli.answer import show_edit, show_request
    from gatepost.state.approval import ApprovalRequest

    with opened(context) as desk:
        row = desk.run(_row(desk, approval))
    if as_json:
        terminal.as_json(row)
        return
    asked = ApprovalRequest.model_validate(row["request"])
    show_request(terminal.say, asked)
    terminal.say(
        f"\n{row['approval_id']}  {row['status']}  run {row['run_id']}  since {terminal.safe(row['opened_at'])}"
    )
    terminal.say(f"digest   {row['digest']}")
    if row["type"] is not None:
        note = f" ({row['comment']})" if row["comment"] else ""
        said = f"{row['type']} by {row['principal']} at {terminal.safe(row['decided_at'])}{note}"
        terminal.say(f"answer   {terminal.one_line(said)}")
        if row["args"] is not None:
            show_edit(terminal.say, asked, row["args"])


@app.command("approve", epilog=EPILOG, cls=SentenceCommand)
@guarded
def approve(
    context: typer.Context,
    approval: ApprovalId,
    *,
    comment: Comment = "",
    name: As = None,
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Let exactly this action run, and carry the run on.

    Example: gatepost approval approve apr_1a --as alice
    """
    _answer(
        context,
        approval,
        lambda asked, by: asked.approve(by=by, comment=comment),
        plain_yes=True,
        name=name,
        no_run=no_run,
        artifacts=artifacts,
    )


@app.command("reject", epilog=EPILOG, cls=SentenceCommand)
@guarded
def reject(
    context: typer.Context,
    approval: ApprovalId,
    *,
    comment: Comment = "",
    name: As = None,
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Do not let it run; the run ends as rejected. Asked what happened, it says: it did not.

    Example: gatepost approval reject apr_1a --comment "not with this vendor" --as alice
    """
    _answer(
        context,
        approval,
        lambda asked, by: asked.reject(by=by, comment=comment),
        name=name,
        no_run=no_run,
        artifacts=artifacts,
    )


@app.command("edit", epilog=EPILOG, cls=SentenceCommand)
@guarded
def edit(
    context: typer.Context,
    approval: ApprovalId,
    *,
    pairs: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Another value for an argument; repeat.")
    ] = None,
    args: Annotated[str | None, typer.Option("--args", metavar="JSON|@FILE", help="All arguments at once.")] = None,
    comment: Comment = "",
    name: As = None,
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Let it run with other arguments. They are checked and judged by the policy before anything is recorded.

    Asked what happened, it says: it happened, and returned this (--set result=…).

    Example: gatepost approval edit apr_1a --set controls='["sso","mfa"]' --as alice
    """
    from gatepost.state.approval import Decision

    changes = read_pairs(pairs or [])
    whole = read_object(args, what="--args") if args is not None else None
    if not changes and whole is None:
        raise CallerMistake("say what to change: --set NAME=VALUE, or --args with all arguments.")

    def answer(asked: ApprovalRequest, by: str) -> dict[str, Any]:
        wanted = {**(asked.args if whole is None else whole), **changes}
        return Decision(approval=asked.id, type="edit", by=by, comment=comment, args=wanted).plain()

    _answer(context, approval, answer, name=name, no_run=no_run, artifacts=artifacts)


@app.command("respond", epilog=EPILOG, cls=SentenceCommand)
@guarded
def respond(
    context: typer.Context,
    approval: ApprovalId,
    text: Annotated[str, typer.Argument(help="What is to be done first; the planner gets it.")],
    *,
    name: As = None,
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Ask for something else first; a new plan is made, and what is done is kept.

    Example: gatepost approval respond apr_1a "get the penetration test report" --as alice
    """
    _answer(
        context, approval, lambda asked, by: asked.respond(text, by=by), name=name, no_run=no_run, artifacts=artifacts
    )


def _answer(
    context: typer.Context,
    approval: str,
    answer: Answer,
    *,
    name: str | None,
    no_run: bool,
    artifacts: Path,
    plain_yes: bool = False,
) -> None:
    from gatepost.service.cli.answer import decision as decided
    from gatepost.service.cli.answer import refuse_plain_yes
    from gatepost.service.cli.carry import carry_out
    from gatepost.state.approval import ApprovalRequest

    name = named(context, name)
    with opened(context) as desk:
        row = desk.run(_row(desk, approval))
        desk.knows(row)
        asked = ApprovalRequest.model_validate(row["request"])
        if plain_yes:
            refuse_plain_yes(desk, asked, name)
        decision = decided(answer(asked, acting(name).actor), name)
        carry_out(desk, row["run_id"], decision, name=name, no_run=no_run, artifacts=artifacts)


async def _row(desk: Desk, prefix: str) -> dict[str, Any]:
    tenant = acting(None).tenant
    return await desk.checkpointer.approvals.get(await desk.checkpointer.approvals.find(prefix, tenant), tenant)
