"""What `gatepost doctor` says of the configuration: the keys of links, metrics, traces. No secret is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import urlsplit

from gatepost.state.errors import CallerMistake


class Said(NamedTuple):
    """One line."""

    name: str
    ok: bool
    said: str
    cure: str = ""


def configured(environ: Mapping[str, str]) -> Iterator[Said]:
    """What is configured in this environment; what is off is no fault."""
    yield _links(environ)
    yield _metrics(environ)
    yield _traces(environ)


def _links(environ: Mapping[str, str]) -> Said:
    from gatepost.service.http.links import KEYS_FILE, PUBLIC_URL, read_keys

    try:
        keys = read_keys(environ)
    except CallerMistake as error:
        return Said("links", ok=False, said=str(error), cure="correct that for whoever serves or makes links")
    if not keys:
        return Said("links", ok=True, said=f"no key, so no approval links for mail and chat ({KEYS_FILE})")
    where = environ.get(PUBLIC_URL)
    said = f"{len(keys)} key{'s' if len(keys) > 1 else ''}; " + (f"they lead to {where}" if where else "")
    return Said("links", ok=True, said=said if where else f"{said}{PUBLIC_URL} does not say where they lead")


def _metrics(environ: Mapping[str, str]) -> Said:
    port = environ.get("GATEPOST_METRICS_PORT")
    if not port:
        return Said("metrics", ok=True, said="off, unless --metrics-port is given to serve or worker")
    if find_spec("prometheus_client") is None:
        return Said("metrics", ok=False, said=f"asked for on port {port}", cure="pip install 'gatepost[service]'")
    return Said("metrics", ok=True, said=f"at port {port} of {environ.get('GATEPOST_METRICS_HOST', '127.0.0.1')}")


def _traces(environ: Mapping[str, str]) -> Said:
    from gatepost.service.telemetry import ENDPOINTS, wanted

    where = wanted(environ)
    if where is None:
        return Said("traces", ok=True, said=f"off, unless {ENDPOINTS[1]} says where to send them")
    if find_spec("opentelemetry.exporter") is None or find_spec("opentelemetry.exporter.otlp") is None:
        return Said("traces", ok=False, said="asked for by OTEL_…", cure="pip install 'gatepost[telemetry]'")
    parts = urlsplit(where)
    content = ", with arguments and results" if environ.get("GATEPOST_TRACE_CONTENT") == "1" else ""
    return Said("traces", ok=True, said=f"sent to {parts.hostname}:{parts.port or 4318}{content}")
