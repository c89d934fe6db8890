"""Leaving: how a process that serves or moves runs is told to, and its log when nobody reads it any more.

Invariant: SIGTERM, Ctrl-C, a closed terminal and a log that nobody reads are all an order to leave without loss; only
somebody who asks a second time is in a hurry.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from gatepost.service import terminal

Leave = Callable[[str], None]
"""Begins to leave; takes why. More than once is as once."""
_GONE = frozenset({errno.EPIPE, errno.EIO})
"""What writing to a pipe without a reader, and to a terminal that was closed, fails with."""


def when_told(leave: Leave, at_once: Callable[[], None]) -> None:
    """From now on, in the running loop, the first signal calls `leave` and the next one `at_once`.

    A closed terminal says so more than once (the kernel, and the shell), which is no hurry. Whoever was started to
    outlive its terminal (nohup) does.
    """
    told: list[signal.Signals] = []
    terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]

    def heard(given: signal.Signals) -> None:
        if given is signal.SIGHUP:
            _mute(terminals)
        if told and given is not signal.SIGHUP:
            at_once()
        elif not told:
            told.append(given)
            leave(given.name)

    loop = asyncio.get_running_loop()
    for given in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if given is not signal.SIGHUP or signal.getsignal(given) is not signal.SIG_IGN:
            loop.add_signal_handler(given, heard, given)


class Log:
    """The lines of a log; when nobody reads them any more, the process leaves in order."""

    def __init__(self) -> None:
        self.broken: Leave = _nobody
        """Who is told then."""
        self._open = True
        self._terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]

    def line(self, text: str) -> None:
        """Write a line."""
        if not self._open:
            return
        try:
            terminal.log_line(text)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self._open = False
            _mute(self._terminals)
            self.broken("nobody reads its log any more")


def _mute(streams: Sequence[IO[str]]) -> None:
    """Nothing can be written to a terminal that was closed, and Python would complain at the end of what is left."""
    for stream in streams:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError):
            os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _nobody(_: str) -> None:
    """There is nobody yet who could leave."""
