"""Tries to deadlock, leak or lose work between sync callers and the async core."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from gatepost.checkpointing.bridge import Bridge


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge()
    yield made
    made.close()


async def where() -> int:
    return threading.get_ident()


class Numbers:
    """Counts, and remembers how far it was asked and how it ended."""

    def __init__(self, end: int = 10**9, *, fail_at: int | None = None) -> None:
        self.made: list[int] = []
        self.tasks: set[object] = set()
        self.closed = 0
        self._end, self._fail_at = end, fail_at

    async def __call__(self) -> AsyncIterator[int]:
        try:
            for number in range(self._end):
                await asyncio.sleep(0)
                if number == self._fail_at:
                    raise ValueError(f"no {number}")
                self.made.append(number)
                self.tasks.add(asyncio.current_task())
                yield number
        finally:
            self.tasks.add(asyncio.current_task())
            self.closed += 1


def test_work_runs_elsewhere_and_its_result_comes_back(bridge: Bridge) -> None:
    assert bridge.run(where()) != threading.get_ident()
    assert bridge.run(where()) == bridge.run(where())


def test_a_sync_call_inside_a_running_loop_works(bridge: Bridge) -> None:
    async def notebook() -> int:
        return bridge.run(where())

    assert asyncio.run(notebook()) != threading.get_ident()


def test_iterating_inside_a_running_loop_works(bridge: Bridge) -> None:
    async def notebook() -> list[int]:
        return list(bridge.iterate(Numbers(3)()))

    assert asyncio.run(notebook()) == [0, 1, 2]


def test_several_threads_share_one_loop(bridge: Bridge) -> None:
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(bridge.run(where()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_an_exception_passes_as_it_is(bridge: Bridge) -> None:
    error = ValueError("no")

    async def fail() -> None:
        raise error

    with pytest.raises(ValueError, match="no") as raised:
        bridge.run(fail())
    assert raised.value is error


def test_waiting_for_oneself_is_refused_instead_of_hanging(bridge: Bridge) -> None:
    async def inner() -> None:
        raise AssertionError("never awaited")

    async def outer() -> None:
        bridge.run(inner())

    with pytest.raises(RuntimeError, match="await the async one"):
        bridge.run(outer())


def test_iterating_gives_everything_and_closes_in_the_task_that_began(bridge: Bridge) -> None:
    numbers = Numbers(3)
    assert list(bridge.iterate(numbers())) == [0, 1, 2]
    assert numbers.closed == 1
    assert len(numbers.tasks) == 1


def test_nothing_is_made_before_it_is_asked_for(bridge: Bridge) -> None:
    numbers = Numbers()
    stream = bridge.iterate(numbers())
    assert numbers.made == []
    assert next(stream) == 0
    assert numbers.made == [0]
    stream.close()  # type: ignore[attr-defined]


def test_a_caller_who_stops_looking_stops_the_work(bridge: Bridge) -> None:
    numbers = Numbers()
    for number in bridge.iterate(numbers()):
        if number == 2:
            break
    assert numbers.made == [0, 1, 2]
    assert numbers.closed == 1


def test_an_exception_in_the_stream_passes_after_what_came_before(bridge: Bridge) -> None:
    numbers = Numbers(fail_at=2)
    stream = bridge.iterate(numbers())
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ValueError, match="no 2"):
        next(stream)
    assert numbers.closed == 1


def test_an_exception_of_the_caller_closes_the_stream(bridge: Bridge) -> None:
    numbers = Numbers()

    def look() -> None:
        for number in bridge.iterate(numbers()):
            raise KeyError(number)

    with pytest.raises(KeyError):
        look()
    assert numbers.closed == 1


def test_an_interrupt_cancels_the_work_and_lets_it_clean_up_first(bridge: Bridge) -> None:
    started, order = threading.Event(), list[str]()
    main = threading.main_thread()
    if threading.current_thread() is not main:
        pytest.skip("signals reach the main thread only")

    async def work() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            order.append("cleaned up")
            raise

    def interrupt() -> None:
        started.wait(10)
        while sys._current_frames()[main.ident or 0].f_code.co_name != "wait":
            threading.Event().wait(0.001)
        signal.pthread_kill(main.ident or 0, signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        bridge.run(work())
    helper.join(10)
    bridge.run(asyncio.sleep(0))
    assert order == ["cleaned up"]
    assert bridge.run(where())  # the bridge still works


def test_an_interrupt_stops_what_a_stream_is_working_on(bridge: Bridge) -> None:
    """The item under way would never have come."""
    main = threading.main_thread()
    if threading.current_thread() is not main:
        pytest.skip("signals reach the main thread only")
    order: list[str] = []

    async def stuck() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append("cleaned up")

    items = bridge.iterate(stuck())
    assert next(items) == 1
    timer = threading.Timer(0.2, lambda: signal.pthread_kill(main.ident or 0, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert order == ["cleaned up"]
    assert bridge.run(where())


def test_a_bridge_can_be_closed_twice_and_used_again(bridge: Bridge) -> None:
    bridge.run(where())
    bridge.close()
    bridge.close()
    assert bridge.run(where())


def test_closing_lets_generators_clean_up(bridge: Bridge) -> None:
    numbers = Numbers()
    generator = numbers()

    async def begin() -> int:
        return await anext(generator)

    assert bridge.run(begin()) == 0
    bridge.close()
    assert numbers.closed == 1


def test_closing_says_nothing_of_what_still_lets_go(caplog: pytest.LogCaptureFixture) -> None:
    """As after a second interrupt: nobody waits for the work, and its generator is at work itself."""
    bridge, begun = Bridge(), threading.Event()

    async def endless() -> AsyncIterator[None]:
        begun.set()
        await asyncio.Event().wait()
        yield

    async def work() -> None:
        async for _ in endless():
            pass

    asyncio.run_coroutine_threadsafe(work(), bridge.loop)
    assert begun.wait(10)
    bridge.close()
    assert caplog.records == []


def test_an_unused_bridge_starts_no_thread() -> None:
    before = threading.active_count()
    made = Bridge()
    made.close()
    assert threading.active_count() == before
