"""Carrying a run on from the command line: drive it, show where it stands, offer to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gatepost.service import terminal
from gatepost.service.artifacts import save
from gatepost.service.cli.answer import answer_here, show_commands, show_request, told_of
from gatepost.service.cli.desk import Desk
from gatepost.service.cli.exits import Exit, code_for
from gatepost.service.drive import Whereabouts, drive
from gatepost.state.errors import RunOnHold, RunOwned, UnknownRun
from gatepost.state.recovery import STANDS, Mode
from gatepost.state.status import RunStatus

if TYPE_CHECKING:
    from gatepost.checkpointing.answers import Recorded
    from gatepost.state.approval import Decision


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run is carried on."""

    name: str | None
    """Who acts; None for the user of this system."""
    artifacts: Path
    """Where to save artifacts, in a folder of the run's id."""
    ask: bool
    """Whether to offer an answer right here when a person sits at the terminal."""


def carry_on(desk: Desk, given: Mapping[str, Any] | None, run_id: str, manner: Manner) -> None:
    """Drive a run until it ends or nobody answers, then leave with the exit code for where it stands.

    Args:
        desk: the open database.
        given: what to start with; None to go on.
        run_id: the run.
        manner: how.

    Raises:
        Exit: always, with the code.
    """
    try:
        while True:
            where = _driven(desk, given, run_id, manner)
            _leave_artifacts(desk, where, manner.artifacts)
            if not where.approvals:
                _tell(desk, where)
                raise typer.Exit(code_for(where.status))
            if not _answered(desk, where, manner):
                raise typer.Exit(Exit.WAITS)
            given = None
    except KeyboardInterrupt:
        again = desk.typed("run", "resume", run_id, name=manner.name)
        terminal.note(f"\ninterrupted. What was committed is safe; go on with: {again}")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        again = desk.typed("run", "resume", run_id, name=manner.name)
        terminal.note(f"nobody reads the log any more, so the run stopped. Go on with: {again}")
        raise typer.Exit(Exit.INTERRUPTED) from None


def carry_out(desk: Desk, run_id: str, decision: Decision, *, name: str | None, no_run: bool, artifacts: Path) -> None:
    """Record an answer and go on with its run, unless somebody else is to.

    Raises:
        Exit: with the code for where the run stands then.
        CallerMistake: the answer cannot be recorded; says why.
    """
    recorded = desk.graph.decide(decision, context=desk.acting(name), going_on=not no_run)
    go_on(desk, run_id, recorded, name=name, no_run=no_run, artifacts=artifacts)


def go_on(desk: Desk, run_id: str, recorded: Recorded, *, name: str | None, no_run: bool, artifacts: Path) -> None:
    """Go on with the run of an answer that is recorded, unless somebody else is to.

    Raises:
        Exit: with the code for where the run stands then.
    """
    if not recorded.decided:
        terminal.say(terminal.one_line(told_of(recorded)))
        raise typer.Exit(Exit.WAITS)
    if recorded.repeated and _is_old_news(desk, run_id, recorded):
        return
    if no_run:
        terminal.say(f"recorded: {recorded.decision.type} by {recorded.decision.by}")
        run = desk.run(desk.books.runs.get(run_id, desk.tenant))
        first = f"after {desk.typed('run', 'release', run_id)}, " if run["status"] == RunStatus.HELD else ""
        terminal.hint(f"{first}a worker carries it out, or: {desk.typed('run', 'resume', run_id)}")
        return
    try:
        carry_on(desk, None, run_id, Manner(name=name, artifacts=artifacts, ask=False))
    except RunOwned as owned:
        terminal.hint(f"the answer is recorded; it is carried out by the run's owner. {owned}")
    except RunOnHold:
        released = desk.typed("run", "release", run_id)
        terminal.hint(f"recorded, but the run is held by an operator; it is carried out after: {released}")
        raise typer.Exit(Exit.WAITS) from None


def _is_old_news(desk: Desk, run_id: str, recorded: Recorded) -> bool:
    """Say what stands; whether nobody has to act on it, because the run took the answer long ago."""
    said = recorded.decision
    terminal.hint(terminal.one_line(f"already recorded: {said.type} by {said.by} at {terminal.safe(recorded.at)}"))
    run = desk.run(desk.books.runs.get(run_id, desk.tenant))
    return RunStatus(run["status"]) not in (RunStatus.QUEUED, RunStatus.RUNNING)


def _driven(desk: Desk, given: Mapping[str, Any] | None, run_id: str, manner: Manner) -> Whereabouts:
    who = desk.acting(manner.name)
    desk.run(_announce_wait(desk, run_id, who.tenant))
    with terminal.progress() as shown:
        return desk.run(drive(desk.graph, given, run_id, context=who, emit=shown.line, busy=shown.busy))


async def _announce_wait(desk: Desk, run_id: str, tenant: str) -> None:
    """A dead owner's lease is waited out; say so, because it may take seconds."""
    try:
        row = await desk.books.runs.get(run_id, tenant)
    except UnknownRun:
        return
    if row["owner"] is not None and row["finished_at"] is None and row["lease_expires_at"] > row["now"]:
        terminal.hint(
            f"run {run_id} is held by {row['owner']} until {row['lease_expires_at'].astimezone(UTC):%H:%M:%S} UTC"
        )


def _answered(desk: Desk, where: Whereabouts, manner: Manner) -> bool:
    """Whether a person at this terminal has answered the oldest question."""
    if manner.ask and terminal.interactive():
        show_request(terminal.note, where.approvals[0], where.fork_effects)
        return answer_here(desk, where.approvals[0], manner.name)
    for asked in where.approvals:
        show_request(terminal.note, asked, where.fork_effects)
        show_commands(desk, asked, manner.name)
    return False


def _leave_artifacts(desk: Desk, where: Whereabouts, folder: Path) -> None:
    if not where.artifacts:
        return
    try:
        saved = save(folder / where.run_id, where.artifacts)
    except OSError as error:
        terminal.complain("warning", f"the artifacts are in the database, but could not be saved as files: {error}")
        again = desk.typed("run", "show", where.run_id, "--artifact", where.artifacts[0]["name"])
        terminal.hint(f"print one with: {again}")
        return
    terminal.hint(f"saved {', '.join(map(str, saved))}")


def _tell(desk: Desk, where: Whereabouts) -> None:
    """Say what the log does not: that there was nothing to do, or what somebody else has to."""
    if not where.moved and where.status is RunStatus.SUCCEEDED:
        terminal.hint(f"run {where.run_id} had ended already: {where.status}")
    elif where.status is RunStatus.WAITING:
        reason = terminal.one_line(where.reason)
        resume = desk.typed("run", "resume", where.run_id)
        terminal.hint(f"run {where.run_id} goes on when it is time, by a worker or by {resume}: {reason}")
    elif not where.moved:
        reason = f": {where.reason}" if where.reason else ""
        terminal.hint(terminal.one_line(f"run {where.run_id} is {where.status}{reason}"))
    if where.status is RunStatus.HELD:
        terminal.hint(f"to let it go on: {desk.typed('run', 'release', where.run_id)}")
    elif where.status in STANDS[Mode.RESUME]:
        terminal.hint(f"what trying again would do: {desk.typed('run', 'recover', where.run_id, '--mode', 'resume')}")
