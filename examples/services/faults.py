"""Faults on demand: what a test orders the services to do wrong, and the requests held by it.

A fault is used up by the requests that meet it, exactly `times` of them however many arrive
at once. Holding is a fact that can be waited for (`held`), so no test has to sleep.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from gatepost.examples.services.message import Refused, Request
from gatepost.examples.services.wire import Held

Kind = Literal["status", "delay_before", "hang_after", "reset_before", "reset_after", "crash_after"]
"""`status`: answer with an error, do nothing. `delay_before`: hold, then act. `hang_after`: act
and book, then hold the answer. `reset_before`, `reset_after`: cut the connection, without or
after the act. `crash_after`: act and book, then the whole server dies."""

HOLD_SECONDS = 120.0
"""How long a request is held when the fault does not say: a forgotten hold ends by itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong for the next requests under a path."""

    path: str
    kind: Kind
    times: int = 1
    seconds: float = HOLD_SECONDS
    status: int = 503
    retry_after: str | None = None
    """Sent as Retry-After: seconds or an HTTP date, unchecked on purpose."""

    @classmethod
    def parse(cls, request: Request) -> Fault:
        _check(request.fields)
        try:
            return cls(**request.fields)
        except TypeError as error:
            raise Refused(400, f"Not a fault: {error}") from None

    def meets(self, path: str) -> bool:
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")

    def refusal(self) -> Refused:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return Refused(self.status, "Ordered by a test.", headers=headers)


class Faults:
    """The armed faults and the held requests; one condition guards both."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._armed: list[Fault] = []
        self._held: dict[int, Held] = {}
        self._ids = itertools.count(1)

    def arm(self, fault: Fault) -> None:
        with self._changed:
            self._armed.append(fault)

    def disarm(self) -> int:
        with self._changed:
            count = len(self._armed)
            self._armed.clear()
            return count

    def take(self, path: str) -> Fault | None:
        """The oldest fault that meets the path, with one use of it gone."""
        with self._changed:
            for place, fault in enumerate(self._armed):
                if fault.meets(path):
                    self._use(place)
                    return fault
            return None

    def _use(self, place: int) -> None:
        fault = self._armed[place]
        left = replace(fault, times=fault.times - 1)
        self._armed[place : place + 1] = [left] if left.times else []

    def hold(self, fault: Fault, *, path: str, key: str | None) -> None:
        """Block the calling thread until it is released or the fault's seconds are over."""
        with self._changed:
            hold_id = next(self._ids)
            self._held[hold_id] = Held(id=hold_id, path=path, key=key, kind=fault.kind)
            self._changed.notify_all()
            self._changed.wait_for(lambda: hold_id not in self._held, timeout=fault.seconds)
            self._held.pop(hold_id, None)
            self._changed.notify_all()

    def release(self, *, path: str | None = None, key: str | None = None) -> int:
        with self._changed:
            chosen = [hold for hold in self._held.values() if _chosen(hold, path=path, key=key)]
            for hold in chosen:
                del self._held[hold["id"]]
            self._changed.notify_all()
            return len(chosen)

    def held(self, *, at_least: int, seconds: float) -> list[Held]:
        """The held requests, as soon as there are that many or the seconds are over."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._held) >= at_least, timeout=seconds)
            return list(self._held.values())


def _chosen(hold: Held, *, path: str | None, key: str | None) -> bool:
    return path in (None, hold["path"]) and key in (None, hold["key"])


def _check(given: Mapping[str, Any]) -> None:
    if given.get("kind") not in get_args(Kind):
        raise Refused(400, f"A fault is of one of the kinds {', '.join(get_args(Kind))}.")
    if not isinstance(given.get("path"), str):
        raise Refused(400, "A fault needs the path that it is for.")
    if not all(_natural(given.get(name, 1)) for name in ("times", "status")):
        raise Refused(400, "times and status of a fault are whole numbers above zero.")
    if not isinstance(given.get("seconds", 1), int | float):
        raise Refused(400, "The seconds of a fault are a number.")


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
