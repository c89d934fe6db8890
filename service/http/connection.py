"""Connections: each of them belongs to somebody who asks something, or it is closed.

Invariant: whoever opens connections and sends nothing, or the beginning of a request and no end, keeps no place from
others for long; and what a request begins with has a largest size.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15.0
"""How long the head of a request may take to arrive, twice that at most; the one behind a response as well."""
_BUSY = object()


class Connection(H11Protocol):
    """Theirs, which waits for the head of a request for ever once a byte of it is there, or before the first."""

    _found: object = None
    _looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Somebody calls."""
        super().connection_made(transport)
        self._looking = self.loop.call_later(HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Close it where no request has arrived since it was found without one."""
        found: object = self.cycle if getattr(self.cycle, "response_complete", True) else _BUSY
        if found is not _BUSY and found is self._found:
            self.transport.close()
            return
        self._found = found
        self._looking = self.loop.call_later(HEAD_SECONDS, self._look)
