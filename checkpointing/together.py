"""Doing together what several runs of a process ask for at about the same time.

Invariant: whoever asks while nothing is under way is served at once, with those who ask in the same turns of
the event loop; whoever asks meanwhile is served with all the others that did, in one go, when that has come
back. No timer: one run alone never waits, and the more runs there are, the more go together. (Group commit,
as databases do it.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

Asked = TypeVar("Asked")
Given = TypeVar("Given")

MOST = 64
"""Served in one go."""
TURNS = 4
"""Turns of the event loop for which the first of several waits for the others. Runs that were served together come
again within few turns: one alone was served by itself otherwise, and the others after it."""


class _Line(Generic[Asked, Given]):
    """Who waits on one event loop."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Asked, asyncio.Future[Given]]] = []
        self.busy = False
        self.company = False
        """Whether several were served the last time: then others are about to come again."""
        self.server: asyncio.Task[None] | None = None


class Together(Generic[Asked, Given]):
    """One queue for each event loop that asks.

    Args:
        serve: serves one or several; gives a result, or what was raised, for each in order. What it raises
            itself is raised for all of them.
    """

    def __init__(self, serve: Callable[[Sequence[Asked]], Awaitable[Sequence[Given | Exception]]]) -> None:
        self._serve = serve
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line[Asked, Given]] = WeakKeyDictionary()

    def alone(self) -> bool:
        """Whether who asks now is the only one: nothing is under way, and nobody else was served the last time."""
        line = self._lines.get(asyncio.get_running_loop())
        return line is None or not (line.busy or line.company)

    async def ask(self, item: Asked) -> Given:
        """Be served, alone or with others.

        Whoever is cancelled while it waits in line is not served; later, its end is waited for first.
        """
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop) or self._lines.setdefault(loop, _Line())
        if line.busy:
            return await self._in_line(line, item, loop.create_future())
        line.busy = True
        try:
            for _ in range(TURNS if line.company else 1):
                await asyncio.sleep(0)
            if not line.waiting:
                line.company = False
                return _given(*await self._serve([item]))
        finally:
            self._next(line)
        return await self._in_line(line, item, loop.create_future(), at=0)

    def _next(self, line: _Line[Asked, Given]) -> None:
        line.busy = bool(line.waiting)
        if line.waiting:
            line.server = asyncio.get_running_loop().create_task(self._drain(line))

    async def _in_line(
        self, line: _Line[Asked, Given], item: Asked, given: asyncio.Future[Given], *, at: int | None = None
    ) -> Given:
        entry = (item, given)
        line.waiting.insert(len(line.waiting) if at is None else at, entry)
        try:
            return await asyncio.shield(given)
        except asyncio.CancelledError:
            if entry in line.waiting:
                line.waiting.remove(entry)
                given.cancel()
            else:
                await asyncio.wait([given])
                _ = given.cancelled() or given.exception()
            raise

    async def _drain(self, line: _Line[Asked, Given]) -> None:
        try:
            while line.waiting:
                entries, line.waiting = line.waiting[:MOST], line.waiting[MOST:]
                line.company = len(entries) > 1
                await self._serve_all(entries)
        finally:
            line.busy, line.server = False, None  # a task holds its loop, and would keep it for ever
            for _, given in line.waiting:  # the loop ends
                given.cancel()

    async def _serve_all(self, entries: Sequence[tuple[Asked, asyncio.Future[Given]]]) -> None:
        try:
            results: Sequence[Given | Exception] = await self._serve([item for item, _ in entries])
        except Exception as error:  # noqa: BLE001 (raised by whoever asked)
            results = [error] * len(entries)
        except BaseException:
            for _, given in entries:
                given.cancel()
            raise
        for (_, given), result in zip(entries, results, strict=True):
            if given.cancelled():
                continue
            if isinstance(result, Exception):
                given.set_exception(result)
            else:
                given.set_result(result)


def _given(result: Given | Exception) -> Given:
    if isinstance(result, Exception):
        raise result
    return result
