"""The guard: what is checked of every request before anything of ours sees it, and said with every response.

Invariant: a request of another site changes nothing; a body that is too long or too slow is refused
while it arrives; no response may be framed, sniffed, or run a script that is not ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepost.service.http.problem import Problem

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_BODY_BYTES = 256 * 1024
BODY_SECONDS = 10.0
"""How long a body may take to arrive."""
ANSWER_SECONDS = 30.0
"""How long a response may take to begin."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types gatepost"
)
REFERRER = "Referrer-Policy"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    REFERRER: "same-origin",  # with "no-referrer" a browser calls our own forms' origin null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


TOO_LONG = Problem(413, "too-long", "The body is too long", f"A body has at most {MAX_BODY_BYTES} bytes.", "Send less.")
TOO_SLOW = Problem(408, "body-too-slow", "The body did not arrive", next="Send it again.")
_UNREAD = frozenset({408, 413})
"""After these the rest of the body is not read, so the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service is reached."""

    hosts: Collection[str]
    """Names, without ports, under which it answers. Another one may be a name that was bound to our address."""
    public: str | None = None
    """The address that people type, where a proxy stands in between: `https://gatepost.example`."""

    @property
    def secure(self) -> bool:
        """Whether people reach it by TLS, so that cookies may travel by nothing else."""
        return self.public is not None and self.public.startswith("https://")

    def origin(self, scope: Scope, host: str) -> str:
        """What a browser calls a page of ours."""
        return self.public or f"{scope['scheme']}://{host}"


class Guard:
    """ASGI middleware around everything.

    Args:
        app: what is guarded.
        place: where the service is reached.
    """

    def __init__(self, app: ASGIApp, place: Place) -> None:
        self._app = app
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and let it through."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        call = _Call(receive, send)
        problem = self._problem(scope)
        if problem is None:
            try:
                async with asyncio.timeout(ANSWER_SECONDS) as limit:
                    call.limit = limit
                    await self._app(scope, call.receive, call.send)
            except TimeoutError:
                problem = Problem(503, "too-slow", "It took too long", next="Send it again, with the same key.")
            except Exception:
                if call.refused is None:
                    raise
            problem = call.refused or problem
        if problem is not None and not call.begun:
            call.refused = call.limit = None
            closing = {"Connection": "close"} if problem.status in _UNREAD else {}
            await problem.response(closing)(scope, receive, call.send)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if name_in(host) not in self._place.hosts:
            detail = f"The service does not answer to {host!r}."
            return Problem(421, "host", "Wrong host", detail, "Start it with --public-url to name its address.")
        if scope["method"] in UNSAFE and _foreign(headers, self._place.origin(scope, host)):
            return Problem(
                403, "cross-origin", "Another site sent this", next="Send it from the service's pages, or by a program."
            )
        if (length := headers.get("content-length", "")).isdecimal() and int(length) > MAX_BODY_BYTES:
            return TOO_LONG
        return None


class _Refused(Exception):
    """Ends the reading of a body. The framework makes a response of it, which is not sent."""


class _Call:
    """One request and its response."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.begun = False
        self.refused: Problem | None = None
        self.limit: asyncio.Timeout | None = None
        self._receive = receive
        self._send = send
        self._read = 0
        self._whole = False
        self._due: float | None = None

    async def receive(self) -> Message:
        """The next part of the body."""
        if self._whole:  # what comes now is the end of the connection, and may take its time
            return await self._receive()
        if self._due is None:
            self._due = asyncio.get_running_loop().time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._due):
                message = await self._receive()
        except TimeoutError:
            self.refused = TOO_SLOW
            raise _Refused from None
        self._read += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._read > MAX_BODY_BYTES:
            self.refused = TOO_LONG
            raise _Refused
        return message

    async def send(self, message: Message) -> None:
        """A part of the response."""
        if self.refused is not None:
            return
        if message["type"] == "http.response.start":
            self.begun = True
            if self.limit is not None:
                self.limit.reschedule(None)  # a stream may last
            headers = MutableHeaders(raw=message["headers"])
            stricter = headers.get(REFERRER)
            for name, value in HEADERS.items():
                headers[name] = value
            if stricter is not None:
                headers[REFERRER] = stricter
            headers.setdefault("Cache-Control", "no-store")
            message = {**message, "headers": headers.raw}
        await self._send(message)


def _foreign(headers: Headers, own: str) -> bool:
    """Whether a browser says that this comes from a page that is not ours."""
    if (origin := headers.get("origin")) is not None:
        return origin != own
    return headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}


def name_in(host: str) -> str:
    """A host, as a request names it, without its port."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).lower()


def hosts_of(bind: str, public: str | None) -> frozenset[str]:
    """The names under which a service answers that is bound to this address."""
    named: set[Any] = {"localhost", "127.0.0.1", "[::1]", f"[{bind}]".lower() if ":" in bind else bind.lower()}
    if public:
        named.add(name_in(public.partition("://")[2].partition("/")[0]))
    return frozenset(named - {"0.0.0.0", "[::]", ""})  # noqa: S104 (left out)
