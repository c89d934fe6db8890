"""Where a run stands, as `gatepost run show` says it: steps, questions, effects, artifacts, and who moves it next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from gatepost.service import terminal
from gatepost.service.cli import why
from gatepost.service.cli.desk import Desk
from gatepost.service.cli.exits import Exit
from gatepost.service.cli.undone import undoing
from gatepost.service.told import lasted

_SHOWN = (
    "run_id", "goal", "workflow", "input", "status", "reason", "requested_by", "plan_version", "seq", "owner", "epoch",
    "lease_expires_at", "created_at", "updated_at", "finished_at",
)  # fmt: skip


async def standing(desk: Desk, row: Mapping[str, Any]) -> dict[str, Any]:
    """Where a run stands; `row` is its row."""
    run_id, tenant, books = row["run_id"], row["tenant"], desk.books
    board = await books.history.board(run_id, plan_version=row["plan_version"], run_input=row["input"])
    planned = [step.id for step in board.plan.steps] if board.plan else []
    steps = list(dict.fromkeys([*planned, *board.records]))
    approvals = await books.approvals.list(tenant, status=None, run_id=run_id, limit=1000)
    return {
        **{name: row[name] for name in _SHOWN},
        "spent": await books.history.spent(run_id),
        "next": (await why.report(desk, run_id))["sentence"],
        "steps": [board.record(step).plain() | {"status": board.status(step)} for step in steps],
        "approvals": approvals,
        "effects": await books.history.effects(run_id),
        "artifacts": await books.history.artifacts(run_id),
    }


def print_standing(found: Mapping[str, Any]) -> None:
    """Print it for a person."""
    reason = f": {found['reason']}" if found["reason"] else ""
    for line in (
        f"{found['run_id']}  {found['status']}{reason}",
        f"goal     {found['goal']} ({found['workflow']}), asked for by {found['requested_by']}",
        f"plan     v{found['plan_version']}, transition {found['seq']}",
        f"next     {found['next']}",
        *_measured(found),
    ):
        terminal.say(terminal.one_line(line))
    for line in undoing(found["steps"]):
        terminal.say(terminal.one_line(line))
    terminal.say("")
    terminal.table(
        ("step", "status", "result", "why"),
        [(step["step"], step["status"], step.get("label"), step.get("reason")) for step in found["steps"]],
        empty="no plan yet",
    )
    if found["approvals"]:
        terminal.say("")
        terminal.table(
            ("approval", "step", "status", "answer", "by"),
            [(a["approval_id"], a["step_id"], a["status"], a["type"], a["principal"]) for a in found["approvals"]],
            empty="",
        )
    if found["effects"]:
        terminal.say("")
        terminal.table(
            ("effect", "step", "tool", "state", "attempts", "took"),
            [(e["key"], e["step_id"], e["tool"], e["state"], e["attempts"], _took(e)) for e in found["effects"]],
            empty="",
        )
    for artifact in found["artifacts"]:
        made = f"artifact {artifact['name']} v{artifact['version']} {artifact['sha256']}"
        terminal.say(f"\n{terminal.one_line(made)}")


def _measured(found: Mapping[str, Any]) -> Iterator[str]:
    """How long a run took, and what it spent, where there is something to say."""
    if found["finished_at"] is not None:
        yield f"took     {lasted((found['finished_at'] - found['created_at']).total_seconds())}, waits included"
    if found["spent"]:
        yield f"spent    {found['spent']}, in the units of its tools"


def _took(effect: Mapping[str, Any]) -> str:
    """From its announcement to its recorded end, with the waits between its attempts."""
    if effect["finished_at"] is None:
        return ""
    return lasted((effect["finished_at"] - effect["intended_at"]).total_seconds())


def print_artifact(found: Mapping[str, Any], name: str) -> None:
    """Print the newest version of an artifact, and nothing else.

    Raises:
        Exit: there is none of that name.
    """
    left = [artifact for artifact in found["artifacts"] if artifact["name"] == name]
    if not left:
        names = ", ".join(artifact["name"] for artifact in found["artifacts"]) or "none"
        terminal.complain("error", f"run {found['run_id']} has no artifact {name!r}; it has {names}.")
        raise typer.Exit(Exit.NOT_FOUND)
    terminal.content(left[-1]["content"])
