"""`gatepost approval list`, `show` and `comment`: what is asked of people, and what was said to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, ApprovalId, As, Desk, Json, Limit, Tenant, acting, named, opened
from gatepost.service.cli.exits import guarded
from gatepost.state.errors import CallerMistake, UnknownApproval
from gatepost.state.status import ApprovalStatus, RunStatus

if TYPE_CHECKING:
    from gatepost.state.approval import ApprovalRequest


@guarded
def list_approvals(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Answered and void ones as well.")] = False,
    tenant: Tenant = LOCAL,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """What waits for a person, oldest first.

    Example: gatepost approval list --json
    """
    status = None if everything else "open"
    with opened(context, tenant) as desk:
        rows = desk.run(desk.books.approvals.list(desk.tenant, status=status, limit=limit + 1))
    if as_json:
        terminal.as_json(rows, limit=limit)
        return
    terminal.table(
        ("approval", "run", "step", "status", "since", "until", "why"),
        [
            (
                row["approval_id"],
                row["run_id"],
                row["step_id"],
                _stands(row),
                row["opened_at"],
                row["decide_by"] if row["status"] == "open" else None,
                _why(row),
            )
            for row in rows
        ],
        empty="nothing waits for a person",
        limit=limit,
    )


@guarded
def show(context: typer.Context, approval: ApprovalId, *, tenant: Tenant = LOCAL, as_json: Json = False) -> None:
    """One approval: what is asked of whom, on what it rests, what was said to it, and what an edit may change.

    Example: gatepost approval show apr_1a
    """
    from gatepost.checkpointing.answers import request_in
    from gatepost.service.cli.answer import show_edit, show_request

    with opened(context, tenant) as desk:
        row = desk.run(row_of(desk, approval))
        told = desk.run(desk.books.approvals.life(row["approval_id"]))
    if as_json:
        terminal.as_json({**row, "told": told})
        return
    asked = request_in(row)
    show_request(terminal.say, asked, row["fork_effects"])
    if row["status"] == ApprovalStatus.OPEN:
        if row["run_status"] == RunStatus.HELD:
            terminal.say("  an operator holds this run: an answer is recorded now, and carried out after its release")
        _show_form(asked)
    terminal.say(
        f"\n{row['approval_id']}  {row['status']}  run {row['run_id']}  since {terminal.safe(row['opened_at'])}"
    )
    terminal.say(f"digest   {row['digest']}")
    _show_life(told)
    if row["type"] is not None:
        note = f" ({row['comment']})" if row["comment"] else ""
        place = f" for {row['on_behalf_of']}" if row["on_behalf_of"] else ""
        said = f"{row['type']} by {row['principal']}{place} at {terminal.safe(row['decided_at'])}{note}"
        until = f", good until {terminal.safe(row['good_until'])}" if row["good_until"] else ""
        terminal.say(f"answer   {terminal.one_line(said)}{until}")
        if row["args"] is not None:
            show_edit(terminal.say, asked, row["args"])


@guarded
def comment(
    context: typer.Context,
    approval: ApprovalId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be said.")],
    *,
    tenant: Tenant = LOCAL,
    name: As = None,
) -> None:
    """Say something about an approval without answering it.

    Example: gatepost approval comment apr_1a "is this the new account?" --as alice
    """
    by = acting(named(context, name)).actor
    with opened(context, tenant) as desk:
        row = desk.run(row_of(desk, approval))
        desk.run(desk.books.approvals.comment(row["approval_id"], text, tenant=row["tenant"], by=by))
    terminal.say(terminal.one_line(f"recorded: comment by {by}"))


async def row_of(desk: Desk, prefix: str) -> dict[str, Any]:
    """The one approval whose id starts so, with its answer."""
    approvals = desk.books.approvals
    try:
        found = await approvals.find(prefix, desk.tenant)
    except UnknownApproval:
        asked = await _asked_by(desk, prefix)
        if asked is None:
            raise
        asks = f"asks {', '.join(asked)}" if asked else "asks nothing now"
        raise UnknownApproval(
            f"{prefix} is a run, and it {asks}. `gatepost approval list` shows what waits for a person."
        ) from None
    return await approvals.get(found, desk.tenant)


async def _asked_by(desk: Desk, prefix: str) -> list[str] | None:
    """The open questions of the run whose id starts so; None: there is no such run."""
    try:
        run = await desk.books.runs.find(prefix, desk.tenant)
    except CallerMistake:
        return None
    return [row["approval_id"] for row in await desk.books.approvals.list(desk.tenant, run_id=run)]


def _stands(row: Mapping[str, Any]) -> str:
    if row["type"] is not None:
        return f"{row['type']} by {row['principal']}"
    return str(row["status"]) if not row["yes"] else f"{row['status']}, {row['yes']} said yes"


def _why(row: Mapping[str, Any]) -> str:
    effects, reasons = row["fork_effects"], row["request"].get("reasons", [])
    quiet = effects not in (None, "fire")
    return "; ".join([f"a yes calls nothing (a fork, effects: {effects})", *reasons] if quiet else reasons)


def _show_form(asked: ApprovalRequest) -> None:
    """What an edit may change, and what each argument takes."""
    from gatepost.state.form import fields_of

    if asked.kind != "action" or "edit" not in asked.allowed:
        return
    for field in fields_of(asked.args_schema).values():
        told = f" ({field.description})" if field.description else ""
        terminal.say(terminal.one_line(f"  {field.name} takes {field.shown}{told}"))


def _show_life(told: Sequence[Mapping[str, Any]]) -> None:
    for one in told:
        what = f"refused to {one['actor']}" if one["kind"] == "refused" else f"{one['kind']} by {one['actor']}"
        place = f" for {one['counted_as']}" if one["counted_as"] not in (None, one["actor"]) else ""
        roles = f" ({', '.join(one['roles'])})" if one["roles"] else ""
        args = f" {terminal.json_text(one['args'])}" if one["args"] else ""
        reason = f": {one['reason']}" if one["reason"] else ""
        said = f"{terminal.safe(one['at'])} {what}{place}{roles}{args}{reason}"
        terminal.say(f"told     {terminal.one_line(said)}")
