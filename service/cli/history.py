"""`gatepost history`: the transitions of a run, page by page or as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import anyio
import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, Desk, Json, RunId, Tenant, opened
from gatepost.service.cli.exits import guarded
from gatepost.state.errors import CallerMistake
from gatepost.state.transition import Transition

LOOK_SECONDS = 0.3
_PAGE = 200
_COLOURS = {"step": "cyan", "effect": "magenta", "approval": "yellow", "order": "red"}


@guarded
def show(
    context: typer.Context,
    run_id: RunId,
    *,
    before: Annotated[
        int | None, typer.Option(min=1, help="Only transitions before this number: the page before.")
    ] = None,
    after: Annotated[
        int | None, typer.Option(min=0, help="The first ones after this number, instead of the newest.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="At most so many.")] = _PAGE,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until the run ends or Ctrl-C.")
    ] = False,
    tenant: Tenant = LOCAL,
    as_json: Json = False,
) -> None:
    """What happened to a run, transition by transition: what ran, how long, who or what made it, what changed.

    A tree on a terminal, a line for each transition in a pipe. The newest ones, the oldest of them first.

    Example: gatepost history run_4f --before 200
    """
    if before is not None and (follow or after is not None):
        raise CallerMistake("--before asks for what was, --after and --follow for what came then. Choose one.")
    with opened(context, tenant) as desk:
        run = desk.run(desk.books.runs.find(run_id, desk.tenant))
        page = desk.run(desk.books.history.page(run, before=before, after=after, limit=limit))
        if follow:
            desk.run(_follow(desk, run, page, as_json=as_json))
            return
        more = _more(desk, run, page, after=after, limit=limit)
    if as_json:
        terminal.as_json([transition.plain() for transition in page])
        return
    _print(page, header=True)
    if not page:
        terminal.hint("no transitions there" if (before or after) else "no transitions yet")
    if more:
        terminal.hint(more)


def _more(desk: Desk, run: str, page: Sequence[Transition], *, after: int | None, limit: int) -> str:
    if after is not None:
        last = desk.run(desk.books.runs.get(run, desk.tenant))["seq"]
        if not page or page[-1].seq >= last:
            return ""
        return f"more: {desk.typed('history', run, '--after', str(page[-1].seq), '--limit', str(limit))}"
    if page and page[0].seq > 1 and page[0].source != "fork":
        return f"earlier: {desk.typed('history', run, '--before', str(page[0].seq), '--limit', str(limit))}"
    return ""


async def _follow(desk: Desk, run: str, page: Sequence[Transition], *, as_json: bool) -> None:
    """What comes is found by looking: one look is one indexed statement, and misses nothing."""
    first, seen = True, 0
    while True:
        row = await desk.books.runs.get(run, desk.tenant)
        while page:
            _print_json(page) if as_json else _print(page, header=first)
            first, seen = False, page[-1].seq
            page = await desk.books.history.page(run, after=seen, limit=_PAGE)
        if row["finished_at"] is not None and row["seq"] <= seen:
            terminal.hint(f"{run} has ended: {row['status']}")
            return
        await anyio.sleep(LOOK_SECONDS)
        page = await desk.books.history.page(run, after=seen, limit=_PAGE)


def _print(page: Sequence[Transition], *, header: bool) -> None:
    if sys.stdout.isatty():
        _tree(page)
    elif page:
        _lines(page, header=header)


def _print_json(page: Iterable[Transition]) -> None:
    for transition in page:
        sys.stdout.write(terminal.json_text(transition.plain()) + "\n")
    sys.stdout.flush()


def _lines(page: Iterable[Transition], *, header: bool) -> None:
    from gatepost.service import told

    rows = [
        (
            str(one.seq),
            one.plain()["at"],
            "+".join(one.nodes),
            "+".join(one.next) or "-",
            one.status,
            f"{one.seconds:.3f}",
            str(one.cause),
            "; ".join(line for _, line in told.details(one)) or one.reason,
        )
        for one in page
    ]
    columns = ("#", "when", "ran", "next", "status", "seconds", "cause", "what")
    for row in [columns, *rows] if header else rows:
        sys.stdout.write("\t".join(terminal.one_line(cell) for cell in row) + "\n")
    sys.stdout.flush()


def _tree(page: Iterable[Transition]) -> None:
    from rich.text import Text
    from rich.tree import Tree

    from gatepost.service import told

    for one in page:
        head = Text.assemble(
            (f"#{one.seq} ", "bold"), (f"{one.at:%H:%M:%S} ", "dim"), terminal.one_line(told.headline(one))
        )
        tree = Tree(head, guide_style="dim")
        for kind, line in told.details(one):
            tree.add(Text.assemble((f"{kind} ", _COLOURS.get(kind, "green")), terminal.one_line(line)))
        terminal.out().print(tree, soft_wrap=False)
