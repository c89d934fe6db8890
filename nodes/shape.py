"""The shape of an exception: what a client library's error says, read without importing the library.

Clients and SDKs agree on little but this much: the answer's status under one of a few names, its
headers beside it, and class names that say whether a connection was ever made. The names are those
of httpx, requests, urllib3, aiohttp, botocore, grpc, redis and the SDKs built on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from gatepost.state.failure import FailureKind

_DELAY = re.compile(r"[0-9]{1,9}")
"""Delay seconds of a Retry-After header; str.isdigit() also takes "²", and 400 digits are infinity."""
_STATUSES = range(100, 600)


class Meaning(NamedTuple):
    """What an error stands for."""

    kind: FailureKind
    certain: bool
    """Whether the call certainly did nothing."""


NOT_SENT = Meaning("transient", certain=True)
BROKEN = Meaning("transient", certain=False)
NO_ANSWER = Meaning("timeout", certain=False)
REFUSED = Meaning("validation", certain=True)
UNKNOWN_TO_THEM = Meaning("auth", certain=True)
THROTTLED = Meaning("throttled", certain=True)

NAMED: Mapping[str, Mapping[str, Meaning]] = {
    "httpx": {
        "ConnectError": NOT_SENT, "ConnectTimeout": NOT_SENT, "PoolTimeout": NOT_SENT, "UnsupportedProtocol": REFUSED,
        "InvalidURL": REFUSED, "TimeoutException": NO_ANSWER, "TransportError": BROKEN,
    },
    "requests": {
        "ConnectTimeout": NOT_SENT, "MissingSchema": REFUSED, "InvalidSchema": REFUSED, "InvalidURL": REFUSED,
        "Timeout": NO_ANSWER, "ConnectionError": BROKEN, "ChunkedEncodingError": BROKEN, "ContentDecodingError": BROKEN,
    },
    "urllib3": {
        "NewConnectionError": NOT_SENT, "ConnectTimeoutError": NOT_SENT, "LocationParseError": REFUSED,
        "TimeoutError": NO_ANSWER, "HTTPError": BROKEN,
    },
    "aiohttp": {
        "ClientConnectorError": NOT_SENT, "ConnectionTimeoutError": NOT_SENT, "InvalidURL": REFUSED,
        "ServerTimeoutError": NO_ANSWER, "ClientConnectionError": BROKEN, "ClientPayloadError": BROKEN,
    },
    "botocore": {
        "EndpointConnectionError": NOT_SENT, "ConnectTimeoutError": NOT_SENT, "ParamValidationError": REFUSED,
        "NoCredentialsError": UNKNOWN_TO_THEM, "ReadTimeoutError": NO_ANSWER, "HTTPClientError": BROKEN,
    },
    "redis": {"TimeoutError": NO_ANSWER, "ConnectionError": BROKEN},
    "anyio": {"BrokenResourceError": BROKEN, "ClosedResourceError": BROKEN, "EndOfStream": BROKEN},
    "psycopg_pool": {"PoolTimeout": NOT_SENT, "TooManyRequests": NOT_SENT},
    "": {"APITimeoutError": NO_ANSWER, "APIConnectionError": BROKEN},
}  # fmt: skip
"""By the library's name and the class's; under "" are names that several SDKs share. A subclass is what its base is."""

_GRPC: Mapping[str, Meaning] = {
    "RESOURCE_EXHAUSTED": THROTTLED, "UNAVAILABLE": BROKEN, "ABORTED": BROKEN, "DEADLINE_EXCEEDED": NO_ANSWER,
    "UNAUTHENTICATED": UNKNOWN_TO_THEM, "PERMISSION_DENIED": UNKNOWN_TO_THEM, "INVALID_ARGUMENT": REFUSED,
    "NOT_FOUND": REFUSED, "ALREADY_EXISTS": REFUSED, "FAILED_PRECONDITION": REFUSED, "OUT_OF_RANGE": REFUSED,
    "UNIMPLEMENTED": REFUSED,
}  # fmt: skip
_AWS_THROTTLES = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "TooManyRequestsException",
        "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "SlowDown",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException", "EC2ThrottledException",
    }
)  # fmt: skip
"""Botocore's own list: AWS says so with status 400."""


def named(error: BaseException) -> Meaning | None:
    """What the classes of the error are known for."""
    for kind in type(error).__mro__:
        library = kind.__module__.partition(".")[0]
        for known in (NAMED.get(library, {}), NAMED[""] if library != "builtins" else {}):
            if kind.__name__ in known:
                return known[kind.__name__]
    return None


def spoken(error: BaseException) -> Meaning | None:
    """What the provider's own words stand for, where they are no HTTP status: gRPC's codes, AWS's."""
    library = type(error).__mro__[0].__module__.partition(".")[0]
    if library == "grpc" and callable(code := getattr(error, "code", None)):
        return _GRPC.get(getattr(code(), "name", ""))
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        told = response.get("Error")
        if isinstance(told, Mapping) and told.get("Code") in _AWS_THROTTLES:
            return THROTTLED
    return None


def status_of(error: BaseException) -> int | None:
    """The status of the HTTP answer that the error stands for, if it stands for one."""
    response = getattr(error, "response", None)
    candidates: list[Any] = [getattr(error, name, None) for name in ("status_code", "http_status", "status")]
    if isinstance(response, Mapping):
        metadata = response.get("ResponseMetadata")
        candidates += [metadata.get("HTTPStatusCode")] if isinstance(metadata, Mapping) else []
    elif response is not None:
        candidates += [getattr(response, name, None) for name in ("status_code", "status")]
    if type(error).__module__.partition(".")[0] in ("urllib", "google"):
        candidates.append(getattr(error, "code", None))  # elsewhere a code is anything
    return next((int(one) for one in candidates if isinstance(one, int) and one in _STATUSES), None)


def retry_after(error: BaseException, *, now: datetime) -> float | None:
    """How many seconds the provider asks us to wait: a number of seconds, or a date by its own clock.

    Args:
        error: that carries an answer's headers.
        now: for a date, where the answer has none of its own.
    """
    headers = _headers(error)
    asked = headers.get("retry-after")
    if asked is None:
        return None
    if _DELAY.fullmatch(asked):
        return float(asked)
    until = _date(asked)
    return None if until is None else max(0.0, (until - (_date(headers.get("date")) or now)).total_seconds())


def _headers(error: BaseException) -> dict[str, str]:
    """The answer's headers by lower-case name."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        metadata = response.get("ResponseMetadata")
        found = metadata.get("HTTPHeaders") if isinstance(metadata, Mapping) else None
    else:
        found = getattr(response, "headers", None)
    found = found if found is not None else getattr(error, "headers", None)
    pairs: Any = getattr(found, "items", tuple)()
    return {str(name).lower(): str(value).strip() for name, value in pairs}


def _date(text: str | None) -> datetime | None:
    try:
        found = None if text is None else parsedate_to_datetime(text)
    except (ValueError, IndexError):  # whatever a provider writes there
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
