"""The one bridge from sync code to the async core: a background event loop that sync doors run on.

Invariant: nothing is written twice for sync callers. A sync call runs the async one to its end on
the bridge's loop, inside a running event loop (Jupyter, FastAPI) or outside; an interrupted wait
(Ctrl-C) cancels the work and lets it clean up before the interrupt goes on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, Literal, TypeVar

T = TypeVar("T")

_END = object()
_INSIDE = "a sync door was used inside async work of the same graph; await the async one"


class Bridge:
    """An event loop in a daemon thread of its own, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The bridge's loop, running."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="gatepost-bridge", daemon=True)
                self._thread.start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the bridge and wait for it.

        Raises:
            RuntimeError: called from the bridge's own loop, where waiting would be for ever.
        """
        if self._thread is threading.current_thread():
            work.close()
            raise RuntimeError(_INSIDE)
        return _wait(asyncio.run_coroutine_threadsafe(work, self.loop))

    def iterate(self, stream: AsyncIterator[T]) -> Iterator[T]:
        """Drive an async iterator from sync code, one item at a time and in one task.

        The next item is worked on when it is asked for, so a caller who stops looking stops the run.

        Raises:
            RuntimeError: called from the bridge's own loop, where waiting would be for ever.
        """
        if self._thread is threading.current_thread():
            raise RuntimeError(_INSIDE)
        asked: asyncio.Queue[Literal["next", "stop"]] = asyncio.Queue()
        made: asyncio.Queue[Any] = asyncio.Queue()

        async def drive() -> None:
            try:
                while await asked.get() == "next":
                    made.put_nowait(await anext(stream, _END))
            finally:
                await _close(stream)

        driver = asyncio.run_coroutine_threadsafe(drive(), self.loop)

        async def following() -> Any:
            asked.put_nowait("next")
            item = asyncio.ensure_future(made.get())
            driving = asyncio.wrap_future(driver)
            driving.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # _wait(driver) tells the caller
            await asyncio.wait({item, driving}, return_when=asyncio.FIRST_COMPLETED)
            if item.done():
                return item.result()
            item.cancel()
            return _END

        try:
            while (item := self.run(following())) is not _END:
                yield item
        finally:
            self.loop.call_soon_threadsafe(asked.put_nowait, "stop")
            _wait(driver)

    def close(self) -> None:
        """Stop the loop; async generators get to clean up first. The bridge may be used again."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _wait(future: Future[T]) -> T:
    try:
        return future.result()
    except BaseException:
        if not future.done():
            _cancel(future)
        raise


def _cancel(future: Future[Any]) -> None:
    future.cancel()
    # The bridge's own bookkeeping must not hide the interrupt that brought us here.
    settled = threading.Event()
    future.add_done_callback(lambda _: settled.set())
    settled.wait(timeout=5)


async def _close(stream: AsyncIterator[Any]) -> None:
    if (close := getattr(stream, "aclose", None)) is not None:
        await close()
