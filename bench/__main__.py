"""`make bench`, `python -m bench`: what steps cost here, beside what else there is."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import rows as known
from bench.checks import checks, promises
from bench.crew import Broken
from bench.curve import plot, show_growth, write_growth
from bench.figures import Result
from bench.growth import FEW, SIZES, grow
from bench.measure import FEW_STEPS, STEPS, Say, Size, Stand, measure
from bench.paint import paints
from bench.paper import put
from bench.profile import watcher
from bench.server import Server, compiler, named_server, private_server
from bench.service import show_waits, waits, waits_page
from bench.table import markdown, numbers, show
from bench.where import LOGGING, show_clients, show_server

OUT = Path(__file__).with_name("out")
WIDTH = 190
SECONDS_BETWEEN_LINES = 10
BUSY_BEFORE = os.getloadavg()[0]
"""Of the machine, by others: above a half or so, times are those of a busy machine."""
PROFILED_STEPS = 3200
"""Of all runs together."""
TIMES, FEW_TIMES = 40, 5
PAINTS = 20
"""Of a page."""
LONG, FEW_TRANSITIONS = 10_000, 200
"""Of the run whose page is painted."""
UNITS = {"us": 1, "µs": 1, "ms": 1000, "s": 1_000_000}

HELP = """
Measure what a step costs: one table from one run, every engine on the same PostgreSQL with fsync on.

The rows are measured turn about, each in a database of its own, by the same number of processes. All runs of a
measurement wait for each other inside their first and inside their last step, and only what lies between counts: so
many steps, without starting, finishing and warming up. Commits are counted in the write-ahead log, so they are exact;
times are good as ratios of one run only. The results go to bench/out as Markdown and JSON as well.

Rows: {rows}.
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(help=HELP.format(rows=", ".join(row.name for row in known.rows())))
def main(
    *,
    rows: Annotated[str, typer.Option(help="Only these rows, with commas between.")] = "",
    at: Annotated[str, typer.Option(help="How many runs at once.")] = "1,8,32",
    rounds: Annotated[int, typer.Option(help="How often each is measured; the median counts.", min=1)] = 5,
    steps: Annotated[int, typer.Option(help="Steps of a run; 0 leaves it to the number of runs.", min=0)] = 0,
    processes: Annotated[int, typer.Option(help="Processes that drive the runs, the same for every row.", min=1)] = 2,
    slow_fsync: Annotated[
        str, typer.Option(help="Measure again with every flush of the log this much slower, such as 1ms (needs cc).")
    ] = "",
    database: Annotated[str, typer.Option(help="Measure on this server instead of a private one.")] = "",
    check: Annotated[
        bool, typer.Option(help="Compare with what is promised; exit code 1 where it is not kept.")
    ] = False,
    quick: Annotated[bool, typer.Option(help="A few steps, to see that all of it works.")] = False,
    profile: Annotated[
        bool, typer.Option(help="No table: which lines and statements cost what, for each of --rows (or: effect).")
    ] = False,
    growth: Annotated[
        bool, typer.Option(help="No table: one long run of 100, 1,000 and 10,000 steps, drawn as a plot as well.")
    ] = False,
    service: Annotated[
        bool, typer.Option(help="No table: how long people wait for the service and its worker, and callers for a run.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the results are written.")] = OUT,
    into: Annotated[
        Path | None, typer.Option(help="Put them into this page as well, such as docs/performance.md.")
    ] = None,
) -> None:
    """See HELP."""
    console = Console(width=None if Console().is_terminal else WIDTH)
    size = Size(
        levels=_numbers(at) if not quick else (1, 4),
        rounds=rounds if not quick else 1,
        processes=processes,
        steps={} if quick else STEPS,
    )
    if steps or quick:
        size = Size(size.levels, size.rounds, size.processes, dict.fromkeys(size.levels, steps or FEW_STEPS // 2))
    chosen = _chosen(rows or ("effect" if profile else ""))
    if profile:
        _profile(chosen, size, console)
        return
    if growth:
        _growth(FEW if quick else SIZES, database, out, into, console)
        return
    if service:
        _service(FEW_TIMES if quick else TIMES, database, out, into, check=check, console=console)
        return
    results = []
    for delay in _delays(slow_fsync, console):
        with _told(console) as say, _server(database, delay) as server, Stand(server, size.processes) as stand:
            results.append(measure(stand, chosen, size, disk=_disk(server, delay), say=say))
        show(results[-1], console)
    _write(results, out)
    if into is not None:
        put(into, "table", "\n".join(markdown(result) for result in results))
        put(into, "promises", "\n".join(promises(result) for result in results))
    if check and False in {_kept(result, console) for result in results}:
        raise typer.Exit(1)


def _profile(rows: Sequence[known.Row], size: Size, console: Console) -> None:
    """Clients and server apart: a server that logs every statement is slower."""
    if watcher() is None:
        raise typer.BadParameter("--profile needs py-spy: pip install -e '.[bench]'")
    levels = [(runs, PROFILED_STEPS // runs) for runs in size.levels]
    with private_server() as server, Stand(server, size.processes) as stand:
        for row, (runs, steps) in itertools.product(rows, levels):
            show_clients(stand, row, runs, steps, console)
    with private_server(settings=LOGGING) as server, Stand(server, size.processes) as stand:
        for row, (runs, steps) in itertools.product(rows, levels):
            show_server(stand, row, runs, steps // 4, console)


def _growth(sizes: Sequence[int], database: str, out: Path, into: Path | None, console: Console) -> None:
    with _told(console) as say, _server(database, None) as server:
        found, disk = grow(server, sizes, say=say), _disk(server, None)
    show_growth(found, disk, console)
    write_growth(found, disk, out)
    if into is not None:
        put(into, "growth", (out / "growth.md").read_text())
        plot(found, into.with_name("growth.svg"))


def _service(times: int, database: str, out: Path, into: Path | None, *, check: bool, console: Console) -> None:
    with _server(database, None) as server:
        painted = paints(server, min(times, PAINTS), transitions=LONG if times == TIMES else FEW_TRANSITIONS)
        found, disk = [*waits(server, times), *painted], _disk(server, None)
    show_waits(found, disk, console)
    out.mkdir(parents=True, exist_ok=True)
    (out / "service.md").write_text(page := waits_page(found, disk))
    if into is not None:
        put(into, "service", page)
    if check and not all(one.kept for one in found):
        raise typer.Exit(1)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _chosen(names: str) -> list[known.Row]:
    everything = known.rows()
    if not names:
        return [row for row in everything if row.standard]
    by_name = {row.name: row for row in everything}
    if unknown := [name for name in names.split(",") if name not in by_name]:
        raise typer.BadParameter(f"no row {', '.join(unknown)} here; there are {', '.join(by_name)}")
    return [by_name[name] for name in names.split(",")]


def _delays(text: str, console: Console) -> list[timedelta | None]:
    if not text:
        return [None]
    found = re.fullmatch(r"([\d.]+)\s*(us|µs|ms|s)", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time; write 1ms")
    if compiler() is None:
        console.print("There is no C compiler here (cc), so slow flushes are left out.")
        return [None]
    return [None, timedelta(microseconds=float(found[1]) * UNITS[found[2]])]


@contextmanager
def _server(database: str, delay: timedelta | None) -> Iterator[Server]:
    with named_server(database) if database else private_server(delay=delay) as server:
        yield server


def _disk(server: Server, delay: timedelta | None) -> str:
    slowed = "" if delay is None else f", every flush {delay / timedelta(milliseconds=1):g} ms slower"
    settings = ", ".join(f"{name} {server.setting(name)}" for name in ("fsync", "synchronous_commit"))
    machine = f"{os.cpu_count()} CPUs, load {BUSY_BEFORE:.1f} before"
    return f"PostgreSQL {server.setting('server_version')}, {settings}{slowed}, {machine}"


@contextmanager
def _told(console: Console) -> Iterator[Say]:
    """Progress: on a terminal a line that changes, elsewhere a line now and then."""
    if console.is_terminal:
        with console.status("setting up") as status:
            yield status.update
        return
    last = time.monotonic()

    def say(what: str) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(what, file=sys.stderr, flush=True)

    yield say


def _write(results: Sequence[Result], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text("\n".join(markdown(result) for result in results))
    (out / "numbers.json").write_text(json.dumps([numbers(result) for result in results], indent=1) + "\n")


def _kept(result: Result, console: Console) -> bool:
    table = Table(title=f"Promises ({result.disk})", title_justify="left", pad_edge=False)
    for name in ("", "", "promised", "measured"):
        table.add_column(name)
    found = list(checks(result))
    for line in found:
        table.add_row("ok" if line.passed else "FAIL", line.what, line.limit, line.found)
    console.print(table)
    return all(line.passed for line in found)


def _stop(_signal: int, _frame: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)  # past every `finally`: the private server is stopped and deleted


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except Broken as error:
        sys.exit(f"The measurement failed.\n{error}")
