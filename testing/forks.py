"""Forks: work done in a process of its own that is there at once, because its parent has imported everything.

Invariant: a fork ends where its work ends; it never goes on as its parent. The parent has started nothing: no thread,
no connection, no event loop that is still there.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import IO


def forked(work: Callable[[], None], *, may_die: bool = False) -> int:
    """Do it in a fork; its exit status, minus the signal where one killed it."""
    sys.stdout.flush()
    status = _end_of(_forked(work))
    if status != 0 and not (may_die and status == -signal.SIGKILL):
        sys.exit(f"a process ended with {status}")
    return status


def _forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child != 0:
        return child
    try:
        work()
    except BaseException:  # noqa: BLE001 (a fork must not go on as its parent)
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _end_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def side_by_side(works: Sequence[Callable[[], None]]) -> None:
    """Do them at the same time, each in a fork of its own; what they write comes out one after the other."""
    sys.stdout.flush()
    with ExitStack() as opened:
        told = [opened.enter_context(tempfile.TemporaryFile()) for _ in works]
        children = [_forked(partial(_into, file, work)) for file, work in zip(told, works, strict=True)]
        ends = [_end_of(child) for child in children]
        for file in told:
            file.seek(0)
            sys.stdout.buffer.write(file.read())
    if any(ends):
        sys.exit(f"processes ended with {ends}")


def _into(file: IO[bytes], work: Callable[[], None]) -> None:
    os.dup2(file.fileno(), 1)
    work()
    sys.stdout.flush()
