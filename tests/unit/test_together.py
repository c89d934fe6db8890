"""Tries to lose, mix up or starve somebody in the line of those who are served together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gatepost.checkpointing.together import MOST, Together

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Counter:
    """Serves when it is told to; odd numbers fail, and a 13 ends it for all."""

    def __init__(self) -> None:
        self.served: list[list[int]] = []
        self._may = asyncio.Semaphore(0)
        self.together: Together[int, str] = Together(self.serve)

    async def serve(self, items: Sequence[int]) -> Sequence[str | Exception]:
        self.served.append(list(items))
        await self._may.acquire()
        await asyncio.sleep(0)
        if 13 in items:
            raise ConnectionError("gone")
        return [ValueError(str(item)) if item % 2 else str(item) for item in items]

    def go(self, times: int = 1000) -> None:
        for _ in range(times):
            self._may.release()

    def ask(self, *items: int) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.together.ask(item)) for item in items]

    async def ask_one_first(self, *items: int) -> list[asyncio.Task[str]]:
        """The first is being served when the others come."""
        first = self.ask(items[0])
        await settle()
        others = self.ask(*items[1:])
        await settle()
        return first + others


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_while_one_is_served_goes_with_the_others() -> None:
    counter = Counter()
    tasks = await counter.ask_one_first(0, 2, 4, 6)
    assert counter.served == [[0]]
    counter.go()
    assert await asyncio.gather(*tasks) == ["0", "2", "4", "6"]
    assert counter.served == [[0], [2, 4, 6]]
    assert await counter.together.ask(8) == "8"
    assert counter.served[-1] == [8]


async def test_who_comes_in_the_same_turn_goes_together_in_the_order_of_coming() -> None:
    counter = Counter()
    tasks = counter.ask(0, 2, 4)
    await settle()
    counter.go()
    assert await asyncio.gather(*tasks) == ["0", "2", "4"]
    assert counter.served == [[0, 2, 4]]


async def test_the_first_of_several_gives_up_before_anybody_is_served() -> None:
    counter = Counter()
    first, second, third = counter.ask(0, 2, 4)
    await asyncio.sleep(0)
    first.cancel()
    counter.go()
    assert (await second, await third) == ("2", "4")
    assert first.cancelled()
    assert counter.served == [[2, 4]]


async def test_each_gets_its_own_end() -> None:
    counter = Counter()
    tasks = counter.ask(0, 1, 2, 3)
    await settle()
    counter.go()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(one) for one in found] == ["0", "1", "2", "3"]
    assert [isinstance(one, ValueError) for one in found] == [False, True, False, True]
    with pytest.raises(ValueError, match="5"):
        await counter.together.ask(5)


async def test_what_ends_all_is_raised_for_all_of_them_and_the_line_goes_on() -> None:
    counter = Counter()
    tasks = await counter.ask_one_first(0, 2, 13)
    counter.go()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [str, ConnectionError, ConnectionError]
    with pytest.raises(ConnectionError):
        await counter.together.ask(13)
    assert await counter.together.ask(2) == "2"


async def test_who_gives_up_in_line_is_not_served_and_holds_nobody_up() -> None:
    counter = Counter()
    first, second, third = await counter.ask_one_first(0, 2, 4)
    second.cancel()
    await settle()
    counter.go()
    assert (await first, await third) == ("0", "4")
    assert second.cancelled()
    assert counter.served == [[0], [4]]


async def test_who_gives_up_later_waits_for_the_end() -> None:
    counter = Counter()
    first, second, third = await counter.ask_one_first(0, 2, 4)
    counter.go(1)
    await first
    await settle()
    assert counter.served == [[0], [2, 4]]
    second.cancel()
    await settle()
    assert not second.done()
    counter.go()
    assert await third == "4"
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_the_first_one_is_cut_off_and_the_others_are_served() -> None:
    counter = Counter()
    first, second = await counter.ask_one_first(0, 2)
    first.cancel()
    counter.go()
    assert await second == "2"


async def test_very_many_go_in_several_goes() -> None:
    counter = Counter()
    counter.go()
    asked = [2 * n for n in range(2 * MOST + 2)]
    assert await asyncio.gather(*counter.ask(*asked)) == [str(n) for n in asked]
    assert max(len(items) for items in counter.served) == MOST
    assert sorted(n for items in counter.served for n in items) == asked


def test_every_event_loop_has_a_line_of_its_own() -> None:
    together: Together[int, int] = Together(_same)
    assert [asyncio.run(together.ask(n)) for n in range(3)] == [0, 1, 2]


async def _same(items: Sequence[int]) -> Sequence[int | Exception]:
    return items
