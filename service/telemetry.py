"""Whether traces are sent: as OpenTelemetry's own environment says. Where they are not, nothing of it is imported."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from gatepost.graph.compiled import GatepostGraph

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"


def wanted(environ: Mapping[str, str]) -> str | None:
    """Where traces are to be sent to; None: nowhere."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    return next((environ[name] for name in ENDPOINTS if environ.get(name)), None)


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
