"""The herald: takes the notices that are due and has them sent, beside whatever else its process does.

Invariant: at least once. A notice is settled after everybody has it, and each address is on record as soon as it has;
whoever dies in between leaves it to the next, who repeats one message at most, under the same id.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from gatepost.checkpointing.notices import Notices, Taken
from gatepost.checkpointing.pool import Pools
from gatepost.service.notices.linking import Link, linking
from gatepost.service.notices.post import Post
from gatepost.service.notices.routes import Address, Routes, read_routes
from gatepost.state import crash
from gatepost.state.errors import DatabaseUnavailable
from gatepost.state.notice import body, title
from gatepost.state.status import NoticeState

AT_ONCE = 8
"""Messages under way."""
LEAVING_SECONDS = 10.0
"""How long messages under way may take when it leaves."""


class Herald:
    """Sends what is due.

    Args:
        notices: the outbox.
        routes: who gets what.
        post: sends it.
        say: takes each line of the log.
        link: see `Link`.
        sweep: it looks at least so often.
    """

    def __init__(
        self,
        notices: Notices,
        routes: Routes,
        post: Post,
        *,
        say: Callable[[str], None],
        link: Link | None = None,
        sweep: timedelta = timedelta(seconds=5),
    ) -> None:
        self._notices = notices
        self._routes = routes
        self._post = post
        self._say = say
        self._link = link or (lambda _: None)
        self._sweep = sweep
        self._rung = asyncio.Event()
        self._leaving = False

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Send while the block runs, and what is due when it ends."""
        rounds = asyncio.create_task(self._rounds())
        try:
            yield
        finally:
            self._leaving = True
            self._rung.set()
            done, _ = await asyncio.wait({rounds}, timeout=LEAVING_SECONDS)
            if not done:
                rounds.cancel()
            with suppress(asyncio.CancelledError):
                await rounds

    def look(self) -> None:
        """Something may be due; from its own loop."""
        self._rung.set()

    async def deliver(self) -> int:
        """Take what is due, and send it; how many notices were taken."""
        taken = await self._notices.claim(slots=AT_ONCE, tenants=self._routes.tenants)
        ended = await asyncio.gather(*(self._tell(one) for one in taken), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
        return len(taken)

    @classmethod
    def hired(
        cls,
        pools: Pools,
        path: Path | None,
        *,
        say: Callable[[str], None],
        base: str | None = None,
        sweep: timedelta = timedelta(seconds=5),
    ) -> Herald | None:
        """The herald of a deployment that has a file of routes; `base` is where its service is reached.

        Raises:
            CallerMistake: the file, an address in it or the keys of links cannot be used, or apprise is not installed.
        """
        if path is None:
            return None
        routes = read_routes(path, os.environ)
        return cls(Notices(pools), routes, Post(routes), say=say, link=linking(os.environ, base=base), sweep=sweep)

    async def _rounds(self) -> None:
        while True:
            self._rung.clear()
            leaving = self._leaving
            try:
                while await self.deliver():
                    pass
                pause = await self._pause()
            except DatabaseUnavailable as error:
                self._say(f"[notice] cannot look for notices: {error}")
                pause = self._sweep
            except Exception as error:  # noqa: BLE001 (a bug must not end the telling; what was taken comes back)
                self._say(f"[notice] trouble({type(error).__name__}: {error})")
                pause = self._sweep
            if leaving:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await self._rung.wait()

    async def _pause(self) -> timedelta:
        left = await self._notices.due_in()
        return min(self._sweep, left) if left is not None and left > timedelta() else self._sweep

    async def _tell(self, taken: Taken) -> None:
        notice = taken.notice
        if why := notice.moot():
            await self._notices.settle(taken, NoticeState.DROPPED, why)
            return
        answerers = await self._notices.people(notice) if self._routes.for_people() else frozenset[str]()
        addresses = list(self._routes.addresses(notice, answerers))
        if not addresses:
            await self._to_nobody(taken)
            return
        failed = [why for one in addresses if one.name not in taken.told and (why := await self._send(taken, one))]
        if failed:
            await self._notices.failed(taken, "; ".join(failed))
        else:
            await self._notices.settle(taken, NoticeState.SENT)
            crash.here("telling.settled")

    async def _send(self, taken: Taken, address: Address) -> str:
        """Send to one address; why it does not have it, or nothing."""
        notice = address.notice
        text = body(notice, link=self._link(notice))
        why = await asyncio.to_thread(self._post.send, address.url, title=title(notice), body=text, notice=notice.id)
        if why:
            self._say(f"[notice] {notice.id} ({notice.kind} {notice.approval}) to {address.name}: {why}")
            return f"{address.name}: {why}"
        crash.here("telling.sent")
        await self._notices.told(taken, address.name)
        self._say(f"[notice] {notice.id} ({notice.kind} {notice.approval}) to {address.name}=sent")
        return ""

    async def _to_nobody(self, taken: Taken) -> None:
        notice = taken.notice
        if not self._routes.wanted(notice.kind):
            await self._notices.settle(taken, NoticeState.DROPPED, "no route wants it")
            return
        asked = f"the role {' or '.join(notice.roles)}" if notice.roles else "no role"
        why = (
            f"no route takes {notice.kind!r} of tenant {notice.tenant}, which asks for {asked}; a route without roles "
            "and people takes everything"
        )
        self._say(f"[notice] {notice.id} ({notice.kind} {notice.approval}) reaches nobody: {why}")
        await self._notices.settle(taken, NoticeState.DEAD, why)
