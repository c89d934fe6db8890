"""`gatepost doctor` and `gatepost migrate`: is everything in place, and what to do where it is not."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatepost.service import terminal
from gatepost.service.cli.configured import configured
from gatepost.service.cli.desk import Json, OneTenant, Options, other
from gatepost.service.cli.exits import Exit, guarded
from gatepost.service.cli.rounds import Finding, looked, rounds
from gatepost.service.cli.typed import retyped, typed
from gatepost.state.errors import GatepostError

if TYPE_CHECKING:
    from gatepost.checkpointing.address import Address

SKEW_SECONDS = 2.0
_PACKAGES = ("gatepost", "langgraph", "langgraph-checkpoint-postgres", "langchain-core", "psycopg", "cedarpy")


@guarded
def doctor(
    context: typer.Context,
    *,
    stop_server: Annotated[
        bool,
        typer.Option("--stop-server", help="Stop the embedded server and what examples started beside it, and leave."),
    ] = False,
    tenant: OneTenant = None,
    as_json: Json = False,
) -> None:
    """Look at this machine, the database and what waits on it; say what is wrong and what to do.

    What waits is looked at for every tenant of the database. Exits with 7 when something is wrong.

    Example: gatepost doctor
    """
    if stop_server:
        _stop()
        return
    findings = [_python(), _packages(), *_workflows(context.obj), *_embedded(context.obj)]
    findings += [*_database(context.obj, tenant), *(Finding(*said) for said in configured(os.environ))]
    if as_json:
        terminal.as_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            of = f" of {terminal.one_line(finding.tenant)}" if finding.tenant and other(finding.tenant) else ""
            terminal.say(f"{'✓' if finding.ok else '✗'} {finding.name}{of}: {finding.said}")
            if finding.cure:
                terminal.say(f"    → {finding.cure}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(Exit.DATABASE)


@guarded
def migrate(
    context: typer.Context,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 7 when something is missing.")
    ] = False,
) -> None:
    """Bring the database up to date. Safe to run again, and from many processes at once.

    Example: gatepost migrate --check
    """
    from gatepost.checkpointing import migrate as migrations
    from gatepost.checkpointing.address import resolve

    address = resolve(context.obj.database)
    names = migrations.pending(address) if check else migrations.migrate(address)
    for name in names:
        terminal.say(f"{'missing' if check else 'applied'} {name}")
    if not names:
        terminal.hint(f"{address.shown} is up to date")
    elif check:
        raise typer.Exit(Exit.DATABASE)


def _stop() -> None:
    from gatepost.checkpointing.embedded import default_home
    from gatepost.checkpointing.embedded import stop_server as stop

    for name in _stopped_beside(default_home()):
        terminal.say(f"stopped {name}")
    terminal.say("stopped the embedded server" if stop(default_home()) else "the embedded server was not running")


def _stopped_beside(home: Path) -> Iterator[str]:
    """Stop what installed packages may have started in this home; the names of what was running.

    A package registers a function with an entry point in the group `gatepost.beside`: it takes the home, and says
    whether there was anything to stop.
    """
    for entry in entry_points(group="gatepost.beside"):
        try:
            if entry.load()(home):
                yield entry.name.replace("_", " ")
        except Exception as error:  # noqa: BLE001 (what another package does wrong keeps no server running)
            terminal.complain("warning", f"{entry.name} could not be stopped: {error}")


def _python() -> Finding:
    return Finding("python", ok=True, said=f"{platform.python_version()} on {platform.system()}")


def _packages() -> Finding:
    try:
        said = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    except PackageNotFoundError as error:
        return Finding("packages", ok=False, said=str(error), cure="install gatepost again, into one environment")
    return Finding("packages", ok=True, said=said)


def _workflows(options: Options) -> Iterator[Finding]:
    """Only what is broken: `gatepost workflow list` shows the others."""
    from gatepost.service.catalog import find_workflows

    try:
        broken = find_workflows(options.workflows).broken
    except GatepostError as error:
        broken = (str(error),)
    for said in broken:
        yield Finding(
            "workflows", ok=False, said=said, cure=f"{typed(options.before, 'workflow', 'list')} shows what is left"
        )


def _embedded(options: Options) -> Iterator[Finding]:
    """Where the embedded server keeps its data, when it is the database."""
    from gatepost.checkpointing.address import resolve
    from gatepost.checkpointing.embedded import default_home

    with suppress(GatepostError):  # the next finding tells it
        if resolve(options.database).embedded:
            data = default_home() / "data"
            yield Finding("embedded", ok=True, said=f"{data}, {_bytes_in(data) // 1024**2} MB")


def _bytes_in(folder: Path) -> int:
    """What a folder takes; a running server makes and drops files meanwhile, and keeps its folder to itself."""
    found = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found += (Path(path) / name).lstat().st_size
    return found


def _database(options: Options, tenant: str | None) -> Iterator[Finding]:
    from gatepost.checkpointing.address import check, resolve
    from gatepost.checkpointing.migrate import pending

    try:
        address = resolve(options.database)
        check(address)
        missing = pending(address)
    except GatepostError as error:
        yield Finding(
            "database",
            ok=False,
            said=retyped(str(error), options.before),
            cure=f"correct that, then again: {typed(options.before, 'doctor')}",
        )
        return
    yield Finding("database", ok=True, said=f"{address.shown} answers")
    if missing:
        yield Finding(
            "migrations", ok=False, said=f"missing: {', '.join(missing)}", cure=typed(options.before, "migrate")
        )
        return
    yield Finding("migrations", ok=True, said="up to date")
    yield from _inside(address, options, tenant)


def _inside(address: Address, options: Options, tenant: str | None) -> Iterator[Finding]:
    from gatepost.checkpointing.books import Books
    from gatepost.checkpointing.health import Health
    from gatepost.checkpointing.runs import Lease

    with Books(address, lease=Lease()) as books:
        before = datetime.now(UTC)
        server = books.bridge.run(Health(books.pools).server())
        after = datetime.now(UTC)
        waiting = books.bridge.run(looked(books, tenant))
    yield Finding("server", ok=True, said=f"PostgreSQL {server['version']}, {server['bytes'] // 1024**2} MB")
    yield _role(server, options)
    yield _clock(server["now"], before, after)
    yield from rounds(waiting, server["movers"], options.before)


def _role(server: dict[str, Any], options: Options) -> Finding:
    strong = server["rolsuper"] or server["rolbypassrls"]
    again = typed(options.before, "migrate")
    cure = f"the application must not be able to skip row security: {again}, then look at the role" if strong else ""
    return Finding("role", ok=not strong, said=f"acts as {server['role']}", cure=cure)


def _clock(theirs: datetime, before: datetime, after: datetime) -> Finding:
    """How far their clock was out of the time in which we asked."""
    skew = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    ok = skew < SKEW_SECONDS
    cure = "" if ok else "run NTP here and on the server; leases and expiries go by the server's clock"
    return Finding("clock", ok=ok, said=f"the database's differs from ours by {skew:.1f} s", cure=cure)
