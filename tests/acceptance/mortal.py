"""A review that dies at every instant: starts run after run, and kills the n-th at its n-th instant.

An instant is just before a transaction commits, or just after a connection was used: so each kill leaves
another state in the database. A process without that fate then finishes the run. One line for each run:
its id, and whether it was killed; the last one was not, because it has no instant left.

Forked from one process that has imported everything and started nothing, so that an instant costs a fork
and not an interpreter.
"""

from __future__ import annotations

import itertools
import os
import signal
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from langgraph.types import Command

from gatepost import Lease, build_graph, open_checkpointer
from gatepost.checkpointing.pool import Connection, Pools
from gatepost.examples.vendor_onboarding import GOAL, WORKFLOW
from gatepost.testing import DatabaseClock

TTL = timedelta(seconds=2)


def main() -> None:
    clock = DatabaseClock(os.environ["GATEPOST_DATABASE_URL"])
    for instant in itertools.count(1):
        run = f"mortal-{instant}"
        fate = _forked(partial(_review, run, dies_at=instant))
        assert fate in (0, -signal.SIGKILL), f"{run} ended with {fate}"
        if killed := fate != 0:
            clock.shift(TTL)
            assert _forked(partial(_review, run)) == 0, f"{run} was not finished"
        print(run, "killed" if killed else "lived", flush=True)
        if not killed:
            return


def _forked(work: Callable[[], None]) -> int:
    """Do it in a fork; its exit status, minus the signal where one killed it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 (a fork must not go on as its parent)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _review(run: str, *, dies_at: int | None = None) -> None:
    """Start the review or go on with it, answering what is asked, until it has ended."""
    if dies_at is not None:
        _die_at(dies_at)
    config: Any = {"configurable": {"thread_id": run}}
    checkpointer = open_checkpointer(lease=Lease(ttl=TTL), migrate=False)
    graph = build_graph([WORKFLOW], checkpointer)
    result = graph.invoke({"goal": GOAL}, config)
    while result["approval"] is not None:
        result = graph.invoke(Command(resume=result["approval"].approve(by="alice")), config)
    assert result["status"] == "succeeded", result["outcome"]


def _die_at(instant: int) -> None:
    left = iter(range(instant - 1))
    connection, batch, transaction = Pools.connection, Pools.batch, Pools.transaction
    Pools.connection = _mortal(connection, left, inside=False)  # type: ignore[method-assign]
    Pools.batch = _mortal(batch, left, inside=True)  # type: ignore[method-assign]
    Pools.transaction = _mortal(transaction, left, inside=True)  # type: ignore[method-assign]


def _mortal(scope: Callable[[Pools], Any], left: Iterator[int], *, inside: bool) -> Any:
    @asynccontextmanager
    async def mortal(pools: Pools) -> AsyncIterator[Connection]:
        async with scope(pools) as connection:
            yield connection
            if inside:
                _live(left)
        if not inside:
            _live(left)

    return mortal


def _live(left: Iterator[int]) -> None:
    """One instant passes, or it was the last."""
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
