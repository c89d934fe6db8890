"""Exit codes, and the one place that turns an error into a message and a code."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import ParamSpec, TypeVar

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import LOCAL, Options, other
from gatepost.service.cli.typed import retyped
from gatepost.state import errors
from gatepost.state.status import RunStatus

TRACEBACK = "GATEPOST_TRACEBACK"

_BROKEN = re.compile(r"(?<!\n)\n(?!\n| |Example: )")
"""A line break within a paragraph; what is indented is a table, and an example has a line of its own."""

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
    """the run waits for a person, or for somebody to go on with it"""
    NOT_SUCCEEDED = 4
    """the run ended, and not with success"""
    CONFLICT = 5
    """decided otherwise, moved by another owner, or held by an operator"""
    NOT_FOUND = 6
    """no such run, approval, effect, step, delegation, …"""
    DATABASE = 7
    """the database cannot be reached, is not up to date or not in order"""
    DIVERGED = 8
    """a replay goes another way than the record"""
    ALTERED = 9
    """an exported file is not as it was written"""
    INTERRUPTED = 130
    """Ctrl-C, or nobody reads the log any more; the run can be resumed"""


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
        Exit.DIVERGED: "a replay diverged",
        Exit.ALTERED: "altered file",
        Exit.INTERRUPTED: "interrupted",
    }.items()
)

_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.AlreadyDecided, Exit.CONFLICT),
    (errors.RunExists, Exit.CONFLICT),
    (errors.RunOwned, Exit.CONFLICT),
    (errors.RunOnHold, Exit.CONFLICT),
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
    if status in (RunStatus.BLOCKED, RunStatus.WAITING, RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.HELD):
        return Exit.WAITS
    return Exit.NOT_SUCCEEDED


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Run a command; an error becomes a message on stderr and its exit code, never a traceback.

    The commands that a message names are printed as they are typed here.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            terminal.note("\ninterrupted. What was committed is safe.")
            raise typer.Exit(Exit.INTERRUPTED) from None
        except errors.GatepostError as error:
            terminal.complain("error", _as_typed(str(error), kwargs))
            raise typer.Exit(code_of(error)) from None
        except BrokenPipeError:
            _mute()
            raise typer.Exit(Exit.OK) from None
        except Exception as error:
            if _known_to_typer(error):
                raise
            _bug(error)
            raise typer.Exit(Exit.BUG) from None

    run.__doc__ = _flowing(command.__doc__ or "")
    return run


def _flowing(text: str) -> str:
    """A docstring as `--help` takes it: a paragraph is as wide as the terminal, not as the source."""
    return _BROKEN.sub(" ", inspect.cleandoc(text))


def _as_typed(message: str, given: Mapping[str, object]) -> str:
    options, tenant = getattr(given.get("context"), "obj", None), given.get("tenant") or LOCAL
    before = options.before if isinstance(options, Options) else ()
    return retyped(message, before, other(str(tenant)))


def flush() -> None:
    """Write what is still buffered. When nobody reads it any more, the exit code stands all the same."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _mute()


def leave(code: object) -> None:
    """End the process even where the thread of a tool does not end: nobody waits for its result any more."""
    for thread in _left():
        thread.join(timeout=1)
    if not _left():
        return
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else Exit.BUG)


def _left() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]


def _mute() -> None:
    """Whoever read our output has seen enough; Python would complain when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _known_to_typer(error: Exception) -> bool:
    """Bad usage and the end of the program: exceptions that carry an exit code, and the abort of a prompt."""
    return hasattr(error, "exit_code") or isinstance(error, typer.Abort)


def _bug(error: Exception) -> None:
    wanted = bool(os.environ.get(TRACEBACK))
    if wanted:
        terminal.note("".join(traceback.format_exception(error)))
    terminal.complain(
        "error",
        f"a bug of ours, {type(error).__name__}: {error}. What was committed is safe. "
        + ("Please report it with the traceback above." if wanted else f"{TRACEBACK}=1 shows the traceback to report."),
    )
