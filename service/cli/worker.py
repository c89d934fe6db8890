"""`gatepost worker`: a process that moves runs."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.service.cli.desk import Desk, Options
from gatepost.service.cli.exits import Exit, guarded
from gatepost.service.cli.measure import MetricsHost, MetricsName, MetricsPort, Scraped, measured, scraped_at
from gatepost.service.cli.values import read_duration
from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from gatepost.checkpointing.open import Checkpointer
    from gatepost.service.worker import Terms, Until

SPARE_CONNECTIONS = 2


@guarded
def work(
    context: typer.Context,
    *,
    concurrency: Annotated[int, typer.Option("--concurrency", "-c", min=1, max=1000, help="Runs at once.")] = 4,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="How long runs may take to reach a superstep when it leaves.")
    ] = "30s",
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Leave when nothing is left to move.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Move one run, if there is one, and leave.")] = False,
    sweep: Annotated[str, typer.Option(metavar="TIME", help="Look at least so often, whatever is heard.")] = "5s",
    lease: Annotated[
        str, typer.Option(metavar="TIME", help="How long a run stays with a worker that has died.")
    ] = "10s",
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    metrics_name: MetricsName = None,
    patience: Annotated[
        int,
        typer.Option(min=1, help="Attempts in a row that may die or fail at one transition before a run is parked."),
    ] = 10,
) -> None:
    """Move runs: those that were started with --detach, answered, due, or left behind by a process that died.

    Start as many as you like, on as many machines: each run is moved by one of them at a time. A worker moves the
    runs of the workflows that it knows (`gatepost workflow list`), the highest --priority first.

    SIGTERM, Ctrl-C or a closed terminal: it takes nothing more, lets its runs reach their next superstep, hands them
    over and leaves with 0. A second one: at once, with 130; what was under way is found out by whoever moves the run
    next.

    Example: gatepost run start --detach --goal "vendor onboarding review" && gatepost worker --until-idle
    """
    from gatepost.checkpointing.open import open_checkpointer
    from gatepost.checkpointing.runs import Lease
    from gatepost.service.worker import Terms

    if once and until_idle:
        raise CallerMistake("--once and --until-idle are two ways to leave. Choose one.")
    until: Until = "one" if once else "idle" if until_idle else "stopped"
    terms = Terms(concurrency=concurrency, grace=read_duration(grace), sweep=read_duration(sweep), until=until)
    held = Lease(ttl=read_duration(lease), wait=False)
    options: Options = context.obj
    with open_checkpointer(
        options.database, lease=held, max_connections=concurrency + SPARE_CONNECTIONS
    ) as checkpointer:
        checkpointer.runs.patience = patience
        scraped = scraped_at(metrics_host, metrics_port, metrics_name)
        cut = asyncio.run(_work(checkpointer, options, terms, scraped))
    if cut:
        raise typer.Exit(Exit.INTERRUPTED)


async def _work(checkpointer: Checkpointer, options: Options, terms: Terms, scraped: Scraped | None) -> bool:
    """Work; whether it was told to leave at once."""
    from gatepost.service.leaving import Log, when_told
    from gatepost.service.notices.herald import Herald
    from gatepost.service.worker import Worker

    graph = Desk(checkpointer, options).graph
    known = ", ".join(graph.equipment.catalog.workflows)
    if not known:
        raise CallerMistake(
            "no workflow is known here, so there is nothing to move. Name one: --workflows MODULE:ATTRIBUTE."
        )
    log = Log()
    herald = Herald.hired(checkpointer.pools, options.notices, say=log.line, sweep=terms.sweep)
    worker = Worker(graph, terms=terms, say=log.line, herald=herald)
    log.broken = worker.drain
    gc.freeze()  # what is loaded stays: collecting what runs leave behind looks through none of it again
    # It warns of each connection that is cut and each query that is cancelled; what that means for a run, the worker
    # says itself.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    when_told(worker.drain, worker.cut)
    log.line(
        f"[worker] {worker.name} moves {known}, {terms.concurrency} at once{', and sends notices' if herald else ''}"
    )
    try:
        await measured(graph, worker.work, scraped, slots=terms.concurrency)
    finally:
        await checkpointer.pools.close()
    return worker.was_cut
