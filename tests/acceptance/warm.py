"""The command line as a process that is there at once: a fork of one that has imported everything and started nothing.

A command of ours takes a second to import LangGraph, and hundreds of them are typed here. A fork has a process id, an
environment, a folder, streams and an end of its own; it can be killed and waited for, and reads what it is called with
as any other. How one starts is shown by interpreters of their own: those of a `ColdShell`, and with
`GATEPOST_TEST_COLD=1` all of them.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

COMMAND = (sys.executable, "-m", "gatepost.service.cli.app")
HERE = Path(__file__).parent
COLD = "GATEPOST_TEST_COLD"
NARROW = ("LANG", "LC_", "PYTHON")
"""What an interpreter reads when it starts; a command for which it is different is no fork."""
IMPORTED = (
    "anyio._backends._asyncio",
    "gatepost.examples.loan",
    "gatepost.examples.vendor_onboarding",
    "gatepost.graph.build",
    "gatepost.graph.resolution",
    "gatepost.graph.timetravel",
    "gatepost.service.catalog",
    "gatepost.service.cli.answer",
    "gatepost.service.cli.carry",
    "gatepost.service.drive",
    "gatepost.service.http.app",
    "gatepost.service.notices.herald",
    "gatepost.service.telemetry",
    "gatepost.service.why",
    "gatepost.service.worker",
)


class Forked(subprocess.Popen[Any]):
    """A command under way, as `subprocess.Popen` has it.

    Args:
        words: what follows the interpreter: `-m gatepost.service.cli.app` or a script, and its arguments.
        cwd: where it is called from.
        env: its environment.
        stdin, stdout, stderr: `PIPE`, `DEVNULL`, `STDOUT` or a file descriptor.
        text: whether its pipes carry text.
    """

    _child_created = False  # nothing of Popen's own has to be cleared away

    def __init__(
        self,
        words: Sequence[str | bytes],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        text: bool = False,
    ) -> None:
        self.args, self.returncode, self._text = list(words), None, text
        theirs: list[int] = []
        self.stdin, child = _pipe(stdin, "w", text=text)
        theirs.append(child)
        self.stdout, child = _pipe(stdout, "r", text=text)
        theirs.append(child)
        self.stderr, child = (None, child) if stderr == subprocess.STDOUT else _pipe(stderr, "r", text=text)
        theirs.append(child)
        self._told, its = socket.socketpair()
        called = {"words": [os.fsdecode(word) for word in words], "cwd": str(cwd), "env": dict(env)}
        with its:
            socket.send_fds(_parent(), [json.dumps(called).encode()], [its.fileno(), *theirs])
        for end, given in zip(theirs, (stdin, stdout, stderr), strict=True):
            if given in {subprocess.PIPE, subprocess.DEVNULL}:
                os.close(end)
        self.pid = int.from_bytes(self._heard(None), "big")

    def poll(self) -> int | None:
        """Its end, if it has ended."""
        try:
            return self.wait(timeout=0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit status, minus the signal where one killed it."""
        if self.returncode is None:
            self.returncode = int.from_bytes(self._heard(timeout), "big", signed=True)
            self._told.close()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal to what is still there."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002
        """Give it its input and wait for its end; what it said."""
        said: dict[str, Any] = {}
        readers = [
            threading.Thread(target=lambda name=name, pipe=pipe: said.update({name: pipe.read()}), daemon=True)
            for name, pipe in (("out", self.stdout), ("err", self.stderr))
            if pipe is not None
        ]
        for reader in readers:
            reader.start()
        if self.stdin is not None:
            with suppress(BrokenPipeError), self.stdin:  # it has read enough
                self.stdin.write(input or ("" if self._text else b""))
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return said.get("out"), said.get("err")

    def _heard(self, timeout: float | None) -> bytes:
        ready, _, _ = select.select([self._told], [], [], timeout)
        if not ready:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        heard = self._told.recv(4)
        assert heard, "the process that forks commands has ended"
        return heard


def started(
    command: Sequence[str | bytes],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int = subprocess.PIPE,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    text: bool = False,
    cold: bool = False,
) -> subprocess.Popen[Any]:
    """A process: a fork, where it is `gatepost` or a script of ours and nothing speaks against it."""
    ours = tuple(command[: len(COMMAND)]) == COMMAND or Path(os.fsdecode(command[1])).parent == HERE
    if cold or command[0] != sys.executable or not ours or not _forks(env):
        return subprocess.Popen(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=text)
    return Forked(command[1:], cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=text)


def _forks(environment: Mapping[str, str]) -> bool:
    """Whether an interpreter would start with this environment as ours has started."""

    def read(found: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in found.items() if name.startswith(NARROW) and name != "PYTHONPATH"}

    return not os.environ.get(COLD) and hasattr(os, "pidfd_open") and read(environment) == read(os.environ)


def _pipe(given: int, mode: str, *, text: bool) -> tuple[IO[Any] | None, int]:
    """Our end of a stream, if it has one, and theirs."""
    if given == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_RDWR)
    if given != subprocess.PIPE:
        return None, given
    reading, writing = os.pipe()
    ours, theirs = (writing, reading) if mode == "w" else (reading, writing)
    return os.fdopen(ours, mode if text else f"{mode}b"), theirs


@cache
def _parent() -> socket.socket:
    """The process of this one that forks, started when it is first needed; it ends with us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")}
        environment.pop("PYTHONPATH", None)
        command = [sys.executable, "-P", __file__, str(theirs.fileno())]
        parent = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        parent.wait()

    atexit.register(end)
    return ours


# the process that forks, and its forks


def _serve(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each that asks. Returns in the forks, with what they are called with and their streams."""
    ends: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([control.fileno(), *ends], [], [])
        for found in ready:
            if found != control.fileno():
                child, told = ends.pop(found)
                os.close(found)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                with told:
                    _tell(told, status)
                continue
            message, handles, _, _ = socket.recv_fds(control, 1_000_000, 4)
            if not message:
                sys.exit()
            told, streams = socket.socket(fileno=handles[0]), handles[1:]
            child = os.fork()
            if child == 0:
                for one in (control, told, *(other for _, other in ends.values())):
                    one.close()
                for handle in ends:
                    os.close(handle)
                return json.loads(message), streams
            for stream in streams:
                os.close(stream)
            ends[os.pidfd_open(child)] = (child, told)
            _tell(told, child)


def _tell(whom: socket.socket, what: int) -> None:
    try:
        whom.send(what.to_bytes(4, "big", signed=True))
    except BrokenPipeError:  # nobody waits for it any more
        return


def _become(called: dict[str, Any], streams: list[int]) -> None:
    """Take over everything that a process is called with."""
    from gatepost.state import crash  # noqa: PLC0415

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in set(streams):
        os.close(stream)
    raw = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, (name, mode) in enumerate((("stdin", "rb"), ("stdout", "wb"), ("stderr", "wb"))):
        was = getattr(sys, name)
        buffer = open(number, mode, buffering=0 if raw and mode == "wb" else -1, closefd=False)  # noqa: SIM115
        lines = name == "stderr" or os.isatty(number)
        text = io.TextIOWrapper(
            buffer, encoding=was.encoding, errors=was.errors, line_buffering=lines, write_through=was.write_through
        )
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
    os.chdir(called["cwd"])
    os.environ.clear()
    os.environ.update(called["env"])
    path = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    first = called["cwd"] if called["words"][0] == "-m" else str(Path(called["words"][0]).parent)
    sys.path[:0] = [first, *path]
    if instant := os.environ.get(crash.VARIABLE):
        crash.meet(crash.Fate.at(instant))


def _main() -> None:
    import gc  # noqa: PLC0415
    from importlib import import_module  # noqa: PLC0415

    import anyio  # noqa: PLC0415

    for name in IMPORTED:
        import_module(name)
    anyio.run(anyio.sleep, 0)
    assert threading.active_count() == 1, "a fork would lose these threads"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the commands
    gc.freeze()
    called, streams = _serve(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _become(called, streams)
    words = called["words"]
    if words[0] == "-m":
        app = import_module(words[1])
        sys.argv = [str(app.__file__), *words[2:]]
        app.main()
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _main()
