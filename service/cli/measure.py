"""`--metrics-port`: what a process that serves or works tells Prometheus, where it is asked to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.service import terminal
from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from gatepost.graph.compiled import GatepostGraph

MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        min=0,
        max=65535,
        envvar="GATEPOST_METRICS_PORT",
        help="Tell Prometheus at /metrics on this port (0: any); without it, nobody.",
    ),
]
MetricsHost = Annotated[
    str,
    typer.Option(
        "--metrics-host",
        metavar="ADDRESS",
        envvar="GATEPOST_METRICS_HOST",
        help="Where that port is open. It asks for no key, and tells of all tenants together.",
    ),
]
MetricsName = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics-name",
        metavar="NAME",
        envvar="GATEPOST_METRICS_NAME",
        help="A name under which a scraper reaches that port, where it is no address; repeat.",
    ),
]
Scraped = tuple[str, int, tuple[str, ...]]
"""Where a scraper is answered: address, port, and names."""


def scraped_at(host: str, port: int | None, names: Iterable[str] | None) -> Scraped | None:
    """Where a scraper is answered, as it was typed; None: nowhere."""
    return None if port is None else (host, port, tuple(names or ()))


async def measured(
    graph: GatepostGraph, work: Callable[[], Awaitable[None]], scraped: Scraped | None, *, slots: int = 0
) -> None:
    """Work, and meanwhile answer a scraper.

    Args:
        graph: what happens to its runs is counted.
        work: what is done.
        scraped: where; None: nowhere, and nothing is counted.
        slots: runs that are moved at once.

    Raises:
        CallerMistake: the port is taken, or the extra is missing.
    """
    if scraped is None:
        await work()
        return
    try:
        from gatepost.service.http.scrape import scraped as telling
        from gatepost.service.metrics import Metrics
    except ModuleNotFoundError as missing:
        raise CallerMistake(
            f"{missing.name} is not installed, which --metrics-port needs. Install it: pip install 'gatepost[service]'."
        ) from None
    metrics = Metrics(graph.equipment.catalog.workflows, graph.saver.pools, slots=slots)
    async with telling(metrics, *scraped) as address:
        terminal.note(f"metrics at {address}")
        graph.equipment.watchers.append(metrics)
        await work()
