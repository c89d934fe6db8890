"""Rate limits as counts, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.requests import Request

from gatepost.service.http.limits import ATTEMPTS, REMEMBERED, Buckets, Limits
from gatepost.service.http.problem import Refused


class Clock:
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock."""
    return Clock()


def come(peer: str = "192.0.2.1", forwarded: str = "") -> Request:
    """A request from somewhere; each line is a header of its own."""
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded.splitlines()]
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


def let_in(ask: Callable[[], None], most: int = 10_000) -> int:
    """How often something is let through before it is refused."""
    number, told = 0, None
    while told is None and number < most:
        try:
            ask()
            number += 1
        except Refused as refused:
            told = refused
    if told is None:
        return most
    assert told.problem.status == 429
    assert int(told.headers["Retry-After"]) >= 1
    return number


def test_a_bucket_is_emptied_and_fills_again(clock: Clock) -> None:
    bucket = Buckets(2.0, 10.0, clock)
    assert [bucket.take("a") for _ in range(10)] == [0.0] * 10
    assert bucket.take("a") == 0.5
    assert bucket.take("b") == 0.0
    clock.now += 0.5
    assert (bucket.take("a"), bucket.take("a")) == (0.0, 0.5)
    clock.now += 3_600
    assert [bucket.take("a") for _ in range(11)] == [0.0] * 10 + [0.5]


def test_a_key_has_its_rate_and_another_key_its_own(clock: Clock) -> None:
    limits = Limits(5.0, clock=clock)
    assert let_in(lambda: limits.key("key_a", "a")) == 50
    assert let_in(lambda: limits.key("key_b", "b")) == 50
    clock.now += 2
    assert let_in(lambda: limits.key("key_a", "a")) == 10


def test_an_address_pays_for_what_nobody_knows_and_who_has_a_key_does_not(clock: Clock) -> None:
    limits = Limits(100.0, clock=clock)
    limits.key("key_a", "Bearer a")

    def guess() -> None:
        limits.address(come(), "Bearer guess")
        limits.unknown(come())

    assert let_in(guess) == 300
    limits.address(come(), "Bearer a")  # was let in before, from wherever
    limits.address(come("192.0.2.2"), "Bearer guess")
    with pytest.raises(Refused):
        limits.address(come(), "Bearer b")


def test_what_was_known_once_and_is_no_longer_is_limited(clock: Clock) -> None:
    limits = Limits(100.0, clock=clock)
    for end in (limits.unknown, limits.attempt):
        limits.key("key_a", "Bearer a")

        def ask(end: Callable[[Request, str], None] = end) -> None:
            limits.address(come(), "Bearer a")
            end(come(), "Bearer a")

        assert let_in(ask) < 400
        clock.now += 3_600


def test_wrong_keys_and_links_cost_more_than_a_request(clock: Clock) -> None:
    for rate in (100.0, 1.0):
        limits = Limits(rate, clock=clock)

        def attempt(limits: Limits = limits) -> None:
            limits.address(come())
            limits.attempt(come())

        assert ATTEMPTS - 1 <= let_in(attempt) <= ATTEMPTS + 1


def test_whatever_is_sent_so_much_is_remembered_and_no_more(clock: Clock) -> None:
    limits = Limits(100.0, clock=clock)
    for number in range(REMEMBERED + 500):
        limits.unknown(come(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
        limits.key(f"key_{number}", f"credential {number}")
    assert len(limits.addresses) == len(limits.keys) == REMEMBERED


def test_without_a_rate_nothing_is_limited_and_nothing_remembered(clock: Clock) -> None:
    limits = Limits(0.0, clock=clock)
    assert let_in(lambda: limits.key("key_a", "a"), most=3_000) == 3_000
    limits.attempt(come())
    assert len(limits.keys) == len(limits.addresses) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "6.6.6.6", "192.0.2.1"),
        ("10.0.0.9", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.9", "198.51.100.7, 10.0.0.9", "198.51.100.7"),
        ("10.0.0.9", "6.6.6.6\n198.51.100.7", "198.51.100.7"),
        ("10.0.0.9", "", "10.0.0.9"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"),
        ("10.0.0.9", "198.51.100.7:50123", "198.51.100.7"),
        ("10.0.0.9", "[2001:db8:1:2:3:4:5:6]:50123", "2001:db8:1:2::"),
        ("10.0.0.9", "::ffff:198.51.100.7", "198.51.100.7"),
        ("10.0.0.9", "x" * 500, "x" * 64),
    ],
)
def test_who_asks_is_the_peer_or_whom_a_trusted_proxy_names(peer: str, forwarded: str, address: str) -> None:
    assert Limits(1.0, ["10.0.0.9"]).address_of(come(peer, forwarded)) == address
