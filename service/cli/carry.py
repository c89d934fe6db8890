"""Carrying a run on from the command line: drive it, show where it stands, offer to answer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import Desk, acting, authenticated
from gatepost.service.cli.exits import Exit, code_for
from gatepost.service.cli.values import read_pairs
from gatepost.service.drive import Standing, drive
from gatepost.state.approval import ApprovalRequest, Decision
from gatepost.state.errors import CallerMistake

_CHOICES = "[a]pprove  [e]dit  [r]eject  as[k] for something else  [l]eave it"


def carry_on(
    desk: Desk, given: Mapping[str, Any] | None, run_id: str, *, name: str | None, artifacts: Path | None, ask: bool
) -> None:
    """Drive a run until it ends or nobody answers, then leave with the exit code for where it stands.

    Args:
        desk: the open database.
        given: what to start with; None to go on.
        run_id: the run.
        name: who acts; None for the user of this system.
        artifacts: where to save artifacts.
        ask: whether to offer an answer right here when a person sits at the terminal.

    Raises:
        Exit: always, with the code.
    """
    while True:
        standing = desk.run(
            drive(desk.graph, given, run_id, context=acting(name), emit=terminal.log_line, artifacts=artifacts)
        )
        given = None
        for path in standing.saved:
            terminal.hint(f"saved {path}")
        if not standing.approvals:
            raise typer.Exit(code_for(standing.status))
        asked = standing.approvals[0]
        show_request(asked)
        if not (ask and terminal.interactive()) or not _answer_here(desk, asked, name):
            show_commands(standing)
            raise typer.Exit(Exit.WAITS)


def show_request(asked: ApprovalRequest) -> None:
    """What a person is asked, on stderr, beside the log."""
    screen = terminal.err()
    screen.print(f"\n[bold]{terminal.rich_safe(asked.describe())}[/]")
    for name, value in asked.args.items():
        screen.print(f"  [cyan]{terminal.rich_safe(name)}[/] = {terminal.rich_safe(_shown(value))}")
    if asked.evidence:
        rests = ", ".join(f"{step} ({digest[:12]})" for step, digest in asked.evidence.items())
        screen.print(f"  rests on {terminal.rich_safe(rests)}")


def show_commands(standing: Standing) -> None:
    """The commands that answer what is open."""
    screen = terminal.err()
    for asked in standing.approvals:
        screen.print(f"\nAnswer {asked.step}:")
        answers = {
            "approve": f"gatepost approval approve {asked.id} --as NAME",
            "edit": f"gatepost approval edit {asked.id} --set NAME=VALUE --as NAME",
            "reject": f'gatepost approval reject {asked.id} --comment "why" --as NAME',
            "respond": f'gatepost approval respond {asked.id} "what to do first" --as NAME',
        }
        for kind in asked.allowed:
            screen.print(f"  {answers[kind]}", style="bold" if kind == "approve" else "")


def _answer_here(desk: Desk, asked: ApprovalRequest, name: str | None) -> bool:
    """Ask the person at the terminal; False when they leave it open."""
    while True:
        decision = _prompted(asked, name)
        if decision is None:
            return False
        try:
            desk.graph.decide(decision)
        except CallerMistake as error:
            terminal.err().print(f"[bold red]error:[/] {terminal.rich_safe(error)}")
            continue
        return True


def _prompted(asked: ApprovalRequest, name: str | None) -> Decision | None:
    terminal.err().print(f"\n{_CHOICES.replace('[', chr(92) + '[')} ", end="")
    sys.stderr.flush()
    choice = sys.stdin.readline().strip().lower()[:1]
    by = acting(name).actor
    made: dict[str, Any]
    match choice:
        case "a":
            made = asked.approve(by=by)
        case "e":
            made = asked.edit(by=by, **read_pairs([_line("name=value: ")]))
        case "r":
            made = asked.reject(by=by, comment=_line("why: "))
        case "k":
            made = asked.respond(_line("what first: ") or "?", by=by)
        case _:
            return None
    return Decision.model_validate({**made, "channel": "cli", "authenticated": authenticated(name)})


def _line(prompt: str) -> str:
    terminal.err().print(prompt, end="")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _shown(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
