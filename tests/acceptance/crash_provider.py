"""A provider that keeps books and outlives every worker: a small HTTP server in the process of the test.

It dedupes on an `Idempotency-Key` where it is sent one, and acts on everything else as often as it is told.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Provider:
    """The books: how often each reference was acted on."""

    def __init__(self) -> None:
        self.acts: Counter[str] = Counter()
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    def act(self, reference: str, key: str | None) -> None:
        """Act, unless the key was seen before."""
        with self._lock:
            if key is None or key not in self._keys:
                self.acts[reference] += 1
            if key is not None:
                self._keys.add(key)


@contextmanager
def providing() -> Iterator[tuple[Provider, str]]:
    """A provider and its URL, while the block runs."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            provider.act(_reference(self.path), self.headers.get("Idempotency-Key"))
            self._answer(201, {"receipt": _reference(self.path)})

        def do_GET(self) -> None:
            found = provider.acts[_reference(self.path)] > 0
            self._answer(200 if found else 404, {"receipt": _reference(self.path)} if found else {})

        def _answer(self, status: int, body: dict[str, str]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 (the base's name)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield provider, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _reference(path: str) -> str:
    return parse_qs(urlsplit(path).query)["ref"][0]
