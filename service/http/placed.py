"""A streamed answer that holds a place, and gives it back however it ends: also where nobody ever read a line of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Placed(StreamingResponse):
    """A stream for which there are so many places.

    Args:
        lines: what is sent; closed at the end, so that it lets go of what it holds.
        place: entered before the first byte; what it raises is answered in place of the stream.
        seconds: after which a reader who does not read loses the place.
        options: as for every streamed answer.
    """

    def __init__(
        self, lines: AsyncGenerator[str], *, place: AbstractAsyncContextManager[None], seconds: float, **options: Any
    ) -> None:
        super().__init__(lines, **options)
        self._lines, self._place, self._seconds = lines, place, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As any streamed answer, in its place."""
        async with self._place, aclosing(self._lines):
            async with asyncio.timeout(self._seconds):
                await super().__call__(scope, receive, send)
