"""Failures: an exception becomes a class of failure, and the class says what may be done about it.

A provider's "no" is definite: nothing happened. A timeout, a broken connection, a 5xx after the
request was sent say nothing about whether the effect happened.
"""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import psycopg

from gatepost.nodes.tool import InvalidArguments, InvalidResult
from gatepost.state.errors import InvalidValue
from gatepost.state.step import Failure
from gatepost.state.values import printable

_DELAY = re.compile(r"[0-9]{1,9}")
"""Delay seconds of a Retry-After header; str.isdigit() also takes "²", and 400 digits are infinity."""

RETRIED = frozenset({"transient", "throttled", "timeout"})
"""Classes that are tried again."""


class NotDone(Exception):
    """Raised by a tool: this call did nothing, for certain. So it leaves no doubt, and no person is asked.

    Args:
        message: why, for people.
        again: whether the call may be made again, under the same key.
        retry_after: how long to wait before that; implies `again`.
    """

    def __init__(self, message: str, *, again: bool = False, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.again = again or retry_after is not None
        self.retry_after = retry_after

    def failure(self) -> Failure:
        """The failure that it stands for."""
        if self.retry_after is not None:
            return _failure("throttled", self, retry_after=max(0.0, self.retry_after.total_seconds()))
        return _failure("transient" if self.again else "validation", self)


def classify(error: BaseException) -> tuple[Failure, bool]:
    """The failure that an exception of a tool call stands for, and whether it is certain that nothing happened."""
    if isinstance(error, NotDone):
        return error.failure(), True
    if isinstance(error, httpx.HTTPStatusError):
        return _of_status(error)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return _failure("transient", error), True
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return _failure("timeout", error), False
    if isinstance(error, httpx.TransportError | ConnectionError | psycopg.OperationalError):
        return _failure("transient", error), False
    if isinstance(error, InvalidArguments):
        return _failure("validation", error), True
    if isinstance(error, InvalidResult | InvalidValue):
        return _failure("validation", error), False
    return _failure("bug", error), False


def _of_status(error: httpx.HTTPStatusError) -> tuple[Failure, bool]:
    code = error.response.status_code
    if code == httpx.codes.TOO_MANY_REQUESTS:
        return _failure("throttled", error, retry_after=_seconds(error.response.headers.get("Retry-After"))), True
    if code in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.CONFLICT, httpx.codes.TOO_EARLY):
        return _failure("transient", error), False
    if code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return _failure("transient", error), False
    kind = "auth" if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) else "validation"
    return _failure(kind, error), True


def _failure(kind: str, error: BaseException, *, retry_after: float | None = None) -> Failure:
    text = _text(error) or "no message"
    return Failure.model_validate(
        {"kind": kind, "message": printable(f"{type(error).__name__}: {text}", limit=1000), "retry_after": retry_after}
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 (somebody else's __str__ may raise anything)
        return ""


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and _DELAY.fullmatch(header) else None
