"""Whether traces are sent: as OpenTelemetry's own environment says. Where they are not, nothing of it is imported."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from gatepost.graph.compiled import GatepostGraph

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"


def wanted(environ: Mapping[str, str]) -> str | None:
    """Where traces are to be sent to; None: nowhere."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    return next((environ[name] for name in ENDPOINTS if environ.get(name)), None)


class Continued:
    """ASGI middleware: what a request starts belongs to the trace that its `traceparent` names, if traces are sent.

    Args:
        app: what is served.
        graph: whose watchers trace, or do not.
    """

    def __init__(self, app: ASGIApp, graph: GatepostGraph) -> None:
        self._app = app
        self._graph = graph

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, within that trace."""
        words: str = dict(scope.get("headers", ())).get(b"traceparent", b"").decode("latin-1")
        tracing = (getattr(one, "within", None) for one in self._graph.equipment.watchers)
        within = next((found for found in tracing if found), None)
        with within(words) if within and words else nullcontext():
            await self._app(scope, receive, send)


def trace(graph: GatepostGraph) -> None:
    """Send traces of what happens to a graph's runs, if the environment says where to.

    Raises:
        CallerMistake: the extra is missing, or another protocol is asked for than the one there is.
    """
    if wanted(os.environ) is None:
        return
    protocol = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), HTTP)
    if protocol != HTTP:
        raise CallerMistake(f"traces are sent by {HTTP}, not by {protocol!r}. Correct {PROTOCOLS[1]}, and the port.")
    try:
        from gatepost.service.tracing import CONTENT, Tracing
    except ModuleNotFoundError as missing:
        raise CallerMistake(
            f"{missing.name} is not installed, which {ENDPOINTS[1]} needs. Install it: pip install "
            "'gatepost[telemetry]'; or unset the variable."
        ) from None
    tracing = Tracing(content=os.environ.get(CONTENT) == "1")
    graph.equipment.watchers.append(tracing)
    atexit.register(tracing.leave)
