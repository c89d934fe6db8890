"""Tries to get a failure taken for another: a maybe for a no, a no for a try again, a wait without an end."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any, get_args

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost import NotDone, Retry
from gatepost.nodes.failure import RETRIED, classify
from gatepost.nodes.protocol import pause_seconds
from gatepost.nodes.tool import InvalidArguments, InvalidResult
from gatepost.state.errors import InvalidValue
from gatepost.state.step import Failure
from gatepost.state.values import storable

REQUEST = httpx.Request("POST", "https://provider.test/charges")
CERTAIN, MAYBE = True, False
"""That nothing happened."""


def status(code: int, headers: dict[str, str] | None = None) -> httpx.HTTPStatusError:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return httpx.HTTPStatusError(
        f"{code}", request=REQUEST, response=httpx.Response(code, headers=raw, request=REQUEST)
    )


CLASSES: list[Any] = [
    pytest.param(status(400), "validation", CERTAIN, id="400"),
    pytest.param(status(401), "auth", CERTAIN, id="401"),
    pytest.param(status(402), "validation", CERTAIN, id="402"),
    pytest.param(status(403), "auth", CERTAIN, id="403"),
    pytest.param(status(404), "validation", CERTAIN, id="404"),
    pytest.param(status(408), "transient", MAYBE, id="408"),
    pytest.param(status(409), "transient", MAYBE, id="409: the first attempt may still be under way"),
    pytest.param(status(422), "validation", CERTAIN, id="422"),
    pytest.param(status(425), "transient", MAYBE, id="425"),
    pytest.param(status(429), "throttled", CERTAIN, id="429"),
    pytest.param(status(500), "transient", MAYBE, id="500"),
    pytest.param(status(502), "transient", MAYBE, id="502"),
    pytest.param(status(503), "transient", MAYBE, id="503"),
    pytest.param(status(504), "transient", MAYBE, id="504"),
    pytest.param(httpx.ConnectError("refused"), "transient", CERTAIN, id="nobody there"),
    pytest.param(httpx.ConnectTimeout("slow"), "transient", CERTAIN, id="nobody answered the door"),
    pytest.param(httpx.PoolTimeout("full"), "transient", CERTAIN, id="never left the house"),
    pytest.param(httpx.ReadTimeout("slow"), "timeout", MAYBE, id="sent, no answer"),
    pytest.param(httpx.WriteTimeout("slow"), "timeout", MAYBE, id="half sent"),
    pytest.param(TimeoutError(), "timeout", MAYBE, id="declared timeout"),
    pytest.param(httpx.ReadError("reset"), "transient", MAYBE, id="cut off while reading"),
    pytest.param(httpx.WriteError("reset"), "transient", MAYBE, id="cut off while writing"),
    pytest.param(httpx.RemoteProtocolError("disconnected"), "transient", MAYBE, id="server hung up"),
    pytest.param(ConnectionResetError("reset"), "transient", MAYBE, id="reset"),
    pytest.param(BrokenPipeError("pipe"), "transient", MAYBE, id="broken pipe"),
    pytest.param(psycopg.OperationalError("gone"), "transient", MAYBE, id="database gone"),
    pytest.param(NotDone("x"), "validation", CERTAIN, id="says so itself"),
    pytest.param(NotDone("x", again=True), "transient", CERTAIN, id="says so itself, and that it may be tried again"),
    pytest.param(NotDone("x", retry_after=timedelta(seconds=9)), "throttled", CERTAIN, id="and when"),
    pytest.param(InvalidArguments("x"), "validation", CERTAIN, id="arguments"),
    pytest.param(InvalidResult("x"), "validation", MAYBE, id="it happened, but said something odd"),
    pytest.param(InvalidValue("x"), "validation", MAYBE, id="it happened, but said something unstorable"),
    pytest.param(httpx.TooManyRedirects("x"), "bug", MAYBE, id="redirects without end"),
    pytest.param(psycopg.ProgrammingError("x"), "bug", MAYBE, id="wrong SQL"),
    pytest.param(KeyError("x"), "bug", MAYBE, id="a bug in the tool"),
    pytest.param(ValueError("x"), "bug", MAYBE, id="another bug in the tool"),
]


@pytest.mark.parametrize(("error", "kind", "certain"), CLASSES)
def test_error_is_of_one_class_and_says_whether_nothing_happened(error: Exception, kind: str, certain: bool) -> None:  # noqa: FBT001
    failure, nothing_happened = classify(error)
    assert (failure.kind, nothing_happened) == (kind, certain)
    assert failure.message.startswith(f"{type(error).__name__}: ")


def test_only_what_may_pass_is_tried_again() -> None:
    assert {"transient", "throttled", "timeout"} == RETRIED
    assert set(get_args(Failure.model_fields["kind"].annotation)) > RETRIED


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("0", 0.0, id="now"),
        pytest.param("30", 30.0, id="seconds"),
        pytest.param("Sat, 21 Nov 2026 07:28:00 GMT", None, id="a date: the usual pause then"),
        pytest.param("1.5", None, id="not what RFC 9110 allows"),
        pytest.param("-1", None, id="negative"),
        pytest.param("soon", None, id="a word"),
        pytest.param("", None, id="empty"),
        pytest.param("\u00b2", None, id="a digit to Python only"),
        pytest.param("9" * 400, None, id="infinity"),
    ],
)
def test_retry_after_is_kept_when_it_is_a_number_of_seconds(header: str, seconds: float | None) -> None:
    failure, _ = classify(status(429, {"Retry-After": header}))
    assert failure.retry_after == seconds
    json.dumps(failure.plain(), allow_nan=False)


def test_a_tool_may_say_when_it_may_be_tried_again() -> None:
    assert classify(NotDone("x", retry_after=timedelta(seconds=9)))[0].retry_after == 9
    assert classify(NotDone("x", retry_after=timedelta(seconds=-9)))[0].retry_after == 0


def test_retry_after_is_missing_where_the_provider_says_nothing() -> None:
    assert classify(status(429))[0].retry_after is None


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(ValueError("\x00\ud800"), "ValueError: \\x00\\ud800", id="what no row can hold"),
        pytest.param(ValueError(), "ValueError: no message", id="nothing"),
        pytest.param(Mute(), "Mute: no message", id="an error that cannot be printed"),
        pytest.param(ValueError("x" * 100_000), "more characters)", id="a novel"),
    ],
)
def test_message_of_any_error_can_be_stored(error: Exception, said: str) -> None:
    failure, _ = classify(error)
    assert said in failure.message
    assert len(failure.message) < 1_100
    storable(failure.plain(), where="the failure")


RETRY = Retry(attempts=10, first=timedelta(seconds=0.5), longest=timedelta(seconds=8))
TRANSIENT = Failure(kind="transient", message="x")


@pytest.mark.parametrize(("attempt", "longest"), [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 8), (5_000, 8)])
@pytest.mark.parametrize("seed", range(5))
def test_pause_doubles_up_to_a_limit_and_is_jittered(attempt: int, longest: float, seed: int) -> None:
    pause = pause_seconds(RETRY, attempt, TRANSIENT, random.Random(seed))
    assert longest / 2 <= pause <= longest


def test_pauses_of_different_runs_differ_and_those_of_a_replay_do_not() -> None:
    pauses = [pause_seconds(RETRY, 3, TRANSIENT, random.Random(seed)) for seed in (1, 2, 1)]
    assert pauses[0] != pauses[1]
    assert pauses[0] == pauses[2]


@pytest.mark.parametrize("asked", [0.0, 0.1, 60.0])
def test_pause_is_what_the_provider_asks_for(asked: float) -> None:
    throttled = Failure(kind="throttled", message="x", retry_after=asked)
    assert pause_seconds(RETRY, 1, throttled, random.Random(1)) == asked


@given(st.integers(1, 10**6), st.floats(0, 10**6), st.floats(0, 10**6), st.randoms(use_true_random=False))
def test_pause_is_never_longer_than_declared(attempt: int, first: float, longest: float, dice: random.Random) -> None:
    retry = Retry(attempts=attempt, first=timedelta(seconds=first), longest=timedelta(seconds=longest))
    assert 0 <= pause_seconds(retry, attempt, TRANSIENT, dice) <= retry.longest.total_seconds()
