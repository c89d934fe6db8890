"""The books: everything that Postgres remembers of runs except the graph's own position, which is the saver's.

Most commands only read them, and so they stand apart: the books need a driver and no LangGraph, whose import takes
longer than what a person asks of the database.
"""

from __future__ import annotations

import atexit
from types import TracebackType
from typing import Self

from gatepost.checkpointing.address import Address, resolve
from gatepost.checkpointing.approvals import Approvals
from gatepost.checkpointing.breakers import Breakers
from gatepost.checkpointing.bridge import Bridge
from gatepost.checkpointing.effects import Effects
from gatepost.checkpointing.entries import Entries
from gatepost.checkpointing.forks import Forks
from gatepost.checkpointing.heart import Heart
from gatepost.checkpointing.history import History
from gatepost.checkpointing.ledger import Ledger
from gatepost.checkpointing.migrate import migrate_ours
from gatepost.checkpointing.orders import Orders
from gatepost.checkpointing.people import People
from gatepost.checkpointing.policies import PolicyVersions
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.runs import Lease, Runs


class Books:
    """The tables of one database, each by its own name, on shared connections.

    Use it as a context manager, sync or async, or call `close()`; what a process leaves open is
    closed when it ends.

    Args:
        address: where the database is.
        lease: how runs are held.
        max_connections: per event loop.
    """

    def __init__(self, address: Address, *, lease: Lease, max_connections: int = 10) -> None:
        self.address = address
        self.pools = Pools(address, max_size=max_connections)
        self.bridge = Bridge()
        self.history = History(self.pools)
        self.heart = Heart(address, lease.ttl)
        self.runs = Runs(self.pools, self.history, lease=lease, heart=self.heart)
        self.approvals = Approvals(self.pools)
        self.people = People(self.pools)
        self.ledger = Ledger(self.pools)
        self.effects = Effects(self.pools)
        self.entries = Entries(self.pools)
        self.forks = Forks(self.pools)
        self.breakers = Breakers(self.pools)
        self.orders = Orders(self.pools)
        self.policies = PolicyVersions(self.pools)
        self._at_exit = self.close
        atexit.register(self._at_exit)

    def close(self) -> None:
        """Close the connections of the sync doors. Safe to call twice."""
        self.bridge.close()
        self.heart.close()
        atexit.unregister(self._at_exit)

    async def aclose(self) -> None:
        """Close the connections of the running loop, and those of the sync doors."""
        await self.pools.close()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def open_books(
    url: str | None = None,
    *,
    lease: Lease = Lease(),  # noqa: B008 (frozen)
    max_connections: int = 10,
) -> Books:
    """Open the database for reading and answering, with what this release's tables lack applied.

    Args:
        url: a libpq URL or conninfo; else `GATEPOST_DATABASE_URL`; else the embedded server, started on demand.
        lease: how runs are held.
        max_connections: per event loop.

    Raises:
        DatabaseUnavailable: it cannot be reached, started or used; says why and what to do.
    """
    address = resolve(url)
    migrate_ours(address)
    return Books(address, lease=lease, max_connections=max_connections)
