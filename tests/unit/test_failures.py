"""Tries to get a failure taken for another: a maybe for a no, a no for a try again, a wait without an end."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection

from gatepost import NotDone, Retry
from gatepost.nodes.failure import classify
from gatepost.nodes.tool import InvalidArguments, InvalidResult
from gatepost.nodes.waits import pause_seconds
from gatepost.state.errors import InvalidValue
from gatepost.state.failure import AGAIN, KINDS, REACTIONS, TREATMENTS
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


def shaped(module: str, name: str, *bases: str, **attributes: Any) -> Exception:
    """An error of a library that is not installed here: its name, those of its bases, and what it carries."""
    kind: Any = Exception
    for one in reversed((name, *bases)):
        kind = type(one, (kind,), {"__module__": module})
    error: Exception = kind("said")
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


def answered(code: int, **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = code
    response.headers.update(headers)
    return response


def sql(state: str) -> Exception:
    return psycopg.errors.lookup(state)("x")


def aws(status_code: int, code: str, **headers: str) -> Exception:
    metadata = {"HTTPStatusCode": status_code, "HTTPHeaders": headers}
    told = {"Error": {"Code": code}, "ResponseMetadata": metadata}
    return shaped("botocore.exceptions", "ClientError", response=told)


def grpc(name: str) -> Exception:
    return shaped("grpc._channel", "_InactiveRpcError", "RpcError", code=lambda: SimpleNamespace(name=name))


_NEVER_MADE = urllib3.exceptions.NewConnectionError(HTTPConnection("provider"), "refused")
_WRAPPED = urllib3.exceptions.MaxRetryError(urllib3.HTTPConnectionPool("provider"), "/", _NEVER_MADE)
_HALFWAY = urllib3.exceptions.ProtocolError("Connection aborted.")

SHAPES: list[Any] = [
    pytest.param(requests.HTTPError(response=answered(429)), "throttled", CERTAIN, id="requests 429"),
    pytest.param(requests.HTTPError(response=answered(404)), "validation", CERTAIN, id="requests 404"),
    pytest.param(requests.HTTPError(response=answered(502)), "transient", MAYBE, id="requests 502"),
    pytest.param(requests.ConnectTimeout(), "transient", CERTAIN, id="requests, nobody answered the door"),
    pytest.param(requests.ReadTimeout(), "timeout", MAYBE, id="requests, no answer"),
    pytest.param(requests.ConnectionError(_WRAPPED), "transient", CERTAIN, id="requests, refused"),
    pytest.param(requests.ConnectionError(_HALFWAY), "transient", MAYBE, id="requests, hung up"),
    pytest.param(requests.exceptions.InvalidURL("x"), "validation", CERTAIN, id="requests, no URL"),
    pytest.param(_WRAPPED, "transient", CERTAIN, id="urllib3, refused"),
    pytest.param(_HALFWAY, "transient", MAYBE, id="urllib3, hung up"),
    pytest.param(
        urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("p"), "/", ""),
        "timeout",
        MAYBE,
        id="urllib3, no answer",
    ),
    pytest.param(httpx.InvalidURL("x"), "validation", CERTAIN, id="httpx, no URL"),
    pytest.param(
        shaped("openai", "RateLimitError", "APIStatusError", status_code=429), "throttled", CERTAIN, id="SDK 429"
    ),
    pytest.param(shaped("anthropic", "OverloadedError", status_code=529), "transient", MAYBE, id="SDK 529"),
    pytest.param(shaped("openai", "AuthenticationError", status_code=401), "auth", CERTAIN, id="SDK 401"),
    pytest.param(shaped("openai", "APITimeoutError", "APIConnectionError"), "timeout", MAYBE, id="SDK, no answer"),
    pytest.param(shaped("openai", "APIConnectionError"), "transient", MAYBE, id="SDK, hung up: it repeats by itself"),
    pytest.param(
        shaped("stripe", "CardError", http_status=402, code="declined"), "validation", CERTAIN, id="stripe 402"
    ),
    pytest.param(shaped("stripe", "APIConnectionError", http_status=None), "transient", MAYBE, id="stripe, hung up"),
    pytest.param(shaped("aiohttp", "ClientResponseError", status=503), "transient", MAYBE, id="aiohttp 503"),
    pytest.param(
        shaped("aiohttp", "ClientConnectorError", "ClientOSError"), "transient", CERTAIN, id="aiohttp, refused"
    ),
    pytest.param(shaped("google.api_core", "Conflict", code=409), "transient", MAYBE, id="google 409"),
    pytest.param(shaped("urllib.error", "HTTPError", code=403), "auth", CERTAIN, id="urllib 403"),
    pytest.param(shaped("pymongo.errors", "OperationFailure", code=404), "bug", MAYBE, id="a code that is no status"),
    pytest.param(aws(400, "ThrottlingException"), "throttled", CERTAIN, id="AWS throttles with 400"),
    pytest.param(aws(400, "ValidationException"), "validation", CERTAIN, id="AWS 400"),
    pytest.param(aws(500, "InternalError"), "transient", MAYBE, id="AWS 500"),
    pytest.param(grpc("RESOURCE_EXHAUSTED"), "throttled", CERTAIN, id="gRPC throttles"),
    pytest.param(grpc("UNAVAILABLE"), "transient", MAYBE, id="gRPC unavailable"),
    pytest.param(grpc("PERMISSION_DENIED"), "auth", CERTAIN, id="gRPC denies"),
    pytest.param(grpc("DATA_LOSS"), "bug", MAYBE, id="gRPC, something else"),
    pytest.param(sql("40001"), "transient", CERTAIN, id="serialization failure: rolled back"),
    pytest.param(sql("40P01"), "transient", CERTAIN, id="deadlock: rolled back"),
    pytest.param(sql("40003"), "transient", MAYBE, id="statement completion unknown"),
    pytest.param(sql("23505"), "validation", CERTAIN, id="unique violation"),
    pytest.param(sql("42501"), "auth", CERTAIN, id="no privilege"),
    pytest.param(sql("57014"), "timeout", CERTAIN, id="statement timeout"),
    pytest.param(sql("57P01"), "transient", MAYBE, id="the server goes down"),
    pytest.param(sql("42P01"), "bug", MAYBE, id="no such table"),
    pytest.param(
        shaped("sqlalchemy.exc", "OperationalError", orig=sql("40001")), "transient", CERTAIN, id="SQLAlchemy"
    ),
    pytest.param(ConnectionRefusedError(), "transient", CERTAIN, id="refused"),
    pytest.param(socket.gaierror(), "transient", CERTAIN, id="no such name"),
    pytest.param(ssl.SSLCertVerificationError(), "auth", CERTAIN, id="cannot prove who it is"),
    pytest.param(asyncio.IncompleteReadError(b"", 1), "transient", MAYBE, id="half an answer"),
    pytest.param(
        ExceptionGroup("x", [NotDone("x"), TimeoutError()]), "timeout", MAYBE, id="several at once, one a maybe"
    ),
    pytest.param(ExceptionGroup("x", [NotDone("x")]), "validation", CERTAIN, id="several at once, all certain"),
    pytest.param(status(300), "bug", MAYBE, id="300"),
    pytest.param(status(501), "validation", CERTAIN, id="501"),
]
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


@pytest.mark.parametrize(("error", "kind", "certain"), [*CLASSES, *SHAPES])
def test_error_is_of_one_class_and_says_whether_nothing_happened(error: Exception, kind: str, certain: bool) -> None:  # noqa: FBT001
    failure, nothing_happened = classify(error)
    assert (failure.kind, nothing_happened) == (kind, certain)
    assert failure.message.startswith(f"{type(error).__name__}: ")


def test_only_what_may_pass_is_tried_again() -> None:
    again = {kind for kind, treatment in TREATMENTS.items() if AGAIN & set(treatment.reactions)}
    assert again == {"transient", "throttled", "timeout"}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("0", 0.0, id="now"),
        pytest.param("30", 30.0, id="seconds"),
        pytest.param("Sat, 21 Nov 2026 07:28:30 GMT", 30.0, id="a date"),
        pytest.param("Sat, 21 Nov 2026 07:28:30 -0000", 30.0, id="a date in no zone"),
        pytest.param("Fri, 20 Nov 2026 07:28:00 GMT", 0.0, id="a date that has passed"),
        pytest.param("Sat, 99 Nov 2026", None, id="a date that there is not"),
        pytest.param("1.5", None, id="not what RFC 9110 allows"),
        pytest.param("-1", None, id="negative"),
        pytest.param("soon", None, id="a word"),
        pytest.param("", None, id="empty"),
        pytest.param("\u00b2", None, id="a digit to Python only"),
        pytest.param("9" * 400, None, id="infinity"),
    ],
)
def test_retry_after_is_kept_when_it_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    failure, _ = classify(status(429, {"Retry-After": header}), now=datetime(2026, 11, 21, 7, 28, tzinfo=UTC))
    assert failure.retry_after == seconds
    json.dumps(failure.plain(), allow_nan=False)


def test_a_date_counts_by_the_clock_of_the_provider() -> None:
    headers = {"Retry-After": "Sat, 21 Nov 2026 07:28:30 GMT", "Date": "Sat, 21 Nov 2026 07:28:20 GMT"}
    assert classify(status(429, headers))[0].retry_after == 10


@pytest.mark.parametrize(
    "error",
    [
        status(503, {"retry-after": "7"}),
        requests.HTTPError(response=answered(503, **{"RETRY-AFTER": "7"})),
        shaped("stripe", "RateLimitError", http_status=429, headers={"Retry-After": "7"}),
        aws(400, "SlowDown", **{"retry-after": "7"}),
    ],
    ids=["httpx", "requests", "headers of its own", "AWS"],
)
def test_retry_after_is_found_wherever_a_library_keeps_it(error: Exception) -> None:
    assert classify(error)[0].retry_after == 7


def test_no_wait_is_read_from_an_answer_that_is_not_tried_again() -> None:
    assert classify(status(404, {"Retry-After": "7"}))[0].retry_after is None


class Trap(Exception):
    @property
    def response(self) -> None:
        raise RuntimeError("do not look")


def test_error_that_does_not_like_to_be_looked_at_is_a_bug() -> None:
    assert classify(Trap("x"))[0].kind == "bug"


def test_every_class_has_its_treatment_and_every_treatment_an_end() -> None:
    assert set(TREATMENTS) == set(KINDS)
    for kind, treatment in TREATMENTS.items():
        *first, last = treatment.reactions
        assert set(treatment.reactions) <= set(REACTIONS)
        assert last not in AGAIN
        assert set(first) <= (AGAIN if treatment.again else {"escalate"}), kind


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
