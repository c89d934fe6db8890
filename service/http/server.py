"""The process that serves: HTTP, and beside it a worker if it is wanted, until somebody stops both.

Invariant: leaving loses nothing. Streams end first, requests are answered, and what the worker moves
reaches its next superstep and is handed over.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, cast

import uvicorn

from gatepost.service.http.app import guarded
from gatepost.service.http.connection import Connection, Places
from gatepost.service.http.house import House
from gatepost.service.leaving import Log, when_told
from gatepost.service.notices.herald import Herald
from gatepost.service.worker import Terms, Worker
from gatepost.state.errors import CallerMistake

BACKLOG = 256
GRACE = timedelta(seconds=5)
AT_ONCE = 600
"""Connections; more are told to come back."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How it serves."""

    worker: Terms | None
    """How the worker beside it works; None: there is none."""
    log: Log
    """Takes each line of the worker."""
    ready: Callable[[], Awaitable[None]]
    """Called when it serves."""
    herald: Herald | None = None
    """Sends notices to people, beside the worker."""


def bound(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """A socket that listens.

    Raises:
        CallerMistake: the port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=False)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CallerMistake(
                f"port {port} is in use, perhaps by another gatepost. Stop that, or choose another port: "
                f"{option} {port + 1}, or 0 for any."
            ) from None
        raise CallerMistake(
            f"{host}:{port} cannot be listened on ({error.strerror}). Correct the host or {option}."
        ) from None
    # What it accepts takes this over. asyncio sets it only where a socket says that it is TCP, which this one does
    # not; without it each event of a stream waits for the acknowledgement of the one before: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def serve(house: House, listening: socket.socket, manner: Manner) -> None:
    """Serve until somebody tells it to leave; a second time, it leaves at once."""
    server = _Server(_config(house), manner.ready)
    say = manner.log.line
    worker = Worker(house.graph, terms=manner.worker, say=say, herald=manner.herald) if manner.worker else None
    gc.freeze()  # what is loaded stays: collecting what requests and runs leave behind looks through none of it again
    # It warns of each connection that is cut, and of each query that is cancelled; who asked is told what that means.
    logging.getLogger("psycopg").setLevel(logging.ERROR)

    def leave(why: str) -> None:
        server.should_exit = True
        house.waker.stop()
        if worker:
            worker.drain(why)

    def at_once() -> None:
        server.force_exit = True
        if worker:
            worker.cut()

    manner.log.broken = leave
    when_told(leave, at_once)
    async with asyncio.TaskGroup() as both:
        if worker:
            both.create_task(worker.work())
        await server.serve(sockets=[listening])
        leave("the service leaves")


class _Server(uvicorn.Server):
    """Theirs, without its signal handlers: ours also tell the worker and the streams."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        if not self.should_exit:
            await self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _config(house: House) -> uvicorn.Config:
    return uvicorn.Config(
        guarded(house),
        http=cast("Any", partial(Connection, places=Places(house.limits.connections, house.limits.proxies))),
        ws="none",
        access_log=False,
        log_config=None,
        lifespan="on",
        limit_concurrency=AT_ONCE,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(GRACE.total_seconds()),
        timeout_keep_alive=15,
    )
