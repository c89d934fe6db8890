"""Where a scraper finds the metrics: a port of its own, so that neither a key nor the service's address opens them.

They tell of all tenants together. The port is open only where somebody asks for it, and on this machine alone unless
somebody says otherwise. A browser is not a scraper: a page of another site, whose name was bound to our address, would
be answered under that name, so the port answers to addresses, which no site is called, and to names that it knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gatepost.service.http.connection import Connection
from gatepost.service.http.guard import hosts_of, name_in
from gatepost.service.http.server import bound
from gatepost.service.metrics import Metrics

AT_ONCE = 20
PLAIN = "text/plain; charset=utf-8"


@asynccontextmanager
async def scraped(metrics: Metrics, host: str, port: int, names: Collection[str] = ()) -> AsyncIterator[str]:
    """Serve the metrics while the block runs; gives their address.

    Args:
        metrics: what is told.
        host: the address to listen on.
        port: 0: any.
        names: under which a scraper reaches it, beside this machine's addresses.

    Raises:
        CallerMistake: the port is taken.
    """
    listening = bound(host, port, option="--metrics-port")
    server = _Quiet(
        uvicorn.Config(
            _application(metrics, hosts_of(host, None) | {name.lower() for name in names}),
            http=Connection,
            ws="none",
            access_log=False,
            log_config=None,
            lifespan="off",
            limit_concurrency=AT_ONCE,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://{host}:{listening.getsockname()[1]}/metrics"
    finally:
        server.should_exit = True
        await serving


class _Quiet(uvicorn.Server):
    """Theirs, without its signal handlers: whoever runs beside it has some."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _application(metrics: Metrics, names: Collection[str]) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (nothing is read)
        status, kind, text = 404, PLAIN, b"The metrics are at /metrics.\n"
        if not _known(host := name_in(Headers(scope=scope).get("host", "")), names):
            status, text = 421, f"It does not answer to {host!r}. Start it with --metrics-name {host}.\n".encode()
        elif scope["path"] == "/metrics" and scope["method"] in {"GET", "HEAD"}:
            status, kind, text = 200, CONTENT_TYPE_LATEST, await metrics.text()
        headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else text})

    return application


def _known(host: str, names: Collection[str]) -> bool:
    if host in names:
        return True
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
