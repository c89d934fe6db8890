"""`gatepost approval`: what waits for a person, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli import link, question
from gatepost.service.cli.desk import DEFAULT_ARTIFACTS, LOCAL, ApprovalId, Artifacts, As, Tenant, acting, named, opened
from gatepost.service.cli.exits import EPILOG, guarded
from gatepost.service.cli.quotes import SentenceCommand
from gatepost.service.cli.values import edited, read_object
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

For = Annotated[
    str,
    typer.Option("--for", metavar="NAME", help="In whose place: who delegated to you."),
]

Answer = Callable[["ApprovalRequest", str], dict[str, Any]]


app.command("list", epilog=EPILOG)(question.list_approvals)
app.command("show", epilog=EPILOG)(question.show)
app.command("comment", epilog=EPILOG, cls=SentenceCommand)(question.comment)
app.command("link", epilog=EPILOG)(link.link)


@app.command("approve", epilog=EPILOG, cls=SentenceCommand)
@guarded
def approve(
    context: typer.Context,
    approval: ApprovalId,
    *,
    comment: Comment = "",
    tenant: Tenant = LOCAL,
    name: As = None,
    place: For = "",
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
        tenant=tenant,
        name=name,
        place=place,
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
    tenant: Tenant = LOCAL,
    name: As = None,
    place: For = "",
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
        tenant=tenant,
        name=name,
        place=place,
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
    tenant: Tenant = LOCAL,
    name: As = None,
    place: For = "",
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Let it run with other arguments. They are checked and judged by the policy before anything is recorded.

    Each value is read as its argument's type says; [bold]gatepost approval show[/] prints what each takes.

    Asked what happened, it says: it happened, and returned this (--set result=…).

    Example: gatepost approval edit apr_1a --set controls='["sso","mfa"]' --as alice
    """
    whole = read_object(args, what="--args") if args is not None else None
    if not pairs and whole is None:
        raise CallerMistake("say what to change: --set NAME=VALUE, or --args with all arguments.")

    def answer(asked: ApprovalRequest, by: str) -> dict[str, Any]:
        return edited(asked, pairs or [], whole, by=by, comment=comment)

    _answer(context, approval, answer, tenant=tenant, name=name, place=place, no_run=no_run, artifacts=artifacts)


@app.command("respond", epilog=EPILOG, cls=SentenceCommand)
@guarded
def respond(
    context: typer.Context,
    approval: ApprovalId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be done first; the planner gets it.")],
    *,
    tenant: Tenant = LOCAL,
    name: As = None,
    place: For = "",
    no_run: NoRun = False,
    artifacts: Artifacts = DEFAULT_ARTIFACTS,
) -> None:
    """Ask for something else first; a new plan is made, and what is done is kept.

    Example: gatepost approval respond apr_1a "get the penetration test report" --as alice
    """
    _answer(
        context,
        approval,
        lambda asked, by: asked.respond(text, by=by),
        tenant=tenant,
        name=name,
        place=place,
        no_run=no_run,
        artifacts=artifacts,
    )


def _answer(
    context: typer.Context,
    approval: str,
    answer: Answer,
    *,
    tenant: str,
    name: str | None,
    place: str,
    no_run: bool,
    artifacts: Path,
    plain_yes: bool = False,
) -> None:
    from gatepost.checkpointing.answers import request_in
    from gatepost.service.cli.answer import decision as decided
    from gatepost.service.cli.answer import refuse_plain_yes, show_edit
    from gatepost.service.cli.carry import carry_out
    from gatepost.service.cli.foreseen import cost_line

    name = named(context, name)
    with opened(context, tenant) as desk:
        row = desk.run(question.row_of(desk, approval))
        desk.knows(row)
        asked = request_in(row)
        if plain_yes:
            refuse_plain_yes(desk, asked, name)
        decision = decided({**answer(asked, acting(name).actor), "on_behalf_of": place}, name)
        if decision.args is not None and asked.kind == "action":
            show_edit(terminal.hint, asked, decision.args)
            tool = desk.graph.equipment.catalog.tools(row["workflow"]).get(asked.tool)
            if (line := cost_line(asked, tool, decision.args)) is not None:
                terminal.hint(line)
        carry_out(desk, row["run_id"], decision, name=name, no_run=no_run, artifacts=artifacts)
