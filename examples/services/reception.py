"""The way of one call from arrival to answer: booked, keyed, and with the faults that were ordered.

Idempotency-Key as in the IETF draft: missing where it is needed 400, still running 409, used for
another request 422, known already the recorded answer. A call is in the books before it is acted
on and complete in them before it is answered; only success is kept under a key, so a call that
was refused may come again with its key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from gatepost.examples.services.book import Book, Call, Effect
from gatepost.examples.services.faults import Fault, Faults
from gatepost.examples.services.message import Ending, Refused, Reply, Request, digest
from gatepost.examples.services.provider import find_route, routes, vendor_of
from gatepost.examples.services.route import Occasion, Route

UNKNOWN_ENDPOINT = "unknown"


def endpoints() -> tuple[str, ...]:
    return (*(route.name for route in routes()), UNKNOWN_ENDPOINT)


class Reception:
    """Takes the calls; used by every thread of the server."""

    def __init__(
        self,
        book: Book,
        *,
        faults: Faults,
        now: Callable[[], datetime],
        new_reference: Callable[[], str],
    ) -> None:
        self._book = book
        self._faults = faults
        self._now = now
        self._new_reference = new_reference
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Reply:
        fault = self._faults.take(request.path)
        call_id = self._book.arrive(self._call(request, fault))
        reply = self._answer(request, fault)
        self._book.answer(call_id, status=reply.status, deduplicated=reply.deduplicated)
        if fault and fault.kind == "hang_after":
            self._faults.hold(fault, path=request.path, key=request.key)
        return replace(reply, ending=_ending(fault))

    def _call(self, request: Request, fault: Fault | None) -> Call:
        return Call(
            at=self._now().isoformat(),
            method=request.method,
            path=request.target,
            endpoint=_endpoint(request),
            vendor=vendor_of(request),
            key=request.key,
            body_sha256=digest(request.text),
            body=request.text,
            fault=fault.kind if fault else None,
        )

    def _answer(self, request: Request, fault: Fault | None) -> Reply:
        try:
            return self._act(request, fault)
        except Refused as refused:
            return refused.reply()

    def _act(self, request: Request, fault: Fault | None) -> Reply:
        if fault and fault.kind in ("status", "reset_before"):
            raise fault.refusal()
        route = find_route(request)
        if route.needs_key and not request.key:
            raise Refused(400, f"{request.path} needs an Idempotency-Key.")
        with self._claimed(request.key):
            if fault and fault.kind == "delay_before":
                self._faults.hold(fault, path=request.path, key=request.key)
            return self._act_once(request, route)

    @contextmanager
    def _claimed(self, key: str | None) -> Iterator[None]:
        if key is None:
            yield
            return
        with self._lock:
            if key in self._running:
                raise Refused(409, "The first request with this Idempotency-Key is still running.")
            self._running.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(key)

    def _act_once(self, request: Request, route: Route) -> Reply:
        known = self._book.effect(request.key) if request.key else None
        standing = known or self._book.record(self._perform(request, route))
        if standing.fingerprint != request.fingerprint:
            raise Refused(422, "This Idempotency-Key was used for another request.")
        headers = {"Idempotent-Replayed": "true"} if known else {}
        return Reply(standing.status, standing.response, headers, deduplicated=known is not None)

    def _perform(self, request: Request, route: Route) -> Effect:
        at = self._now().isoformat()
        books = self._book
        occasion = Occasion(at, self._new_reference(), calls=books.calls, latest=books.latest)
        return Effect(
            key=request.key,
            at=at,
            endpoint=route.name,
            path=request.target,
            vendor=vendor_of(request),
            fingerprint=request.fingerprint,
            status=route.status,
            response=route.act(request, occasion),
        )


def _endpoint(request: Request) -> str:
    try:
        return find_route(request).name
    except Refused:
        return UNKNOWN_ENDPOINT


def _ending(fault: Fault | None) -> Ending:
    match fault.kind if fault else None:
        case "reset_before" | "reset_after":
            return "cut"
        case "crash_after":
            return "crash"
        case _:
            return "send"
