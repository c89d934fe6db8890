"""A receiver of notices: a real HTTP server that takes apprise's `json://` posts, and can be out of order."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit


class Mailbox:
    """What arrived, by the path that it was sent to."""

    def __init__(self) -> None:
        self.letters: list[dict[str, Any]] = []
        """`path`, `id` (the header), `title` and `message` of each that was taken."""
        self.status = 200
        """What senders are answered."""
        self.knocks = 0
        """Posts, those that were refused as well."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str = "box") -> str:
        """Its address, as apprise writes it."""
        return f"json://127.0.0.1:{self._server.server_port}/{path}"

    def titles(self, path: str = "box") -> list[str]:
        """The titles that came to a path, in order."""
        return [letter["title"] for letter in self.letters if letter["path"] == path]

    def ids(self) -> Counter[str]:
        """How often each notice came."""
        return Counter(letter["id"] for letter in self.letters)


def _handler(box: Mailbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            box.knocks += 1
            status = box.status
            if status == 200:
                place = urlsplit(self.path).path.strip("/")
                letter = {"path": place, "id": self.headers["Gatepost-Notice"]}
                box.letters.append({**letter, "title": said["title"], "message": said["message"]})
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (theirs)
            """Say nothing."""

    return Handler
