"""Connections that ask nothing do not keep a place; those that do are left alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gatepost.service.http import connection
from gatepost.service.http.connection import Connection, Places

PATIENCE = 10.0
ASKED = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@asynccontextmanager
async def served(answering: asyncio.Event, places: Places | None = None) -> AsyncIterator[tuple[int, ServerState]]:
    """A server that answers when it may; its port, and who is connected."""

    async def application(_: Any, __: Any, send: Any) -> None:
        await answering.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config, state = uvicorn.Config(application, http=Connection, log_config=None, lifespan="off"), ServerState()
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(config, state, {}, places=places), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], state


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: here\r\n"])
def test_whoever_sends_no_request_is_let_go(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)

    async def call() -> None:
        async with served(asyncio.Event()) as (port, state), asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            assert await reader.read() == b""
            writer.close()
        assert not state.connections

    asyncio.run(call())


def test_a_second_request_that_never_ends_is_let_go_and_an_answer_may_take_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    looked: list[bool] = []
    look = Connection._look

    async def call() -> None:
        answering = asyncio.Event()

        def counted(found: Connection) -> None:
            look(found)
            looked.append(found.transport.is_closing())
            if len(looked) == 4:
                answering.set()

        monkeypatch.setattr(Connection, "_look", counted)
        async with served(answering) as (port, _), asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(ASKED)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            assert looked[:4] == [False] * 4
            writer.write(ASKED[:9])
            assert await reader.read() == b""
            writer.close()

    asyncio.run(call())


@pytest.mark.parametrize("proxies", [(), ("127.0.0.1",)])
def test_an_address_has_so_many_connections_and_a_proxy_has_more(proxies: tuple[str, ...]) -> None:
    async def call() -> None:
        answering = asyncio.Event()
        answering.set()
        async with served(answering, Places(2, proxies)) as (port, state), asyncio.timeout(PATIENCE):
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            while len(state.connections) < len(idle):  # noqa: ASYNC110 (the loop has to go on)
                await asyncio.sleep(0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if proxies:
                writer.write(ASKED)
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            else:
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 429 Too many")
                assert json.loads(body)["type"] == "/problems/too-many-connections"
            writer.close()
            idle[0][1].close()
            while len(state.connections) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(ASKED)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            for _, one in (*idle, (reader, writer)):
                one.close()

    asyncio.run(call())
