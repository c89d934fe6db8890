"""Opening the checkpointer: from a DSN (or none) to something that a graph can be built on."""

from __future__ import annotations

import atexit
from types import TracebackType
from typing import Self

from gatepost.checkpointing.address import Address, resolve
from gatepost.checkpointing.approvals import Approvals
from gatepost.checkpointing.breakers import Breakers
from gatepost.checkpointing.bridge import Bridge
from gatepost.checkpointing.entries import Entries
from gatepost.checkpointing.forks import Forks
from gatepost.checkpointing.heart import Heart
from gatepost.checkpointing.history import History
from gatepost.checkpointing.ledger import Ledger
from gatepost.checkpointing.migrate import migrate as apply_migrations
from gatepost.checkpointing.orders import Orders
from gatepost.checkpointing.people import People
from gatepost.checkpointing.policies import PolicyVersions
from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.runs import Lease, Runs
from gatepost.checkpointing.saver import GatepostSaver


class Checkpointer(GatepostSaver):
    """The saver together with everything else that Postgres remembers of runs.

    Use it as a context manager, sync or async, or call `close()`; what a process leaves open is
    closed when it ends.

    Args:
        address: where the database is.
        lease: how runs are held.
        max_connections: per event loop.
    """

    def __init__(self, address: Address, *, lease: Lease, max_connections: int = 10) -> None:
        super().__init__(Pools(address, max_size=max_connections), Bridge())
        self.address = address
        self.history = History(self.pools)
        self.heart = Heart(address, lease.ttl)
        self.runs = Runs(self.pools, self.history, lease=lease, heart=self.heart)
        self.approvals = Approvals(self.pools)
        self.people = People(self.pools)
        self.ledger = Ledger(self.pools)
        self.entries = Entries(self.pools)
        self.forks = Forks(self.pools)
        self.breakers = Breakers(self.pools)
        self.orders = Orders(self.pools)
        self.policies = PolicyVersions(self.pools)
        atexit.register(self.close)

    def close(self) -> None:
        """Close the connections of the sync doors. Safe to call twice."""
        self.bridge.close()
        self.heart.close()
        atexit.unregister(self.close)

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


def open_checkpointer(
    url: str | None = None,
    *,
    lease: Lease = Lease(),  # noqa: B008 (frozen)
    max_connections: int = 10,
    migrate: bool = True,
) -> Checkpointer:
    """Open the database and bring it up to date.

    Args:
        url: a libpq URL or conninfo; else `GATEPOST_DATABASE_URL`; else the embedded server, started on demand.
        lease: how runs are held.
        max_connections: per event loop.
        migrate: apply missing migrations (needs the owner's rights; a no-op when there are none).

    Raises:
        DatabaseUnavailable: it cannot be reached, started or used; says why and what to do.
    """
    address = resolve(url)
    if migrate:
        apply_migrations(address)
    return Checkpointer(address, lease=lease, max_connections=max_connections)
