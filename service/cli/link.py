"""`gatepost approval link`: an address at which one person answers one approval, without signing in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, ApprovalId, As, Desk, Tenant, acting, named, opened
from gatepost.service.cli.exits import guarded
from gatepost.service.cli.values import read_duration
from gatepost.state.errors import CallerMistake
from gatepost.state.status import ApprovalStatus
from gatepost.state.values import storable_text

HERE = "http://localhost:8650"


@guarded
def link(
    context: typer.Context,
    approval: ApprovalId,
    *,
    principal: Annotated[
        str | None, typer.Option("--for", metavar="NAME", help="Who answers with it, and in whose name it is recorded.")
    ] = None,
    expires: Annotated[str, typer.Option("--expires", metavar="TIME", help="How long it works, at most 30d.")] = "1d",
    url: Annotated[
        str,
        typer.Option(
            "--url",
            envvar="GATEPOST_PUBLIC_URL",
            metavar="URL",
            help="Where people reach the service.",
            show_envvar=True,
        ),
    ] = HERE,
    revoke: Annotated[
        bool,
        typer.Option("--revoke", help="Make none: end those made so far, everybody's or with --for that person's."),
    ] = False,
    name: As = None,
    tenant: Tenant = LOCAL,
) -> None:
    """Make a link for mail or chat: it shows the question, and answers it once, in the name of one person.

    Whoever has the link can answer, so send it to nobody else. Looking at it decides nothing. What that person may
    decide is checked when they answer, as everywhere. It ends with its time, with the question, when it was used, with
    --revoke, and when the key that signed it is taken out of GATEPOST_LINK_KEYS_FILE (or GATEPOST_LINK_KEYS).

    Example: gatepost approval link apr_1a --for bob --expires 4h
    """
    by = acting(named(context, name)).actor
    if not revoke and principal is None:
        raise CallerMistake("say whom the link is for: --for NAME. It answers in that name.")
    if principal is not None:
        storable_text(principal, where="--for", max_bytes=200)
    keys = () if revoke else _keys()
    with opened(context, tenant) as desk:
        approvals = desk.books.approvals
        row = desk.run(approvals.get(desk.run(approvals.find(approval, tenant)), tenant))
        if revoke:
            _revoke(desk, row, tenant, principal=principal, by=by)
        else:
            _make(desk, row, tenant, principal=principal or "", by=by, keys=keys, url=url, expires=expires)


def _keys() -> tuple[bytes, ...]:
    from gatepost.service.http.links import no_keys, read_keys

    if not (keys := read_keys(os.environ)):
        raise CallerMistake(no_keys())
    return keys


def _revoke(desk: Desk, row: Mapping[str, Any], tenant: str, *, principal: str | None, by: str) -> None:
    from gatepost.checkpointing.links import Links

    approval = row["approval_id"]
    desk.run(Links(desk.books.pools).revoke(approval, tenant, principal=principal, by=by))
    whose = f"for {principal}" if principal else "there are"
    desk.run(desk.books.approvals.comment(approval, f"revoked the links {whose}", tenant=tenant, by=by))
    terminal.say(terminal.one_line(f"revoked: the links to {approval} {whose}"))


def _make(
    desk: Desk,
    row: Mapping[str, Any],
    tenant: str,
    *,
    principal: str,
    by: str,
    keys: Sequence[bytes],
    url: str,
    expires: str,
) -> None:
    from gatepost.checkpointing.overview import Overview
    from gatepost.service.http.links import link_for

    approval = row["approval_id"]
    if row["status"] != ApprovalStatus.OPEN:
        raise CallerMistake(f"approval {approval} is {row['status']}: nothing is asked any more.")
    made = link_for(
        approval,
        tenant=tenant,
        principal=principal,
        digest=row["digest"],
        now=desk.run(Overview(desk.books.pools).now()),
        keys=keys,
        base=url,
        lasts=read_duration(expires),
    )
    said = f"made a link for {principal}, for {expires}"
    desk.run(desk.books.approvals.comment(approval, said, tenant=tenant, by=by))
    terminal.say(made)
    if url == HERE:
        terminal.hint("It leads to this machine. For others: --url, or GATEPOST_PUBLIC_URL, is where they reach it.")
    terminal.hint(
        terminal.one_line(f"It answers {approval} once, as {principal}, within {expires}. Send it to nobody else.")
    )
