"""Connections: one pool for each event loop that asks, and one translation of what can go wrong.

Invariant: connections never travel between event loops, a connection whose transaction did not end
is closed and never used again, and what Postgres refuses comes out as an error of ours that names
the cause. A pool closes with its loop: an async generator kept on the loop ends when the loop
shuts down.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gatepost.checkpointing.address import Address
from gatepost.state.errors import DatabaseUnavailable, LostRun
from gatepost.state.values import printable

Connection = AsyncConnection[DictRow]

LOST_RUN = "GP001"
ONE_CHILD = "gatepost_one_child"
CHECKOUT_SECONDS = 15.0
RECONNECT_SECONDS = 5.0
"""How long a pool goes on trying by itself; after that the next call starts anew."""
RESTED_SECONDS = 30.0
"""A connection that was not used for so long is asked whether it still answers."""


class _Ending:
    """A pool worker's queue at which the worker ends when its task was cancelled while it connected.

    The library's worker takes a cancellation for a failed attempt to connect and goes on for ever,
    so `asyncio.run` would never return (seen with psycopg-pool 3.3.3).
    """

    def __init__(self, queue: asyncio.Queue[Any]) -> None:
        self._queue = queue

    async def get(self) -> Any:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return await self._queue.get()


class _LastUsedFirst(deque[Connection]):
    """Connections at rest. Whoever needs one takes the one that was used last.

    Behind it is the server process with everything at hand: its plans, its memory, its caches. The library's
    queue goes round instead, and each statement of a process that needs one connection at a time would meet
    another cold one (a tenth of the time of a step, a fifth of the server's).
    """

    shrinks = False
    """Whether the library takes one to close it: the one that rested longest, then."""

    def popleft(self) -> Connection:
        """The connection that the library takes."""
        return super().popleft() if self.shrinks else self.pop()


class Pool(AsyncConnectionPool[Connection]):
    """The library's pool, with the last used connection first and workers that can be cancelled."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pool = self._resting = _LastUsedFirst()

    async def _shrink_pool(self) -> None:
        self._resting.shrinks = True
        try:
            await super()._shrink_pool()
        finally:
            self._resting.shrinks = False

    @classmethod
    async def worker(cls, q: Any) -> None:
        """Run the pool's own tasks until it closes or the loop ends."""
        await super().worker(_Ending(q))  # type: ignore[arg-type]


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
        self._used: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    async def here(self) -> Pool:
        """The pool of the running loop, opened when first asked for."""
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            pool = Pool(
                self.address.app,
                connection_class=AsyncConnection[DictRow],
                kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
                min_size=1,
                max_size=self._max_size,
                timeout=CHECKOUT_SECONDS,
                reconnect_timeout=RECONNECT_SECONDS,
                check=self._check,
                open=False,
            )
            self._pools[loop] = (pool, _kept(pool))
            await anext(self._pools[loop][1])
        pool = self._pools[loop][0]
        if pool.closed:
            await pool.open()
        return pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit: each statement for itself."""
        pool = await self.here()
        with translated(self.address.shown):
            async with pool.connection() as connection:
                yield connection
                self._used[connection] = time.monotonic()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction."""
        async with self.connection() as connection, _ended_or_closed(connection), connection.transaction():
            yield connection

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Connection]:
        """One transaction whose statements travel together: results can be read after it."""
        async with (
            self.connection() as connection,
            _ended_or_closed(connection),
            connection.pipeline(),
            connection.transaction(),
        ):
            yield connection

    async def _check(self, connection: Connection) -> None:
        """Whether a connection may be handed out.

        A server that went away has said so: there is something to read on a connection at rest. One that
        rested for long is asked, since a network in between may have forgotten it.
        """
        rested = time.monotonic() - self._used.get(connection, 0.0)
        if rested > RESTED_SECONDS or _said_something(connection):
            await Pool.check_connection(connection)

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


def _said_something(connection: Connection) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@asynccontextmanager
async def _ended_or_closed(connection: Connection) -> AsyncIterator[None]:
    """A transaction that was cut short (cancelled, Ctrl-C) may leave a pipeline open: end the connection with it."""
    try:
        yield
    except Exception:
        raise  # the library has rolled back
    except BaseException:
        await connection.close()
        raise


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
            "The database is down, or too many runs share this process; nothing was lost, try again.",
            passing=True,
        ) from error
    except (psycopg.OperationalError, errors.InsufficientPrivilege) as error:
        raise DatabaseUnavailable(
            f"the database {shown} failed: {printable(str(error).strip(), limit=400)}. "
            "What was committed is safe; `gatepost doctor` says more.",
            passing=_broke_off(error),
        ) from error
    except psycopg.DatabaseError as error:
        if error.sqlstate != LOST_RUN:
            raise
        raise LostRun(
            f"{error.diag.message_primary}: another owner moves it now. Nothing was written; this one stops."
        ) from error


def _broke_off(error: psycopg.Error) -> bool:
    """Whether the connection ended under the statement: no answer at all, or the server going down."""
    state = error.sqlstate
    return isinstance(error, psycopg.OperationalError) and (state is None or state[:2] == "08" or state[:3] == "57P")
