"""Isolated: work in a thread of its own that the kernel lets reach nothing, whatever language asks for it.

Python's audit events (`graph.seal`) do not see what C does: libpq and gRPC open connections by themselves, and OpenSSL
writes to one that was open before. On Linux, without any right, a thread can have a table of files of its own, in
which nobody's sockets are open, and a filter of system calls, which refuses to connect, to send to an address and to
start a program. Both end with the thread. Elsewhere the audit events are all there is, and the caller is told.

Invariant: no other thread of the process is touched, and nothing that this one opens or closes is seen by another.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import errno
import os
import platform
import stat
import struct
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

REFUSED = os.strerror(errno.EUNATCH)
"""What code reads that was refused by the kernel: an error that no socket gives of itself."""
_CLONE_FILES, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 0x400, 38, 22, 2
_ALLOW, _DENY, _X32 = 0x7FFF0000, 0x00050000 | errno.EUNATCH, 0x40000000
_LOAD, _IS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_CALLS: dict[str, tuple[int, tuple[int, ...], int]] = {
    # the kernel's number of the machine; connect, sendmsg, sendmmsg, execve, execveat, io_uring_setup; sendto
    "x86_64": (0xC000003E, (42, 46, 307, 59, 322, 425), 44),
    "aarch64": (0xC00000B7, (203, 211, 269, 221, 281, 425), 206),
}


async def isolated(work: Callable[[bool], Coroutine[Any, Any, T]]) -> T:
    """Do work in a thread of its own, in the context of the caller; it is told whether the kernel guards it."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[T] = loop.create_future()
    found: list[T] = []
    wrong: list[BaseException] = []

    def inside() -> None:
        try:
            found.append(asyncio.run(work(_guarded())))
        except BaseException as error:  # noqa: BLE001 (it is raised where the work is waited for)
            wrong.append(error)

    def tell() -> None:
        if not over.cancelled():
            over.set_exception(wrong[0]) if wrong else over.set_result(found[0])

    def beside() -> None:
        """Wait outside: what wakes a loop is a socket, and inside there are none."""
        context = contextvars.copy_context()
        worker = threading.Thread(target=context.run, args=(inside,), name="gatepost-replay", daemon=True)
        worker.start()
        worker.join()
        loop.call_soon_threadsafe(tell)

    outer = contextvars.copy_context()
    threading.Thread(target=outer.run, args=(beside,), name="gatepost-replay-waits", daemon=True).start()
    return await over


def _guarded() -> bool:
    """Take this thread's sockets and its ways out; whether that was possible. There is no way back."""
    machine = _CALLS.get(platform.machine())
    if sys.platform != "linux" or machine is None or sys.maxsize < _X32 * 4:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_FILES) != 0:
        return False
    _drop_sockets()
    program = _filter(*machine)
    held = ctypes.create_string_buffer(program, len(program))
    passed = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    return bool(
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(passed, len(passed)), 0, 0) == 0
    )


def _drop_sockets() -> None:
    """Put what cannot be written to in the place of every socket: a number that is free would be used again."""
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number in [int(entry.name) for entry in Path("/proc/thread-self/fd").iterdir()]:
        with suppress(OSError):  # the one that listed them is closed by now
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.dup2(nothing, number, inheritable=False)
    os.close(nothing)


def _filter(machine: int, denied: tuple[int, ...], sendto: int) -> bytes:
    """The filter, as the kernel's machine for packets takes it: `code, jump if so, jump if not, operand`."""
    calls = len(denied)
    lines = [
        (_LOAD, 0, 0, 4),
        (_IS, 0, calls + 7, machine),  # a call of another machine's: denied
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, calls + 5, 0, _X32),
        *((_IS, calls - place + 4, 0, number) for place, number in enumerate(denied)),
        (_IS, 0, 5, sendto),
        (_LOAD, 0, 0, 16 + 8 * 4),  # the address to send to, in two halves
        (_IS, 0, 2, 0),
        (_LOAD, 0, 0, 16 + 8 * 4 + 4),
        (_IS, 1, 0, 0),
        (_RETURN, 0, 0, _DENY),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
