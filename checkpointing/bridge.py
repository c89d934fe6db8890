"""The one bridge from sync code to the async core: a background event loop that sync doors run on.

Invariant: nothing is written twice for sync callers. A sync call runs the async one to its end on
the bridge's loop, inside a running event loop (Jupyter, FastAPI) or outside; an interrupted wait
(Ctrl-C) cancels the work and lets it clean up before the interrupt goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

CLEAN_UP_SECONDS = 5.0
"""How long an interrupted caller waits for the work to let go; a second interrupt ends the wait at once."""
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
        return _Job(self.loop, work).wait()

    def iterate(self, stream: AsyncIterator[T]) -> Iterator[T]:
        """Drive an async iterator from sync code, one item at a time and in one task.

        The next item is worked on when it is asked for, so a caller who stops looking stops the run.

        Raises:
            RuntimeError: called from the bridge's own loop, where waiting would be for ever.
        """
        if self._thread is threading.current_thread():
            raise RuntimeError(_INSIDE)
        asked: asyncio.Queue[Literal["next", "stop"]] = asyncio.Queue()
        made: queue.SimpleQueue[Any] = queue.SimpleQueue()

        async def drive() -> None:
            try:
                while await asked.get() == "next":
                    made.put(await anext(stream, _END))
            finally:
                await _close(stream)
                made.put(_END)

        driver = _Job(self.loop, drive())
        try:
            while True:
                self.loop.call_soon_threadsafe(asked.put_nowait, "next")
                if (item := made.get()) is _END:
                    break
                yield item
        except GeneratorExit:
            raise
        except BaseException:  # an interrupted wait: what is under way is stopped, not waited for
            driver.cancel()
            with suppress(asyncio.CancelledError):
                driver.wait()
            raise
        finally:
            self.loop.call_soon_threadsafe(asked.put_nowait, "stop")
            if not driver.stopped:
                driver.wait()

    def close(self) -> None:
        """Stop the loop; async generators get to clean up first. The bridge may be used again."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.set_exception_handler(_unclosed)
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _unclosed(loop: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
    """What a second interrupt broke off is still letting go, so its generators cannot be closed; it ends with us."""
    if "asyncgen" not in what:
        loop.default_exception_handler(what)


class _Job(Generic[T]):
    """A coroutine at work on another thread's loop; it is over when its clean-up is, not when it is cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self._over: Future[T] = Future()
        self._task: asyncio.Task[T] | None = None
        self.stopped = False
        loop.call_soon_threadsafe(self._start, work, contextvars.copy_context())

    def wait(self) -> T:
        """The result, or what it raised. An interrupted wait cancels the work and lets it clean up first."""
        try:
            return self._over.result()
        except BaseException:
            if not self._over.done():
                self.cancel()
                wait_for([self._over], timeout=CLEAN_UP_SECONDS)
            raise

    def cancel(self) -> None:
        """Ask it to stop."""
        self.stopped = True
        self._loop.call_soon_threadsafe(self._stop)

    def _start(self, work: Coroutine[Any, Any, T], context: contextvars.Context) -> None:
        self._task = self._loop.create_task(work, context=context)
        self._task.add_done_callback(self._ended)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._over.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._over.set_exception(error)
        else:
            self._over.set_result(task.result())


async def _close(stream: AsyncIterator[Any]) -> None:
    if (close := getattr(stream, "aclose", None)) is not None:
        await close()
