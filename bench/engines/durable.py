"""DBOS: a workflow of durable steps, with its system tables in the database that is measured."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from dbos import DBOS, DBOSConfig, SetWorkflowID
from psycopg.conninfo import conninfo_to_dict

from bench.engines.engine import TEXT, in_tasks, in_threads
from bench.marks import Marks, NoMarks

USUAL_POOL = 20
"""DBOS's own default; with as few connections as runs its background threads make steps wait for seconds."""

_marks: Marks = NoMarks()


@DBOS.step()
def _step(index: int, text: str) -> dict[str, str]:
    _marks.at(index)
    return {"text": text}


@DBOS.workflow()
def _workflow(steps: int) -> None:
    for index in range(steps):
        _step(index, TEXT)


@DBOS.step()
async def _step_async(index: int, text: str) -> dict[str, str]:
    await _marks.at_async(index)
    return {"text": text}


@DBOS.workflow()
async def _workflow_async(steps: int) -> None:
    for index in range(steps):
        await _step_async(index, TEXT)


class Dbos:
    """A chain of steps in one workflow.

    Args:
        door: "sync" (a thread for each run) or "async" (one event loop).
    """

    def __init__(self, *, door: str) -> None:
        self._door = door

    def prepare(self, url: str) -> None:
        self.open(url, width=2)
        self.close()

    def open(self, url: str, *, width: int) -> None:
        config: DBOSConfig = {
            "name": "bench",
            "system_database_url": _url(url),
            "sys_db_pool_size": max(width, USUAL_POOL),
            "executor_id": f"bench-{os.getpid()}",  # else a process that starts a moment later "recovers" these runs
            "log_level": "ERROR",
        }
        DBOS(config=config)
        DBOS.launch()

    def close(self) -> None:
        DBOS.destroy()

    def drive(self, runs: Sequence[str], steps: int, marks: Marks) -> None:
        global _marks  # noqa: PLW0603  DBOS registers functions once, at import
        _marks = marks
        if self._door == "async":
            asyncio.run(_all(runs, steps, marks))
            return

        def one(run: str) -> None:
            with SetWorkflowID(run):
                _workflow(steps)

        in_threads(one, runs, marks)


def _url(conninfo: str) -> str:
    """A conninfo as SQLAlchemy wants it."""
    parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    database = parts.pop("dbname", "")
    return f"postgresql:///{quote(database)}?{urlencode(parts)}"


async def _all(runs: Sequence[str], steps: int, marks: Marks) -> None:
    async def one(run: str) -> None:
        with SetWorkflowID(run):
            await _workflow_async(steps)

    # Tasks of their own: the id is a context variable.
    await in_tasks(lambda run: asyncio.create_task(one(run)), runs, marks)
