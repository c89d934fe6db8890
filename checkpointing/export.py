"""Export: everything that happened to a run as chained lines, as of one moment.

Read in one repeatable-read transaction and row by row, so a long run is neither torn nor held in memory.
The first line says which run, the last one that nothing is missing; `state.chain.verify` needs no database.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from importlib.metadata import version
from typing import Any, cast

from gatepost.checkpointing.history import event_of, utc
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.state.chain import HEADER, Chain
from gatepost.state.errors import UnknownRun

FORMAT = "gatepost-export/1"
_DETAIL = ("status", "tenant", "workflow", "graph_version", "root_run_id", "goal", "input", "policies")


async def export_lines(pools: Pools, run_id: str, tenant: str) -> AsyncGenerator[str]:
    """The lines, each with its line break: a header, every event in order, and the end.

    Each has `what`, `who`, `at`, `from`, `to`, `why`, `run`, `id`, `seq` and `detail`, and its place in the
    chain: `n`, `prev` and `hash`.

    Raises:
        UnknownRun: the tenant has no such run.
    """
    chain = Chain()
    place = {"run_id": run_id, "tenant": tenant}
    async with pools.connection() as connection, connection.transaction():
        await connection.execute(query("export.snapshot"))
        row = await (await connection.execute(query("export.header"), place)).fetchone()
        if row is None:
            raise UnknownRun(f"there is no run {run_id!r}. `gatepost run list` shows the runs there are.")
        yield chain.line(HEADER, _header(run_id, row))
        # The library says "iterator"; what it gives is a generator, and is closed before its connection is used again.
        events = cast("AsyncGenerator[dict[str, Any]]", connection.cursor().stream(query("history.events"), place))
        async with aclosing(events):
            async for event in events:
                told = event_of(run_id, event)
                yield chain.line(told.pop("what"), told)
        yield chain.end(_said(run_id, at=utc(row["exported_at"]), who="gatepost", to=row["status"]))


def _header(run_id: str, row: Mapping[str, Any]) -> dict[str, Any]:
    detail = {
        "format": FORMAT,
        "gatepost": version("gatepost"),
        "exported_at": utc(row["exported_at"]),
        "policy_versions": sorted(row["policy_versions"]),
        **{name: row[name] for name in _DETAIL},
    }
    return _said(run_id, at=utc(row["at"]), who=row["who"], why=row["why"], detail=detail)


def _said(run_id: str, **given: Any) -> dict[str, Any]:
    return {
        "run": run_id, "id": run_id, "seq": None, "from": None, "to": None, "why": "", "detail": {}, **given,
    }  # fmt: skip
