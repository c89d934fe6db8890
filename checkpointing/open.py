"""Opening the checkpointer: from a DSN (or none) to something that a graph can be built on."""

from __future__ import annotations

from gatepost.checkpointing.address import resolve
from gatepost.checkpointing.books import Books
from gatepost.checkpointing.migrate import migrate as apply_migrations
from gatepost.checkpointing.runs import Lease
from gatepost.checkpointing.saver import GatepostSaver


class Checkpointer(GatepostSaver, Books):
    """The saver together with everything else that Postgres remembers of runs.

    Use it as a context manager, sync or async, or call `close()`; what a process leaves open is
    closed when it ends.

    Args:
        books: the open database. It has one set of connections, whichever of the two is asked.
    """

    def __init__(self, books: Books) -> None:
        GatepostSaver.__init__(self, books.pools, books.bridge)
        vars(self).update(vars(books))


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
    return Checkpointer(Books(address, lease=lease, max_connections=max_connections))
