"""The HTTP side of the example services: sockets in, sockets out, on loopback only.

Everything that is decided is decided by `Control` and `Reception`; this file reads a request, sends
the reply, and does to the connection what a fault asks for.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from gatepost.examples.services.control import Control
from gatepost.examples.services.message import Refused, Reply, Request
from gatepost.examples.services.reception import Reception

_MOST_BYTES = 4_000_000
_CRASH_STATUS = 70


class Activity:
    """How long the server has had nothing to do."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open = 0
        self._last = clock()

    @contextmanager
    def request(self) -> Iterator[None]:
        self._note(1)
        try:
            yield
        finally:
            self._note(-1)

    def _note(self, change: int) -> None:
        with self._lock:
            self._open += change
            self._last = self._clock()

    def idle_seconds(self) -> float:
        with self._lock:
            return 0.0 if self._open else self._clock() - self._last


# Not http.server.HTTPServer: binding that asks the resolver for the host's name.
class Server(ThreadingMixIn, TCPServer):
    """A thread per connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, *, reception: Reception, control: Control, activity: Activity) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.reception = reception
        self.control = control
        self.activity = activity

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()
        return f"http://{host}:{port}"

    def serve_until_idle(self, idle_seconds: float | None) -> None:
        """Serve; return when nothing has come for that long."""
        patience = float("inf") if idle_seconds is None else idle_seconds
        self.timeout = min(1.0, max(patience / 2, 0.01))
        while self.activity.idle_seconds() < patience:
            self.handle_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A caller that was killed in the middle is the daily business here.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: with Nagle every answer would wait for the delayed ACK.
    disable_nagle_algorithm = True

    @property
    def _services(self) -> Server:
        assert isinstance(self.server, Server)
        return self.server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base names it
        """The books are the log."""

    def _serve(self) -> None:
        with self._services.activity.request():
            self._finish(self._reply())

    def _reply(self) -> Reply:
        try:
            request = self._read()
            return self._services.control.handle(request) or self._services.reception.handle(request)
        except Refused as refused:
            return refused.reply()

    def _read(self) -> Request:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _MOST_BYTES:
            # The unread body would be taken for the next request.
            self.close_connection = True
            raise Refused(413, f"A body has at most {_MOST_BYTES} bytes.")
        raw = self.rfile.read(int(length))
        key = self.headers.get("Idempotency-Key")
        return Request.parse(self.command, target=self.path, key=key, raw=raw)

    def _finish(self, reply: Reply) -> None:
        match reply.ending:
            case "send":
                self._send(reply)
            case "cut":
                self._cut()
            case "crash":
                os._exit(_CRASH_STATUS)
            case "stop":
                self._send(reply)
                # To the main thread itself: only there it interrupts the wait for a connection.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _send(self, reply: Reply) -> None:
        payload = json.dumps(reply.body).encode()
        try:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
        except ConnectionError:
            self.close_connection = True

    def _cut(self) -> None:
        # Linger of zero turns the close into a reset; the caller learns nothing of the act.
        with suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()
