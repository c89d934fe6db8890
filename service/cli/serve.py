"""`gatepost serve` and `gatepost dev`: the service, its pages, and a worker beside them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.service import terminal
from gatepost.service.cli.desk import Desk, Options, acting, named, opened
from gatepost.service.cli.exits import guarded
from gatepost.service.cli.measure import MetricsHost, MetricsName, MetricsPort, Scraped, measured, scraped_at
from gatepost.state.errors import CallerMistake, DatabaseUnavailable

if TYPE_CHECKING:
    from gatepost.service.http.house import House
    from gatepost.service.http.replays import Code
    from gatepost.service.notices.herald import Herald
    from gatepost.service.worker import Emit

PORT = 8650
RATE = 100.0
CONNECTIONS = 200
LINK_LASTS = timedelta(minutes=15)
DEV_LASTS = timedelta(minutes=5)
"""The key of `gatepost dev`, which is renewed meanwhile: so it soon ends with a process that was killed."""
DEV_RENEWS = timedelta(seconds=20)
MANY = 5
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Host = Annotated[str, typer.Option(help="The address to listen on. Beyond this machine, put a TLS proxy before it.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")]
ReplayEnv = Annotated[
    list[str] | None,
    typer.Option(
        "--replay-env",
        metavar="NAME",
        envvar="GATEPOST_REPLAY_ENV",
        help="A variable of the environment that workflows read, for replays over HTTP; repeat.",
    ),
]
Concurrency = Annotated[int, typer.Option("--concurrency", "-c", min=1, max=1000, help="Runs at once, for the worker.")]


@guarded
def serve(
    context: typer.Context,
    *,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            envvar="GATEPOST_PUBLIC_URL",
            metavar="URL",
            help="The address people type, when a proxy is between.",
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option("--rate", min=0, envvar="GATEPOST_RATE", help="Requests a second for each key; 0: no limit."),
    ] = RATE,
    proxies: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            metavar="ADDRESS",
            envvar="GATEPOST_TRUSTED_PROXIES",
            help="A proxy whose X-Forwarded-For says who asks, for the limits; repeat.",
        ),
    ] = None,
    connections: Annotated[
        int,
        typer.Option(
            "--connections",
            min=0,
            envvar="GATEPOST_CONNECTIONS",
            help="Connections at once from one address, a trusted proxy excepted; 0: no limit.",
        ),
    ] = CONNECTIONS,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    metrics_name: MetricsName = None,
    replay_env: ReplayEnv = None,
    with_worker: Annotated[bool, typer.Option("--with-worker", help="Move runs as well, in this process.")] = False,
    concurrency: Concurrency = 4,
) -> None:
    """Serve the API (under /v1, described by /openapi.json) and the pages, to those who have a key.

    It moves no run: `gatepost worker` does, on this machine or on others; or --with-worker, right here.

    Example: gatepost serve --port 8650 --public-url https://gatepost.example
    """
    scraped = scraped_at(metrics_host, metrics_port, metrics_name)
    moving = concurrency if with_worker else None
    _serving(
        context,
        host,
        port,
        public_url,
        moving,
        scraped=scraped,
        limits=(rate, _proxies(proxies or ()), connections),
        replay_env=replay_env,
    )


@guarded
def dev(
    context: typer.Context, *, port: Port = PORT, concurrency: Concurrency = 4, replay_env: ReplayEnv = None
) -> None:
    """Everything at once, for this machine: database, service, worker and pages; prints an address to sign in.

    The link works once and for a quarter of an hour. Ctrl-C, or closing the terminal, leaves everything as it is and
    signs everybody out; start it again to go on.

    Example: gatepost dev
    """
    who = acting(named(context, None)).actor
    _serving(context, "127.0.0.1", port, None, concurrency, name=who, replay_env=replay_env)


def _serving(
    context: typer.Context,
    host: str,
    port: int,
    public_url: str | None,
    concurrency: int | None,
    *,
    name: str | None = None,
    scraped: Scraped | None = None,
    limits: tuple[float, Collection[str], int] = (RATE, (), CONNECTIONS),
    replay_env: Iterable[str] | None = None,
) -> None:
    """Serve; in dev, to `name`. `limits` are as of `Limits`."""
    try:
        from gatepost.service.http.guard import Place, hosts_of
        from gatepost.service.http.house import House
        from gatepost.service.http.limits import Limits
        from gatepost.service.http.links import read_keys
        from gatepost.service.http.server import Manner, bound
        from gatepost.service.http.server import serve as served
    except ModuleNotFoundError as missing:
        raise CallerMistake(
            f"{missing.name} is not installed, which the service needs. Install it: pip install 'gatepost[service]'."
        ) from None
    from gatepost.service.leaving import Log
    from gatepost.service.worker import Terms

    public = _address(public_url)
    listening = bound(host, port)
    if name is not None:
        terminal.hint("Starting: database, worker and pages. The first time takes a few seconds more.")
    where = public or f"http://{_shown(host)}:{listening.getsockname()[1]}"
    with opened(context, max_connections=20) as desk:
        _knows_something(desk)
        place, code = Place(hosts_of(host, public), public), _code(context, replay_env)
        house = House(desk.graph, place, code=code, link_keys=read_keys(os.environ), limits=Limits(*limits))
        log = Log()
        manner = Manner(
            worker=Terms(concurrency=concurrency, grace=timedelta(seconds=10)) if concurrency else None,
            log=log,
            ready=_ready_for(house, where, name, desk.typed("key", "create", "NAME", "--scope", "read")),
            herald=_herald(house, context.obj, where, log.line) if concurrency else None,
        )
        if host not in LOOPBACK and public is None:
            terminal.note(
                f"Listening on {host} without TLS: keys travel readable. Put a TLS proxy before it (--public-url)."
            )
        serving = measured(desk.graph, lambda: served(house, listening, manner), scraped, slots=concurrency or 0)
        asyncio.run(_until_stopped(house, serving, name))
    terminal.hint("Everything is left as it is; unfinished runs go on with the next worker.")


def _herald(house: House, options: Options, where: str, say: Emit) -> Herald | None:
    """Who sends notices, with links to this service."""
    from gatepost.service.notices.herald import Herald

    return Herald.hired(house.saver.pools, options.notices, say=say, base=where)


async def _until_stopped(house: House, serving: Awaitable[None], name: str | None) -> None:
    renewing = asyncio.create_task(_renewing(house))
    try:
        await serving
    finally:
        renewing.cancel()
        for key_id in {key for key, _ in house.once.values()} | house.lent:
            await house.keys.revoke(key_id, "local", by=name or "gatepost")
        await house.saver.pools.close()


async def _renewing(house: House, *, every: timedelta = DEV_RENEWS) -> None:
    while True:
        await asyncio.sleep(every.total_seconds())
        for key_id in house.lent:
            with suppress(DatabaseUnavailable):  # the next time, then
                await house.keys.renew(key_id, lasts=DEV_LASTS)


def _ready_for(house: House, where: str, name: str | None, make_key: str) -> Callable[[], Awaitable[None]]:
    async def ready() -> None:
        if name is None:
            terminal.log_line(f"serving {where} (sign in with a key: {make_key})")
            return
        from gatepost.checkpointing.keys import SCOPES

        made = await house.keys.create(
            tenant="local", principal=name, scopes=SCOPES, lasts=DEV_LASTS, created_by=name, label="gatepost dev"
        )
        house.lent.add(made.key_id)
        token = secrets.token_urlsafe(32)
        until = time.monotonic() + LINK_LASTS.total_seconds()
        house.once[hashlib.sha256(token.encode()).digest()] = (made.key_id, until)
        # Behind the #: it stays in the browser, and reaches no log.
        terminal.log_line(f"Open {where}/sign-in#once={token}")
        terminal.hint(f"It signs you in as {name}, once; for another link, stop this and start it again.")
        goals = [goal for one in house.graph.equipment.catalog.workflows.values() for goal in one.goals[:1]]
        terminal.hint(f"The database is {house.saver.address.shown}. Under Start: {', '.join(goals[:MANY])}.")
        terminal.hint("Ctrl-C stops everything and loses nothing. Below is what the worker does.")

    return ready


def _code(context: typer.Context, reads: Iterable[str] | None) -> Code:
    from gatepost.service.http.replays import Code

    options: Options = context.obj
    return Code(options.workflows, options.policy, options.policies, tuple(reads or ()))


def _knows_something(desk: Desk) -> None:
    if not desk.graph.equipment.catalog.workflows:
        raise CallerMistake("no workflow is known here. Name one: gatepost --workflows MODULE:ATTRIBUTE …")


def _address(url: str | None) -> str | None:
    if url is None:
        return None
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        usual = parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)}
    except ValueError:
        parts, usual = urlsplit(""), True
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path not in {"", "/"}
        or "@" in parts.netloc
    ):
        raise CallerMistake(f"--public-url {url!r} is no address of a service. Write https://gatepost.example.")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    # As browsers write an origin, which is what it is compared with: without the port that the scheme implies.
    return f"{parts.scheme}://{name if usual else f'{name}:{parts.port}'}"


def _proxies(given: Collection[str]) -> list[str]:
    try:
        return [str(ip_address(one)) for one in given]
    except ValueError as error:
        raise CallerMistake(
            f"--trusted-proxy: {error}. Name each proxy by its own address, such as 10.0.0.9; repeat it for several."
        ) from None


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else "localhost" if host in {"0.0.0.0", ""} else host  # noqa: S104 (shown)
