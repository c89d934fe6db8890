"""Where the tests of the command line type: `gatepost` as a process, on a pipe or on a terminal of its own.

Whatever a process says on a pipe is looked through: no traceback, nothing that would drive a terminal. Nothing
here sleeps for luck: who waits, waits for a line, for the end of a process or for a fact.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import psycopg
from psycopg.rows import dict_row
from tests.acceptance.processes import HERE, wait_until
from tests.acceptance.warm import COMMAND, started

SECONDS = 30.0
TILL = ("--workflows", "till:WORKFLOWS")
TYPED = "gatepost --workflows till:WORKFLOWS"
"""How a command is printed that a person is to type."""
ALLOWED = 'permit (principal, action == Action::"run", resource);'
_DRIVES = set("\x00\x07\x08\x0b\x0c\r\x1b\x7f\x9b\u202a\u202e\u2066\u2069")
_ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Its stdout."""
        return self.out.splitlines()


class Shell:
    """A folder with the till in it, and a database.

    Args:
        folder: where the commands are called from.
        database: its conninfo.
        more: of the environment.
    """

    cold = False

    def __init__(self, folder: Path, database: str, **more: str) -> None:
        self.folder = folder
        self.database = database
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")}
        self.environment = {
            **inherited,
            "GATEPOST_DATABASE_URL": database,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "COLUMNS": "200",
            **more,
        }
        shutil.copy(HERE / "till.py", folder)
        (folder / "allow.cedar").write_text(ALLOWED)

    def run(self, *arguments: str | bytes, **options: Any) -> Said:
        """A command with the till's workflows, to its end."""
        return self.bare(*TILL, *arguments, **options)

    def bare(self, *arguments: str | bytes, given: bytes = b"", stdout: int = subprocess.PIPE) -> Said:
        """A command, to its end."""
        with self.started(*arguments, stdout=stdout) as process:
            if stdout != subprocess.PIPE:
                os.close(stdout)  # the process has it
            out, err = process.communicate(given, timeout=SECONDS)
        said = Said(process.returncode, (out or b"").decode(), err.decode())
        assert "Traceback" not in said.err + said.out, said
        assert not _DRIVES & set(said.out + said.err), said
        return said

    @contextmanager
    def started(self, *arguments: str | bytes, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
        """A command under way; killed when the block is left before it has ended."""
        with self._started(arguments, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def terminal(self, *arguments: str) -> Terminal:
        """A command with the till's workflows, on a terminal."""
        return Terminal(lambda theirs: self._started([*TILL, *arguments], stdin=theirs, stdout=theirs, stderr=theirs))

    def _started(self, words: Sequence[str | bytes], *, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[Any]:
        command = [*COMMAND, *words]
        where: dict[str, Any] = {"cwd": self.folder, "env": self.environment, "cold": self.cold}
        return started(command, stdin=stdin, stdout=stdout, stderr=stderr, **where)

    def rows(self, statement: Any, *params: Any) -> list[dict[str, Any]]:
        """What is really in the database."""
        with psycopg.Connection[dict[str, Any]].connect(self.database, row_factory=dict_row) as connection:
            return connection.execute(statement, params or None).fetchall()

    def question(self, run: str) -> str:
        """The approval that a run waits for."""
        (row,) = self.rows("SELECT approval_id FROM gatepost.approval WHERE run_id = %s AND status = 'open'", run)
        found: str = row["approval_id"]
        return found

    def booked(self) -> list[tuple[str, str]]:
        """`(idempotency key, what)` of each call that reached the till."""
        books = self.folder / "books"
        lines = books.read_text().splitlines() if books.exists() else []
        return [(key, what) for key, _, what in (line.partition(" ") for line in lines)]

    def until_in(self) -> None:
        """Wait until a tool is in."""
        wait_until(lambda: bool(self.booked()), seconds=SECONDS)

    def open_door(self) -> None:
        """Let in who lingers before it."""
        (self.folder / "open").touch()


class ColdShell(Shell):
    """One whose commands are interpreters of their own, as when somebody types them."""

    cold = True


class Terminal:
    """A process with a person before it; leaving the block kills it."""

    def __init__(self, start: Callable[[int], subprocess.Popen[bytes]]) -> None:
        self._ours, theirs = os.openpty()
        self._seen = ""
        self._read = 0
        self.process = start(theirs)
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def until(self, text: str) -> str:
        """Wait until it is shown, after what was waited for before; gives what came up to there."""
        deadline = time.monotonic() + SECONDS
        while (found := self.shown.find(text, self._read)) < 0:
            assert self._more(deadline), f"{text!r} was never shown:\n{self.shown}"
        before, self._read = self.shown[self._read : found], found + len(text)
        return before

    def type(self, *lines: str) -> None:
        """Type lines."""
        for line in lines:
            os.write(self._ours, f"{line}\n".encode())

    def close_input(self) -> None:
        """Ctrl-D at the beginning of a line."""
        os.write(self._ours, b"\x04")

    def end(self) -> int:
        """Wait for its end; its exit code."""
        deadline = time.monotonic() + SECONDS
        while self._more(deadline):
            pass
        code = self.process.wait(timeout=SECONDS)
        assert "Traceback" not in self.shown, self.shown
        return code

    @property
    def shown(self) -> str:
        """All that was shown, without colours and cursor movements."""
        return _ESCAPE.sub("", self._seen).replace("\r", "")

    def _more(self, deadline: float) -> bool:
        """Read on; False when it has ended."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing came in time:\n{self.shown}"
        with suppress(OSError):  # Linux: nobody has the other end open any more
            if came := os.read(self._ours, 65536):
                self._seen += came.decode(errors="replace")
                return True
        return False


def closed_pipe() -> int:
    """The end to write to of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def first_line_of(stream: IO[bytes] | None) -> str:
    """Wait for a line, and look no further."""
    assert stream is not None
    line = stream.readline().decode()
    stream.close()
    return line
