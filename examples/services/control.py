"""The doors for tests and people: is it alive, what do the books say, what is to go wrong.

Nothing here is booked and no fault touches it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from gatepost.examples.services.book import Book
from gatepost.examples.services.faults import Fault, Faults
from gatepost.examples.services.message import Refused, Reply, Request
from gatepost.examples.services.provider import routes
from gatepost.examples.services.reception import endpoints

_EFFECTS = "/effects/"


@dataclass(frozen=True, slots=True)
class Control:
    """Answers what is not a call of a service."""

    instance: str
    book: Book
    faults: Faults

    def handle(self, request: Request) -> Reply | None:
        """The reply, or None where the request is for the services."""
        match request.method, request.path:
            case "GET", "/ok":
                return Reply(200, {"instance": self.instance, "pid": os.getpid()})
            case "GET", "/books":
                return Reply(200, self._books(request))
            case "GET", "/bill":
                prices = {route.name: route.price for route in routes()}
                return Reply(200, self.book.bill(request.first("prefix") or "", prices=prices))
            case "GET", path if path.startswith(_EFFECTS):
                return self._effect(unquote(path.removeprefix(_EFFECTS)))
            case "POST", "/faults":
                return self._arm(request)
            case "DELETE", "/faults":
                return Reply(200, {"disarmed": self.faults.disarm()})
            case "GET", "/held":
                return Reply(200, self._held(request))
            case "POST", "/release":
                return Reply(200, {"released": self._release(request)})
            case "POST", "/stop":
                return self._stop(request)
            case _:
                return None

    def _books(self, request: Request) -> Any:
        chosen = {name: request.first(name) for name in ("prefix", "vendor", "key")}
        return self.book.summary(endpoints(), **chosen)

    def _effect(self, key: str) -> Reply:
        effect = self.book.effect(key)
        if effect is None:
            raise Refused(404, f"No effect was booked under {key!r}.")
        return Reply(200, effect.response)

    def _arm(self, request: Request) -> Reply:
        self.faults.arm(Fault.parse(request))
        return Reply(201, {"armed": True})

    def _held(self, request: Request) -> Any:
        at_least = int(request.number("at_least", otherwise=0))
        return self.faults.held(at_least=at_least, seconds=request.number("seconds", otherwise=5))

    def _release(self, request: Request) -> int:
        chosen = request.fields if request.body is not None else {}
        return self.faults.release(path=chosen.get("path"), key=chosen.get("key"))

    def _stop(self, request: Request) -> Reply:
        # Another server may have been given the port since: only the one that is meant leaves.
        if request.fields.get("instance") != self.instance:
            raise Refused(409, "That is another instance.")
        return Reply(200, {"stopping": True}, ending="stop")
