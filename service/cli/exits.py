"""Exit codes, and the one place that turns an error into a message and a code."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec, TypeVar

import typer

from gatepost.service import terminal
from gatepost.state import errors
from gatepost.state.status import RunStatus

P = ParamSpec("P")
R = TypeVar("R")


class Exit(IntEnum):
    """What the exit code of every command means."""

    OK = 0
    """done"""
    BUG = 1
    """an error of Gatepost's own"""
    USAGE = 2
    """bad input: nothing was changed"""
    WAITS = 3
    """the run waits for a person"""
    NOT_SUCCEEDED = 4
    """the run ended, and not with success"""
    CONFLICT = 5
    """decided otherwise, or moved by another owner"""
    NOT_FOUND = 6
    """no such run or approval"""
    DATABASE = 7
    """the database cannot be reached or used"""
    INTERRUPTED = 130
    """Ctrl-C; the run can be resumed"""


EPILOG = "Exit codes: " + " · ".join(
    f"{code.value} {meaning}"
    for code, meaning in {
        Exit.OK: "done",
        Exit.BUG: "a bug of ours",
        Exit.USAGE: "bad input",
        Exit.WAITS: "waits for a person",
        Exit.NOT_SUCCEEDED: "ended without success",
        Exit.CONFLICT: "conflict",
        Exit.NOT_FOUND: "not found",
        Exit.DATABASE: "database",
        Exit.INTERRUPTED: "interrupted",
    }.items()
)

_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.UnknownRun, Exit.NOT_FOUND),
    (errors.UnknownApproval, Exit.NOT_FOUND),
    (errors.AlreadyDecided, Exit.CONFLICT),
    (errors.RunExists, Exit.CONFLICT),
    (errors.RunOwned, Exit.CONFLICT),
    (errors.LostRun, Exit.CONFLICT),
    (errors.DatabaseUnavailable, Exit.DATABASE),
    (errors.CallerMistake, Exit.USAGE),
)


def code_of(error: BaseException) -> Exit:
    """The exit code that an error stands for."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.BUG)


def code_for(status: RunStatus) -> Exit:
    """The exit code for where a run stands when a command leaves it."""
    if status is RunStatus.SUCCEEDED:
        return Exit.OK
    if status in (RunStatus.BLOCKED, RunStatus.WAITING, RunStatus.QUEUED, RunStatus.RUNNING):
        return Exit.WAITS
    return Exit.NOT_SUCCEEDED


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Run a command; an error becomes a message on stderr and its exit code, never a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            terminal.err().print("\ninterrupted. What was committed is safe; `gatepost run resume ID` goes on.")
            raise typer.Exit(Exit.INTERRUPTED) from None
        except errors.GatepostError as error:
            _complain(str(error))
            raise typer.Exit(code_of(error)) from None
        except BrokenPipeError:
            os._exit(Exit.OK)  # whoever read our output has seen enough; there is nobody to tell anything

    return run


def _complain(message: str) -> None:
    terminal.err().print(f"[bold red]error:[/] {terminal.rich_safe(message)}")
