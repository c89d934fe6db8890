"""A worker that stops at a named point until it is told how it goes on: a line `go` on its input, or SIGKILL.

    claimed      it has claimed a run, and written nothing yet
    releasing    its last transition of a run is committed, and the run is not let go

It moves one run, and says `[stopped]` when it is there. `mill` is found in the folder it is started in.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from gatepost import Lease, Policy, build_graph, open_checkpointer
from gatepost.checkpointing.runs import Runs
from gatepost.graph.compiled import GatepostGraph
from gatepost.service.worker import Terms, Worker

POINTS: dict[str, tuple[type, str]] = {"claimed": (GatepostGraph, "amove"), "releasing": (Runs, "_release")}


def main() -> None:
    owner, name = POINTS[sys.argv[1]]
    setattr(owner, name, _stopping(getattr(owner, name)))
    sys.path.insert(0, str(Path.cwd()))
    import mill  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    with open_checkpointer(lease=Lease(ttl=timedelta(seconds=2), wait=False), migrate=False) as checkpointer:
        graph = build_graph(mill.WORKFLOWS, checkpointer, policy=Policy(mill.POLICY))
        asyncio.run(_work(graph))


async def _work(graph: GatepostGraph) -> None:
    await Worker(graph, terms=Terms(until="one"), say=functools.partial(print, flush=True)).work()


def _stopping(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    async def stopping(*args: Any, **kwargs: Any) -> Any:
        print("[stopped]", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        return await call(*args, **kwargs)

    return stopping


if __name__ == "__main__":
    main()
