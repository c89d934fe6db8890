"""The seal: while it is on, code in this context opens no connection, starts no process and no thread.

Python's audit events see every socket that Python opens, whatever library asks for it; what a library written in C
opens by itself (libpq, gRPC) is the matter of `graph.isolated`. The tools of a run are no concern of
the seal: a replay does not call them at all. It is for what does run: strategies, routing, `conclude`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import time_machine

_REFUSED = frozenset(
    {
        "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
        "socket.gethostbyname", "socket.gethostbyaddr", "subprocess.Popen", "os.system", "os.exec",
        "os.posix_spawn", "os.fork", "os.forkpty", "_thread.start_new_thread", "_thread.start_joinable_thread",
    }
)  # fmt: skip


class Sealed(RuntimeError):
    """A replay was about to reach the world; nothing was reached."""


_seen: ContextVar[list[str] | None] = ContextVar("gatepost_sealed", default=None)
_process: list[list[str]] = []
_installed = False


@contextmanager
def sealed(*, whole_process: bool = False) -> Iterator[list[str]]:
    """Refuse the world to everything in this context.

    Args:
        whole_process: to every thread, too: for a process that does nothing else.

    Yields:
        What was refused, as it happens.
    """
    _install()
    seen: list[str] = []
    token = _seen.set(seen)
    if whole_process:
        _process.append(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)
        if whole_process:
            _process.remove(seen)


@contextmanager
def clock_at(moment: datetime) -> Iterator[None]:
    """The wall clock of the process says so, and goes on from there; the monotonic clock is not touched."""
    with time_machine.travel(moment, tick=True):
        yield


def _install() -> None:
    """Once for the process: Python has no way to take such a hook out again."""
    global _installed  # noqa: PLW0603 (see above)
    if not _installed:
        sys.addaudithook(_refuse)
        _installed = True


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event not in _REFUSED:
        return
    seen = _seen.get() if _seen.get() is not None else (_process[-1] if _process else None)
    if seen is None:
        return
    what = f"{event} {_short(args)}"
    seen.append(what)
    raise Sealed(f"a replay never acts: {what} was refused. Ask models with `situation.ask`, and the world in a tool.")


def _short(args: tuple[Any, ...]) -> str:
    return ", ".join(f"{arg!r:.60}" for arg in args if isinstance(arg, str | int | tuple | bytes))[:160]
