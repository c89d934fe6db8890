"""Worker processes of the real command line, their runs, and the provider's books.

Nothing here sleeps for luck: whoever waits, waits for a line of a worker, for its end, or for a fact in the database.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row
from tests.acceptance import mill
from tests.acceptance.processes import HERE, wait_until
from tests.acceptance.warm import COMMAND, started

from gatepost import Checkpointer, Policy, build_graph

SECONDS = 90.0
"""Five processes that start at once on a busy machine take half a minute; who waits in vain is a failure anyhow."""
MILL = ("--workflows", "mill:WORKFLOWS", "--policy", "mill.cedar")
QUICK = ("--lease", "2s", "--sweep", "500ms")
ENDED = "SELECT status, count(*)::int AS n FROM gatepost.run GROUP BY 1"


class Hand:
    """A worker process; leaving the block kills it."""

    def __init__(self, *command: str, folder: Path, environment: dict[str, str]) -> None:
        self.process = started(command, cwd=folder, env=environment, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()

    def until(self, text: str) -> str:
        """Wait for a line that holds a text."""
        wait_until(lambda: bool(self._with(text)) or self.process.poll() is not None, seconds=SECONDS)
        found = self._with(text)
        assert found, f"{text!r} was never said:\n" + "\n".join(self.lines)
        return found[0]

    def tell(self, given: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(given)

    def go_on(self) -> None:
        """Let a frail worker go on from its point."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self.process.kill()
        assert self.ended() == -signal.SIGKILL

    def ended(self) -> int:
        """Wait until it has ended; its exit status, minus the signal where one killed it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(timeout=SECONDS)
        self._reader.join(timeout=SECONDS)
        assert not self._with("Traceback"), "\n".join(self.lines)
        return status

    def _with(self, text: str) -> list[str]:
        return [line for line in list(self.lines) if text in line]

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            for line in said:
                self.lines.append(line.rstrip("\n"))


def _copy_of_mill(folder: Path) -> Any:
    """The workflows of a folder, whose tools keep their books there."""
    spec = importlib.util.spec_from_file_location(f"mill_in_{folder.name}", folder / "mill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Fleet:
    """Workers in one folder on one database.

    Args:
        folder: where they work, and the provider's books lie.
        checkpointer: on their database.
        url: of it.
    """

    def __init__(self, folder: Path, checkpointer: Checkpointer, url: str) -> None:
        self.folder, self.checkpointer, self.url = folder, checkpointer, url
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")}
        self.environment = {
            **inherited, "GATEPOST_DATABASE_URL": url, "PYTHONPATH": str(folder), "COLUMNS": "200",
        }  # fmt: skip
        shutil.copy(HERE / "mill.py", folder)
        (folder / "mill.cedar").write_text(mill.POLICY)
        self.graph = build_graph(_copy_of_mill(folder).WORKFLOWS, checkpointer, policy=Policy(mill.POLICY))

    def hire(self, *options: str, **environment: str) -> Hand:
        """A worker with a short lease."""
        command = (*COMMAND, *MILL, "worker", *QUICK, *options)
        return Hand(*command, folder=self.folder, environment={**self.environment, **environment})

    def hire_frail(self, point: str) -> Hand:
        """A worker that stops at a point (`frail.py`)."""
        return Hand(sys.executable, str(HERE / "frail.py"), point, folder=self.folder, environment=self.environment)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command, to its end."""
        command = (*COMMAND, *MILL, *arguments)
        with started(command, cwd=self.folder, env=self.environment, text=True) as process:
            out, err = process.communicate("", timeout=SECONDS)
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def admit(self, goal: str, *runs: str, priority: int = 0) -> None:
        """Runs for whoever moves them."""
        for run in runs:
            config: Any = {"configurable": {"thread_id": run}}
            self.graph.admit({"goal": goal}, config, priority=priority)

    def rows(self, statement: Any, *params: Any) -> list[dict[str, Any]]:
        """What is really in the database."""
        with psycopg.Connection[dict[str, Any]].connect(self.url, row_factory=dict_row, autocommit=True) as connection:
            return connection.execute(statement, params or None).fetchall()

    def run(self, run: str) -> dict[str, Any]:
        """The row of a run."""
        return self.rows("SELECT * FROM gatepost.run WHERE run_id = %s", run)[0]

    def stands(self) -> Counter[str]:
        """How many runs stand how."""
        return Counter({row["status"]: row["n"] for row in self.rows(ENDED)})

    def until(self, run: str, status: str) -> None:
        """Wait until a run stands so."""
        wait_until(lambda: self.run(run)["status"] == status, seconds=SECONDS)

    def question(self, run: str) -> str:
        """The open approval of a run."""
        (row,) = self.rows("SELECT approval_id FROM gatepost.approval WHERE run_id = %s AND status = 'open'", run)
        found: str = row["approval_id"]
        return found

    def attempts(self) -> list[tuple[str, str, str]]:
        """`(key, run, step)` of each call that reached the provider."""
        if not (self.folder / "books.sqlite").exists():
            return []
        with closing(sqlite3.connect(self.folder / "books.sqlite", timeout=60)) as books:
            books.execute(mill.TABLE)
            return books.execute("SELECT key, run, step FROM attempt ORDER BY rowid").fetchall()

    def until_called(self, times: int = 1) -> None:
        """Wait until so many calls have reached the provider."""
        wait_until(lambda: len(self.attempts()) >= times, seconds=SECONDS)

    def open_door(self) -> None:
        """Let in who lingers before it."""
        (self.folder / "open").touch()
