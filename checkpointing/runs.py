"""Runs: admission before any promise, and the lease by which one owner at a time moves a run.

Invariant: a run has at most one live owner. Taking the lease raises the epoch, every write carries
the epoch (`gatepost.advance`), so an owner that lost it writes nothing. The idea of the fencing
token is Kleppmann's ("How to do distributed locking", 2016).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Json

from gatepost.checkpointing.heart import Heart
from gatepost.checkpointing.history import History
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.run_row import RunRow
from gatepost.checkpointing.session import RunSession
from gatepost.state import crash
from gatepost.state.errors import CallerMistake, NotFound, RunExists, RunOnHold, RunOwned, UnknownRun
from gatepost.state.ids import RunId
from gatepost.state.status import RUN_FINAL, RunStatus
from gatepost.state.values import printable

POLL_SECONDS = 0.1
TROUBLE_LENGTH = 500
PATIENCE = 10
"""Attempts in a row that may die or fail at one transition before movers give a run up."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What a run is started with."""

    run_id: RunId
    tenant: str
    requested_by: str
    goal: str
    workflow: str
    graph_version: str
    input: Mapping[str, Any]
    fingerprint: str
    """Hash of goal and input: the same id with another one is refused."""
    priority: int = 0
    """Movers take the highest first."""
    kept: timedelta | None = None
    """How long movers leave it to the caller, who is about to move it; None: any mover, at once."""
    traceparent: str | None = None
    """The trace that it belongs to (W3C)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """How a run is held.

    A dead owner's lease is waited out; a live owner renews it, and then whoever asked is told
    "owned by … until …". With `wait=False` nobody waits at all.
    """

    ttl: timedelta = timedelta(seconds=10)
    """How long an owner that stops renewing keeps the run."""
    wait: bool = True
    """Whether to wait until the present lease has run out."""


class Runs:
    """The table of runs.

    Args:
        pools: connections.
        history: where plans and steps are read back from.
        lease: how runs are held.
        heart: what renews the leases.
    """

    def __init__(self, pools: Pools, history: History, *, lease: Lease, heart: Heart) -> None:
        self._pools = pools
        self._history = history
        self._heart = heart
        self.lease = lease
        self.patience = PATIENCE

    async def admit(self, admission: Admission) -> None:
        """Write the run down, once.

        Raises:
            RunExists: the id is taken by a run with another goal or input.
        """
        async with self._pools.connection() as connection:
            params = {
                name: Json(dict(value)) if isinstance(value, Mapping) else value
                for name, value in ((name, getattr(admission, name)) for name in Admission.__slots__)
            }
            if (await connection.execute(query("run.admit"), params)).rowcount:
                return
            row = await self._row(connection, admission.run_id, admission.tenant)
        if row is None or row["fingerprint"] != admission.fingerprint:
            raise RunExists(_taken(admission, row))

    async def get(self, run_id: str, tenant: str) -> dict[str, Any]:
        """The row of a run.

        Raises:
            UnknownRun: the tenant has no such run.
        """
        async with self._pools.connection() as connection:
            row = await self._row(connection, run_id, tenant)
        if row is None:
            raise UnknownRun(f"there is no run {run_id!r}. `gatepost run list` shows the runs there are.")
        return row

    async def find(self, prefix: str, tenant: str) -> RunId:
        """The one run whose id starts with `prefix`.

        Raises:
            UnknownRun: none does.
            CallerMistake: several do.
        """
        async with self._pools.connection() as connection:
            rows = await (await connection.execute(query("run.find"), {"prefix": prefix, "tenant": tenant})).fetchall()
        return RunId(one_of([row["run_id"] for row in rows], prefix=prefix, what="run", unknown=UnknownRun))

    async def list(self, tenant: str, *, status: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """A page of runs, newest first."""
        async with self._pools.connection() as connection:
            cursor = await connection.execute(query("run.list"), {"tenant": tenant, "status": status, "limit": limit})
            return await cursor.fetchall()

    @asynccontextmanager
    async def hold(
        self, run_id: str, tenant: str, *, actor: str, claimed: Mapping[str, Any] | None = None
    ) -> AsyncIterator[RunSession]:
        """Hold the run's lease while the block runs.

        Args:
            run_id: the run.
            tenant: whose it must be.
            actor: in whose name it is moved.
            claimed: its row as `Movers.claim` took it, lease and all; nothing is taken again.

        Raises:
            UnknownRun: the tenant has no such run.
            RunOwned: another owner holds it, and is alive.
            RunOnHold: an operator stopped it.
            CallerMistake: the run has ended.
        """
        row = await self._take(run_id, tenant, owner_name()) if claimed is None else claimed
        try:
            session = await self._open(row, owner=row["owner"], actor=actor)
        except BaseException as error:  # cancelled, or a plan that cannot be read: nobody holds the run
            trouble = said(error) if claimed is not None and isinstance(error, Exception) else None
            await asyncio.shield(self._let_go(run_id, row["epoch"], trouble=trouble))
            raise
        self._heart.hold(session)
        crash.here("lease.taken")
        try:
            yield session
        finally:
            crash.here("lease.left")
            self._heart.drop(session)
            await asyncio.shield(self._release(session))

    async def _row(self, connection: Any, run_id: str, tenant: str) -> dict[str, Any] | None:
        cursor = await connection.execute(query("run.get"), {"run_id": run_id, "tenant": tenant})
        row: dict[str, Any] | None = await cursor.fetchone()
        return row

    async def _take(self, run_id: str, tenant: str, owner: str) -> dict[str, Any]:
        params = {"run_id": run_id, "tenant": tenant, "owner": owner, "ttl": self.lease.ttl}
        until = None
        while True:
            asked = time.monotonic()
            async with self._pools.connection() as connection:
                if row := await (await connection.execute(query("run.take"), params)).fetchone():
                    return {**row, "asked": asked}
                row = await self._row(connection, run_id, tenant)
            if row is None:
                raise UnknownRun(f"there is no run {run_id!r}. `gatepost run list` shows the runs there are.")
            if row["finished_at"] is not None:
                raise CallerMistake(f"run {run_id} has ended ({row['status']}); nothing moves it any more.")
            if row["status"] == RunStatus.HELD:
                raise RunOnHold(
                    f"run {run_id} is held ({row['reason']}): nothing moves it until it is released. "
                    f"`gatepost run release {run_id}` lets it go on."
                )
            expires = row["lease_expires_at"]
            until = until or expires
            if expires is not None and (not self.lease.wait or expires > until):
                raise RunOwned(
                    f"run {run_id} is owned by {row['owner']} until {expires:%H:%M:%S} and being moved. "
                    "Wait for it to block or end; if that process is dead, ask again after that time."
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _open(self, row: Mapping[str, Any], *, owner: str, actor: str) -> RunSession:
        run = RunRow.of(row)
        board = await self._history.board(run.run_id, plan_version=run.plan_version, run_input=run.input)
        return RunSession(
            run=run,
            owner=owner,
            epoch=row["epoch"],
            actor=actor,
            board=board,
            now=row["now"],
            seq=run.seq,
            status=run.status,
            reason=row["reason"],
            renewed=row["asked"],
            ordered=row["ordered"],
            instructed=row["instructed"],
        )

    async def _release(self, session: RunSession) -> None:
        if session.lost:
            return
        status = await self._let_go(
            session.run.run_id, session.epoch, wake_at=session.wake_at, trouble=session.trouble, reason=session.reason
        )
        if status is not None:
            session.status = status

    async def _let_go(
        self,
        run_id: str,
        epoch: int,
        *,
        trouble: str | None = None,
        wake_at: datetime | None = None,
        reason: str | None = None,
    ) -> RunStatus | None:
        params = {
            "run_id": run_id,
            "epoch": epoch,
            "wake_at": wake_at,
            "wake_reason": reason if wake_at else None,
            "trouble": trouble,
            "patience": self.patience,
        }
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("run.release"), params)).fetchone()
        return RunStatus(row["status"]) if row and row["status"] else None


def owner_name() -> str:
    """Who holds a lease: host, process, and a random part, because one process may hold several."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def _taken(admission: Admission, row: Mapping[str, Any] | None) -> str:
    """That the id belongs to another run, and in what that one is another; of somebody else's nothing is told."""
    taken = f"the id {admission.run_id!r} belongs to another run"
    if row is None:
        return f"{taken}. Use another thread_id."
    if row["workflow"] != admission.workflow:
        other, cure = f"its goal is {row['goal']!r}, not {admission.goal!r}", "goal"
    else:
        theirs, ours = row["input"], dict(admission.input)
        names = [name for name in {**theirs, **ours} if theirs.get(name, row) != ours.get(name, row)]
        other, cure = f"its goal is the same, its input is not ({', '.join(names[:10])})", "input"
    return f"{taken}: {other}. One run is one execution: use another id, or the same {cure} to go on with it."


def said(error: BaseException) -> str:
    """What an attempt ended with, short enough for a row that people read."""
    return printable(f"{type(error).__name__}: {error}", limit=TROUBLE_LENGTH)


def ended(row: Mapping[str, Any]) -> bool:
    """Whether nobody moves this run any more."""
    return RunStatus(row["status"]) in RUN_FINAL


_BEGINNINGS = {"run_": "run", "apr_": "approval", "eff_": "effect"}


def one_of(found: list[str], *, prefix: str, what: str, unknown: type[NotFound]) -> str:
    """The one id meant by an abbreviation.

    Raises:
        NotFound: (`unknown`) none.
        CallerMistake: several.
    """
    if len(found) == 1 or prefix in found:
        return prefix if prefix in found else found[0]
    if not found:
        kind = _BEGINNINGS.get(prefix[:4], what)
        shows = "list` shows those there are" if kind == what else f"show {prefix}` looks for it among the {kind}s"
        raise unknown(f"there is no {what} {prefix!r}. `gatepost {kind} {shows}.")
    raise CallerMistake(f"{prefix!r} could be {', '.join(found)}. Give more of the id.")
