"""Failures: an exception becomes a class of failure, and says whether the call certainly did nothing.

A provider's "no" is definite: nothing happened. A timeout, a broken connection, a 5xx after the
request was sent say nothing about whether the effect happened. A client that repeats calls by
itself hides the attempts before its last one: switch that off and leave it to `Retry`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta

from gatepost.nodes import shape
from gatepost.nodes.shape import BROKEN, NO_ANSWER, NOT_SENT, REFUSED, THROTTLED, UNKNOWN_TO_THEM, Meaning
from gatepost.nodes.tool import InvalidArguments, InvalidResult
from gatepost.state.errors import DatabaseUnavailable, InvalidValue
from gatepost.state.step import Failure
from gatepost.state.values import printable

_BUG = Meaning("bug", certain=False)
_ODD_RESULT = Meaning("validation", certain=False)

_STATUSES = {
    401: UNKNOWN_TO_THEM,
    403: UNKNOWN_TO_THEM,
    407: UNKNOWN_TO_THEM,
    408: BROKEN,
    409: BROKEN,  # the first attempt may still be under way
    425: BROKEN,
    429: THROTTLED,
    501: REFUSED,
}
_REFUSALS, _BREAKDOWNS = range(400, 500), range(500, 600)

_SQLSTATES = {
    "08001": NOT_SENT,  # could not connect
    "08004": UNKNOWN_TO_THEM,
    "40003": BROKEN,  # statement completion unknown
    "42501": UNKNOWN_TO_THEM,
    "55P03": NOT_SENT,  # a lock was not to be had
    "57014": Meaning("timeout", certain=True),  # the server cancelled the statement
    "08": BROKEN,
    "22": REFUSED,
    "23": REFUSED,
    "28": UNKNOWN_TO_THEM,
    "40": NOT_SENT,  # rolled back: a deadlock, a serialization failure
    "53": NOT_SENT,  # the server lacks something
    "57": BROKEN,  # the server goes down
}
"""Postgres's error codes, and their classes (the first two characters)."""


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


def classify(error: BaseException, *, now: datetime | None = None) -> tuple[Failure, bool]:
    """The failure that an exception of a tool call stands for, and whether it is certain that nothing happened.

    Args:
        error: what the call raised.
        now: to count from, where the provider says until when to wait and not what time it is.
    """
    try:
        meaning = _meaning(error)
        wait = _wait(error, now or datetime.now(UTC)) if meaning.kind in ("throttled", "transient") else None
    except Exception:  # noqa: BLE001 (an error's own attributes may raise anything when they are looked at)
        meaning, wait = _BUG, None
    message = printable(f"{type(error).__name__}: {_text(error) or 'no message'}", limit=1000)
    return Failure(kind=meaning.kind, message=message, retry_after=wait), meaning.certain


def _meaning(error: BaseException) -> Meaning:
    if isinstance(error, BaseExceptionGroup):
        return min((_meaning(one) for one in error.exceptions), key=lambda meaning: meaning.certain)
    if isinstance(error, NotDone):
        kind = "throttled" if error.retry_after is not None else "transient" if error.again else "validation"
        return Meaning(kind, certain=True)  # type: ignore[arg-type]  # each of these is a kind
    if isinstance(error, InvalidArguments):
        return REFUSED
    if isinstance(error, DatabaseUnavailable):
        return BROKEN if error.__cause__ is None else _meaning(error.__cause__)
    if isinstance(error, InvalidResult | InvalidValue):
        return _ODD_RESULT
    if isinstance(wrapped := getattr(error, "orig", None), BaseException):  # SQLAlchemy's, around the driver's
        return _meaning(wrapped)
    if (found := shape.spoken(error)) is not None:
        return found
    if (status := shape.status_of(error)) is not None:
        return _of_status(status)
    return _of_connection(error)


def _of_status(status: int) -> Meaning:
    if status in _STATUSES:
        return _STATUSES[status]
    if status in _BREAKDOWNS:
        return BROKEN
    return REFUSED if status in _REFUSALS else _BUG


def _of_connection(error: BaseException) -> Meaning:
    """By what the error is called, then by what Python itself calls it."""
    if (state := getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)) and isinstance(state, str):
        return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2]) or _BUG
    if (found := shape.named(error)) is not None:
        return _inside(error) or found if found == BROKEN else found
    if isinstance(error, ssl.SSLCertVerificationError):
        return UNKNOWN_TO_THEM
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        return NOT_SENT
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    if isinstance(error, ConnectionError | asyncio.IncompleteReadError) or _database_gone(error):
        return BROKEN
    return _BUG


def _inside(error: BaseException) -> Meaning | None:
    """What requests and urllib3 wrap: an error whose reason says that no connection was ever made."""
    for inner in (getattr(error, "reason", None), *error.args[:1]):
        if isinstance(inner, BaseException) and inner is not error:
            found = shape.named(inner)
            if found == NOT_SENT or (found is not None and _inside(inner) == NOT_SENT):
                return NOT_SENT
    return None


def _database_gone(error: BaseException) -> bool:
    """A driver's error without a code: the connection broke, or was never there."""
    return any(
        kind.__name__ in ("OperationalError", "InterfaceError") and kind.__module__.startswith(("psycopg", "asyncpg"))
        for kind in type(error).__mro__
    )


def _wait(error: BaseException, now: datetime) -> float | None:
    if isinstance(error, NotDone):
        return None if error.retry_after is None else max(0.0, error.retry_after.total_seconds())
    return shape.retry_after(error, now=now)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 (somebody else's __str__ may raise anything)
        return ""
