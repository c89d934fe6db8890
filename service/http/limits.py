"""Rate limits: how many requests a key may send, and an address that has none.

A key has a bucket of tokens that fills as time passes; a request takes one, and is refused when there is none. An
address pays only for what comes without a key in force: so whoever has one is not hindered by others behind the same
address, and guessing costs more than asking. In this process only; several of them allow as many times as much.

Pure: the clock is passed in. Invariant: so many buckets are remembered and no more, whoever sends what.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.requests import Request

from gatepost.service.http.problem import Refused

BURST_SECONDS = 10.0
"""A key that was quiet may send at once what it may send in so long."""
UNKNOWN = 0.05
"""The part of a key's rate that an address has without one."""
UNKNOWN_BURST_SECONDS = 60.0
ATTEMPTS = 30
"""Keys and links in a row that an address may get wrong."""
REMEMBERED = 10_000


class Buckets:
    """Token buckets, one for each name.

    Args:
        rate: tokens a second; 0: nothing is limited.
        burst: that a bucket holds.
        clock: monotonic, in seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float], *, remembered: int = REMEMBERED) -> None:
        self._rate, self._burst, self._clock, self._remembered = rate, max(1.0, burst), clock, remembered
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, cost: float = 1.0) -> float:
        """Take from a bucket; gives for how many seconds there is not enough in it, 0 where it was taken."""
        short = self.short(name, cost)
        if not short and self._rate:
            self._keep(name, self._full(name) - cost)
        return short

    def short(self, name: str, cost: float = 1.0) -> float:
        """For how many seconds there is not enough in a bucket."""
        return max(0.0, min(cost, self._burst) - self._full(name)) / self._rate if self._rate else 0.0

    def charge(self, name: str, cost: float) -> None:
        """Take from a bucket what there is of it."""
        if self._rate:
            self._keep(name, max(0.0, self._full(name) - cost))

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._left)

    def _full(self, name: str) -> float:
        left, at = self._left.get(name, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - at) * self._rate)

    def _keep(self, name: str, left: float) -> None:
        self._left[name] = (left, self._clock())
        self._left.move_to_end(name)
        if len(self._left) > self._remembered:
            self._left.popitem(last=False)


@dataclass
class Limits:
    """What is limited in a service.

    Args:
        rate: requests a second for each key; 0: nothing is limited.
        proxies: addresses whose `X-Forwarded-For` is believed.
        connections: that one address has at once, a proxy that is believed excepted; 0: nothing is limited.
        clock: monotonic, in seconds.
    """

    rate: float = 0.0
    proxies: Collection[str] = ()
    connections: int = 0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        """Make the buckets."""
        unknown = self.rate * UNKNOWN
        self.keys = Buckets(self.rate, self.rate * BURST_SECONDS, self.clock)
        self.addresses = Buckets(unknown, unknown * UNKNOWN_BURST_SECONDS, self.clock)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._attempt = max(1.0, unknown * UNKNOWN_BURST_SECONDS) / ATTEMPTS

    def key(self, key_id: str, credential: str) -> None:
        """A key in force sends a request; `credential` is what it came with.

        Raises:
            Refused: too many.
        """
        self._known[_digest(credential)] = None
        self._known.move_to_end(_digest(credential))
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        _refuse(self.keys.take(key_id), f"A key may send {self.rate:g} requests a second, and some more at once.")

    def address(self, request: Request, credential: str = "") -> None:
        """Something comes without a key, or with one that is yet to be looked at.

        Whoever was let in with it before is not hindered by others behind the same address.

        Raises:
            Refused: too much came from there that nobody knows.
        """
        if _digest(credential) in self._known:
            return
        short = self.addresses.short(self.address_of(request), min(1.0, self._attempt))
        _refuse(short, "Too much came from there without a key in force.")

    def unknown(self, request: Request, credential: str = "") -> None:
        """It was nobody whom we know, or no longer."""
        self._known.pop(_digest(credential), None)
        self.addresses.charge(self.address_of(request), 1.0)

    def attempt(self, request: Request, credential: str = "") -> None:
        """A key was typed, or a link opened, that is none, or no longer."""
        self._known.pop(_digest(credential), None)
        self.addresses.charge(self.address_of(request), self._attempt)

    def address_of(self, request: Request) -> str:
        """From where a request comes: the peer, or whom a proxy that is believed names; of IPv6, the network."""
        found = request.client.host if request.client else ""
        if found in self.proxies:
            named = [part.strip() for part in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
            found = next((part for part in reversed(named) if part and part not in self.proxies), found)
        return network_of(found)


def network_of(text: str) -> str:
    """Whom an address counts as: of IPv6 the network, which one subscriber has for himself."""
    try:
        address = _address_in(text)
    except ValueError:
        return text[:64]
    return str(IPv6Address(int(address) >> 64 << 64)) if isinstance(address, IPv6Address) else str(address)


def _address_in(text: str) -> IPv4Address | IPv6Address:
    """The address, as proxies write it: some with brackets, with the port, or IPv4 as a part of IPv6.

    Raises:
        ValueError: it is none.
    """
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    found = ip_address(bare.partition(":")[0] if bare.count(":") == 1 else bare)
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _digest(credential: str) -> bytes:
    return hashlib.blake2b(credential.encode(errors="replace"), digest_size=16).digest()


def _refuse(seconds: float, said: str) -> None:
    if seconds:
        wait = math.ceil(seconds)
        raise Refused(
            429,
            "too-many-requests",
            "Too many requests",
            detail=said,
            next=f"Send it again in {wait} s, with the same key.",
            headers={"Retry-After": str(wait)},
        )
