"""Committing supersteps: one statement for all that come at the same time, and no superstep twice or halfway.

Invariant: a superstep is committed whole, under the epoch of its owner, and once. Several runs' supersteps
share a transaction, which is all or nothing; where it fails, each is tried by itself, so that a run that is
lost, or cannot be written, fails alone. Where no answer came, it is looked up whether it was committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Error
from pydantic_core import to_json

from gatepost.checkpointing import alone
from gatepost.checkpointing.pool import Connection, Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.session import RunSession
from gatepost.checkpointing.together import Together
from gatepost.state.errors import DatabaseUnavailable, LostRun

RETRY_SECONDS = 10.0
"""How long a superstep whose connection broke is tried again; the lease may end it sooner."""
PAUSE_SECONDS = 0.1
UNWRITABLE = (TypeError, ValueError)
"""Raised before anything is sent, for a value that has no form in JSON or on the wire."""
OFTEN = ("step", "effect", "intent")
"""Staged rows that the statement has lists of their own for."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A channel's value as LangGraph's tables hold it."""

    channel: str
    version: str
    kind: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Superstep:
    """What one superstep leaves behind."""

    run_id: str
    epoch: int
    seq: int
    transition: Mapping[str, Any]
    """The other columns of gatepost.transition, and the run's plan version."""
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    """What its nodes staged, by part."""
    place: Mapping[str, Any]
    """Checkpoint, metadata, id and parent."""
    blobs: Sequence[Blob]
    """Values of the channels that changed."""
    passed: Blob | None
    """All values together, where no checkpoint is kept."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit gave."""

    at: datetime
    """By the database's clock."""
    announced: frozenset[str] = frozenset()
    """Keys of the intents that it wrote, of all runs that shared it; where no answer came, of the one that asked."""


class Commits:
    """Commits supersteps.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._together: Together[Superstep, Committed] = Together(self._send)

    def alone(self) -> bool:
        """Whether no other run of this process commits at about this time."""
        return self._together.alone()

    async def commit(self, session: RunSession, superstep: Superstep) -> Committed:
        """Commit a superstep; where no answer came, find out whether it was committed, and repeat it if not.

        Returns:
            When it was committed, and what was announced with it.

        Raises:
            LostRun: another owner has the run.
            DatabaseUnavailable: it was tried for `RETRY_SECONDS`.
        """
        deadline = time.monotonic() + RETRY_SECONDS
        unanswered = False
        while True:
            try:
                if unanswered:
                    return await self._repeat(superstep)
                return await self._together.ask(superstep)
            except DatabaseUnavailable as error:
                if not error.passing or time.monotonic() > deadline:
                    raise
            unanswered = True
            await asyncio.sleep(PAUSE_SECONDS)
            session.check()

    async def _send(self, supersteps: Sequence[Superstep]) -> Sequence[Committed | Exception]:
        try:
            async with self._pools.connection() as connection:
                committed = await _commit(connection, supersteps)
        except (LostRun, DatabaseUnavailable, Error, *UNWRITABLE) as error:
            if len(supersteps) == 1:
                return [error]
            if isinstance(error, DatabaseUnavailable) and error.passing:
                raise  # nobody knows whether they were committed: each looks for itself
            return [given for one in supersteps for given in await self._send([one])]
        return [committed] * len(supersteps)

    async def _repeat(self, superstep: Superstep) -> Committed:
        async with self._pools.connection() as connection:
            if (moved := await _moved(connection, superstep)) is not None:
                return moved
            try:
                return await _commit(connection, [superstep])
            except LostRun:  # also said to whoever repeats what was being committed all the while
                if (moved := await _moved(connection, superstep)) is None:
                    raise
                return moved


async def _commit(connection: Connection, supersteps: Sequence[Superstep]) -> Committed:
    row = None
    if len(supersteps) == 1 and (plain := alone.parameters(supersteps[0])) is not None:
        row = await (await connection.execute(query("run.commit_alone"), plain)).fetchone()
    if row is None:
        row = await (await connection.execute(query("run.commit"), parameters(supersteps))).fetchone()
    assert row is not None
    return Committed(row["now"], frozenset(row["announced"]))


async def _moved(connection: Connection, superstep: Superstep) -> Committed | None:
    """When the superstep was committed after all, if it was."""
    row = await (await connection.execute(query("run.standing"), {"run_id": superstep.run_id})).fetchone()
    if row is None or (row["epoch"], row["seq"]) != (superstep.epoch, superstep.seq):
        return None
    return Committed(row["updated_at"], frozenset(row["announced"]))


def parameters(supersteps: Sequence[Superstep]) -> dict[str, Any]:
    """The parameters of `run.commit`: a list for each table, with the run's id in each row."""
    under = [{"run_id": one.run_id, "epoch": one.epoch, "seq": one.seq} for one in supersteps]
    lists: dict[str, list[Any]] = {
        "supersteps": [{**fence, **one.transition} for fence, one in zip(under, supersteps, strict=True)],
        "steps": [{**fence, **row} for fence, one in zip(under, supersteps, strict=True) for row in _of(one, "step")],
        "effects": [{**row, "epoch": one.epoch} for one in supersteps for row in _of(one, "effect")],
        "intents": [row for one in supersteps for row in _of(one, "intent")],
        "rest": [
            {**fence, "rows": rest}
            for fence, one in zip(under, supersteps, strict=True)
            if (rest := {part: rows for part, rows in one.rows.items() if part not in OFTEN})
        ],
        "kept": [{"run_id": one.run_id, **one.place} for one in supersteps if one.passed is None],
        "channels": [
            {"run_id": one.run_id, "channel": blob.channel, "version": blob.version, "type": blob.kind}
            for one in supersteps
            for blob in one.blobs
        ],
        "places": [
            {**fence, **one.place, "type": one.passed.kind}
            for fence, one in zip(under, supersteps, strict=True)
            if one.passed is not None
        ],
    }
    return {
        **{name: to_json(rows).decode() if rows else None for name, rows in lists.items()},
        "blobs": _list(blob.value for one in supersteps for blob in one.blobs),
        "values": _list(one.passed.value for one in supersteps if one.passed is not None),
    }


def _of(superstep: Superstep, part: str) -> Sequence[Mapping[str, Any]]:
    return superstep.rows.get(part, ())


def _list(values: Iterable[bytes]) -> list[bytes]:
    """Never empty: an empty list has no type, and the statement would be prepared once more for it."""
    return list(values) or [b""]
