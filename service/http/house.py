"""The house: what every handler needs, made once for a process that serves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request

from gatepost.checkpointing.keys import Keys
from gatepost.checkpointing.links import Links
from gatepost.checkpointing.movers import Bell, Movers
from gatepost.checkpointing.overview import Overview
from gatepost.checkpointing.requests import Requests
from gatepost.graph.compiled import GatepostGraph
from gatepost.service.http.guard import Place
from gatepost.service.http.limits import Limits
from gatepost.service.http.problem import Refused
from gatepost.service.http.replays import Code, Replays

REMEMBERED_SECONDS = 60.0
STREAMS_OF_ONE = 16
STREAMS_OF_ALL = 400
EXPORTS_OF_ONE = 2
EXPORTS_OF_ALL = 4
"""Each holds a connection of the pool while it is read."""


class Waker:
    """Wakes whoever waits for news: at once when the bell rings, and after a while in any case."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.stopping = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        self._rung.set()
        self._rung = asyncio.Event()

    def stop(self) -> None:
        """The process ends: nobody waits any more."""
        self.stopping.set()
        self.ring()

    @property
    def next_ring(self) -> asyncio.Event:
        """Set by the next ring. Whoever looks takes it before the look: a ring in the middle of one is news as well."""
        return self._rung

    async def wait(self, seconds: float, *, rung: asyncio.Event | None = None) -> None:
        """Wait for the bell, or for the ring that was taken before, but no longer than so."""
        rung = rung or self._rung
        try:
            async with asyncio.timeout(seconds):
                await rung.wait()
        except TimeoutError:
            return


@dataclass
class House:
    """What every handler needs.

    Args:
        graph: knows the workflows, and the database.
        place: where the service is reached.
        link_keys: what links for mail and chat are signed with, the one that signs first; none: there are no links.
        code: where another process finds the same workflows.
        limits: how many requests are let through.
    """

    graph: GatepostGraph
    place: Place
    link_keys: Sequence[bytes] = field(default=(), repr=False)
    code: Code = field(default_factory=Code)
    limits: Limits = field(default_factory=Limits)
    waker: Waker = field(default_factory=Waker)
    once: dict[bytes, tuple[str, float]] = field(default_factory=dict)
    """Sign-in links that were not used yet: hash of the token → the key's id, and until when (monotonic)."""

    lent: set[str] = field(default_factory=set)
    """Ids of keys that live no longer than this process."""

    def __post_init__(self) -> None:
        """Take up what the database offers."""
        pools = self.graph.saver.pools
        self.saver = self.graph.saver
        self.keys, self.requests, self.overview = Keys(pools), Requests(pools), Overview(pools)
        self.links = Links(pools)
        self.movers = Movers(pools, self.saver.runs)
        self.replays = Replays(self.saver, self.code)
        self._streams: Counter[str] = Counter()
        self._exports: Counter[str] = Counter()
        self._secrets: list[bytes] = []
        self._asked = float("-inf")

    async def secrets(self) -> list[bytes]:
        """What is signed with, newest first."""
        if time.monotonic() - self._asked > REMEMBERED_SECONDS:
            self._secrets, self._asked = await self.keys.signing(), time.monotonic()
        return self._secrets

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen to the bell while the block runs, and let go of the connections after it."""
        try:
            async with Bell(self.saver.address, self.waker.ring, mover=False).heard():
                yield
        finally:
            self.waker.stop()
            await self.saver.pools.close()

    def stream(self, key_id: str) -> AbstractAsyncContextManager[None]:
        """A place for one more stream; entering it raises `Refused` where there is none."""
        return _place(self._streams, key_id, of_one=STREAMS_OF_ONE, of_all=STREAMS_OF_ALL, what="streams")

    def export(self, key_id: str) -> AbstractAsyncContextManager[None]:
        """A place for one more export; entering it raises `Refused` where there is none."""
        return _place(self._exports, key_id, of_one=EXPORTS_OF_ONE, of_all=EXPORTS_OF_ALL, what="exports")


@asynccontextmanager
async def _place(taken: Counter[str], key_id: str, *, of_one: int, of_all: int, what: str) -> AsyncIterator[None]:
    if taken[key_id] >= of_one or taken.total() >= of_all:
        said = f"A key has at most {of_one} {what} at once, and all keys together {of_all}."
        next_ = "Close one of them, or ask again a little later."
        raise Refused(
            429, f"too-many-{what}", f"Too many {what}", detail=said, next=next_, headers={"Retry-After": "5"}
        )
    taken[key_id] += 1
    try:
        yield
    finally:
        taken[key_id] -= 1
        if not taken[key_id]:
            del taken[key_id]


def house_of(request: Request) -> House:
    """The house of the application."""
    found: House = request.app.state.house
    return found
