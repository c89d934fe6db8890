"""Connections: one pool for each event loop that asks, and one translation of what can go wrong.

Invariant: connections never travel between event loops, every transaction goes through
`transaction()`, and what Postgres refuses comes out as an error of ours that names the cause.
A pool closes with its loop: an async generator kept on the loop ends when the loop shuts down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gatepost.checkpointing.address import Address
from gatepost.state.errors import DatabaseUnavailable, LostRun
from gatepost.state.values import printable

Connection = AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]

LOST_RUN = "GP001"
ONE_CHILD = "gatepost_one_child"
CHECKOUT_SECONDS = 15.0


class Pools:
    """The connections of one process to one database, acting as the application role.

    Args:
        address: where the database is.
        max_size: connections per event loop.
    """

    def __init__(self, address: Address, *, max_size: int = 10) -> None:
        self.address = address
        self._max_size = max_size
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Pool, AsyncGenerator[None]]]
        self._pools = WeakKeyDictionary()

    async def here(self) -> Pool:
        """The pool of the running loop, opened when first asked for."""
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            pool: Pool = AsyncConnectionPool(
                self.address.app,
                connection_class=AsyncConnection[DictRow],
                kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
                min_size=1,
                max_size=self._max_size,
                timeout=CHECKOUT_SECONDS,
                open=False,
            )
            self._pools[loop] = (pool, _kept(pool))
            await anext(self._pools[loop][1])
        pool = self._pools[loop][0]
        await pool.open()
        return pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit: each statement for itself. For reads."""
        pool = await self.here()
        with translated(self.address.shown):
            async with pool.connection() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Connection]:
        """One transaction whose statements travel together: results can be read after it."""
        async with self.connection() as connection, connection.pipeline(), connection.transaction():
            yield connection

    async def close(self) -> None:
        """Close the pool of the running loop."""
        if entry := self._pools.pop(asyncio.get_running_loop(), None):
            await entry[1].aclose()


async def _kept(pool: Pool) -> AsyncGenerator[None]:
    try:
        await pool.open()
        yield
    finally:
        await pool.close()


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Turn what psycopg raises into errors of ours, where we can say more than it can.

    Raises:
        LostRun: the fence found another epoch, or another child of the same checkpoint.
        DatabaseUnavailable: no connection, a connection that broke, no space.
    """
    try:
        yield
    except errors.UniqueViolation as error:
        if error.diag.constraint_name != ONE_CHILD:
            raise
        raise LostRun(
            "another owner has moved this run on from the same checkpoint. Nothing was written; "
            "look at the run with `gatepost run show` before moving it again."
        ) from error
    except PoolTimeout as error:
        raise DatabaseUnavailable(
            f"no connection to {shown} became free within {CHECKOUT_SECONDS:.0f} s. "
            "The database is down, or too many runs share this process; nothing was lost, try again."
        ) from error
    except (psycopg.OperationalError, errors.InsufficientPrivilege) as error:
        raise DatabaseUnavailable(
            f"the database {shown} failed: {printable(str(error).strip(), limit=400)}. "
            "What was committed is safe; `gatepost doctor` says more."
        ) from error
    except psycopg.DatabaseError as error:
        if error.sqlstate != LOST_RUN:
            raise
        raise LostRun(
            f"{error.diag.message_primary}: another owner moves it now. Nothing was written; this one stops."
        ) from error
