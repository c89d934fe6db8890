"""Connections: each of them belongs to somebody who asks something, or it is closed.

Invariant: whoever opens connections and sends nothing, or the beginning of a request and no end, keeps no place from
others for long; no address has all the places, whatever it sends; and what a request begins with has a largest size.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from gatepost.service.http.limits import network_of
from gatepost.service.http.problem import Problem

HEAD_SECONDS = 15.0
"""How long the head of a request may take to arrive, twice that at most; the one behind a response as well."""
TOO_MANY = Problem(
    429,
    "too-many-connections",
    "Too many connections",
    "Too many connections are open from there.",
    "Close some of them. Is that a proxy? Name it by --trusted-proxy where the service is started.",
)
_BUSY = object()


class Places:
    """Who has how many connections.

    Args:
        most: of one address; 0: nothing is limited.
        proxies: addresses that have as many as they like: whoever is behind them is not one.
    """

    def __init__(self, most: int, proxies: Collection[str] = ()) -> None:
        self._most, self._proxies = most, frozenset(proxies)
        self._taken: Counter[str] = Counter()

    def take(self, peer: str) -> str | None:
        """A place for whoever comes from there, to be given back by what is given; None: there is none left."""
        name = network_of(peer)
        if self._most and self._taken[name] >= self._most and peer not in self._proxies:
            return None
        self._taken[name] += 1
        return name

    def give_back(self, name: str) -> None:
        """A connection has ended."""
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]


class Connection(H11Protocol):
    """Theirs, which waits for the head of a request for ever once a byte of it is there, or before the first.

    Args:
        places: how many an address may have; None: as many as there are.
    """

    _found: object = None
    _looking: asyncio.TimerHandle | None = None
    _place: str | None = None

    def __init__(self, *args: Any, places: Places | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._places = places or Places(0)

    def connection_made(self, transport: Any) -> None:
        """Somebody calls."""
        self._place = self._places.take(str((transport.get_extra_info("peername") or ("",))[0]))
        if self._place is None:
            transport.write(_FULL)
            transport.close()
            return
        super().connection_made(transport)
        self._looking = self.loop.call_later(HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        if self._place is None:
            return
        self._places.give_back(self._place)
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Close it where no request has arrived since it was found without one."""
        found: object = self.cycle if getattr(self.cycle, "response_complete", True) else _BUSY
        if found is not _BUSY and found is self._found:
            self.transport.close()
            return
        self._found = found
        self._looking = self.loop.call_later(HEAD_SECONDS, self._look)


def _written(problem: Problem) -> bytes:
    """A problem as the whole of a response, before anything was asked."""
    answer = problem.response({"Connection": "close", "Retry-After": "15"})
    head = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (answer.status_code, problem.title.encode(), head, bytes(answer.body))


_FULL = _written(TOO_MANY)
