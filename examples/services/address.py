"""Where the running services say how to reach them: one small file, replaced as a whole.

The instance id in it is what tells the server that wrote it from a stranger on the same port.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """One running server."""

    url: str
    instance: str
    pid: int

    @classmethod
    def read(cls, path: Path) -> Address | None:
        """What the file says; None where there is none or it makes no sense."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        draft = path.with_name(f"{path.name}.{self.pid}")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(path)

    def withdraw(self, path: Path) -> None:
        """Remove the file unless another server has replaced it."""
        if Address.read(path) == self:
            path.unlink(missing_ok=True)

    def answers(self) -> bool:
        """Whether this very server answers there."""
        connection = self._connect()
        try:
            connection.request("GET", "/ok")
            told = json.loads(connection.getresponse().read())
            return isinstance(told, dict) and told.get("instance") == self.instance
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> bool:
        """Ask this very server to leave and wait until it is gone; False if it was not there."""
        connection = self._connect()
        try:
            connection.request("POST", "/stop", body=json.dumps({"instance": self.instance}))
            response = connection.getresponse()
            response.read()
            return response.status == HTTPStatus.OK and self._gone(connection)
        except (ConnectionError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _gone(self, connection: http.client.HTTPConnection) -> bool:
        # The connection stays open as long as the process lives: its end is the end of both.
        try:
            return connection.sock.recv(1) == b""
        except ConnectionError:
            return True

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
