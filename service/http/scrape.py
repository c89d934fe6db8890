"""Where a scraper finds the metrics: a port of its own, so that neither a key nor the service's address opens them.

They tell of all tenants together. The port is open only where somebody asks for it, and on this machine alone unless
somebody says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Receive, Scope, Send

from gatepost.service.http.connection import Connection
from gatepost.service.http.server import bound
from gatepost.service.metrics import Metrics

AT_ONCE = 20


@asynccontextmanager
async def scraped(metrics: Metrics, host: str, port: int) -> AsyncIterator[str]:
    """Serve the metrics while the block runs; gives their address.

    Raises:
        CallerMistake: the port is taken.
    """
    listening = bound(host, port, option="--metrics-port")
    server = _Quiet(
        uvicorn.Config(
            _application(metrics),
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


def _application(metrics: Metrics) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (nothing is read)
        found = scope["path"] == "/metrics" and scope["method"] in {"GET", "HEAD"}
        text = await metrics.text() if found else b"The metrics are at /metrics.\n"
        kind = CONTENT_TYPE_LATEST if found else "text/plain; charset=utf-8"
        headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else text})

    return application
