"""From stacks and the server's own clocks to "this line costs so much": what `--profile` shows."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console
from rich.table import Table

from bench.measure import Stand, watch
from bench.profile import Line, Stacks
from bench.rows import Row

ROOT = str(Path(__file__).resolve().parent.parent)
OURS = re.compile(r"/((?:state|checkpointing|nodes|graph)/\w+\.py)$")
PACKAGE = re.compile(r"/site-packages/([^/]+)/")
TOP = 30
LOGGING = {"log_min_duration_statement": "0", "track_functions": "pl", "log_line_prefix": "%d|"}
DURATION = re.compile(
    r"^(?P<database>[^|\n]*)\|LOG:\s+duration: (?P<ms>[\d.]+) ms\s+(?P<phase>\w+) [^:]*: (?P<sql>.*)$"
)
FUNCTIONS = """
SELECT funcname, calls, total_time, self_time FROM pg_stat_user_functions WHERE calls > 0 ORDER BY self_time DESC
"""
Shares = collections.Counter[str]


def show_clients(stand: Stand, row: Row, runs: int, steps: int, console: Console) -> None:
    """Look at the processes of a row and say which lines cost what, in CPU time of a step."""
    stretch, stacks = watch(stand, row, runs, steps)
    seen = max(stacks.total(), 1)
    ms = 1000 * stretch.client_seconds / stretch.steps
    server = stretch.counted.server_seconds
    console.print(
        f"\n{row.name}, {runs} at once: {1000 * stretch.seconds * runs / stretch.steps:.2f} ms a step; CPU time "
        f"{ms:.2f} ms client, {1000 * (server or 0) / stretch.steps:.2f} ms server; {seen} stacks seen at work"
    )
    for what, shares in (
        ("package of the innermost frame", _shares(stacks, _package_of)),
        ("innermost line of ours", _shares(stacks, _our_line)),
        ("line of ours, with all that it calls", _within(stacks, _ours)),
        ("function anywhere, with all that it calls", _within(stacks, _function)),
        ("innermost frame", _shares(stacks, lambda stack: _function(stack[0]))),
    ):
        table = Table(title=f"by {what}", title_justify="left", show_header=False)
        for justify in ("right", "right", "left"):
            table.add_column(justify=justify, no_wrap=True)
        for name, count in shares.most_common(TOP):
            table.add_row(f"{100 * count / seen:.1f} %", f"{ms * count / seen:.3f} ms", name)
        console.print(table)


def show_server(stand: Stand, row: Row, runs: int, steps: int, console: Console) -> None:
    """Let the server log how long each statement and function took, and add it up."""
    assert stand.server.place is not None
    log, url = stand.server.place.log, stand.url(row)
    began = log.stat().st_size
    ids = [f"logged-{runs}-{index}" for index in range(runs)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_reset()")
        stand.crew(row).measure(stand.server, row.name, url, runs=ids, stops=(0, steps))
        functions = connection.execute(FUNCTIONS).fetchall()
    said = log.read_bytes()[began:].decode(errors="replace")
    table = Table(title=f"{row.name}, {runs} × {steps} steps: statements, starting and warming up included")
    for name in ("statement", "calls", "ms each", "ms all"):
        table.add_column(name, justify="left" if name == "statement" else "right", no_wrap=True)
    for sql, times in _statements(said, str(conninfo_to_dict(url)["dbname"]))[:TOP]:
        table.add_row(sql, str(len(times)), f"{sum(times) / len(times):.3f}", f"{sum(times):.1f}")
    table.add_section()
    for name, calls, total, own in functions:
        table.add_row(f"{name}(), {own / calls:.3f} ms of its own", str(calls), f"{total / calls:.3f}", f"{total:.1f}")
    console.print(table)


def _statements(log: str, database: str) -> list[tuple[str, list[float]]]:
    found: dict[str, list[float]] = {}
    for line in log.splitlines():
        if (said := DURATION.match(line)) and said["database"] == database:
            found.setdefault(f"{said['phase']:7} {said['sql'].strip()[:90]}", []).append(float(said["ms"]))
    return sorted(found.items(), key=lambda item: -sum(item[1]))


def _shares(stacks: Stacks, name: Callable[[tuple[Line, ...]], str]) -> Shares:
    shares: Shares = collections.Counter()
    for stack, count in stacks.items():
        shares[name(stack)] += count
    return shares


def _within(stacks: Stacks, name: Callable[[Line], str | None]) -> Shares:
    shares: Shares = collections.Counter()
    for stack, count in stacks.items():
        for shown in {shown for line in stack if (shown := name(line))}:
            shares[shown] += count
    return shares


def _ours(line: Line) -> str | None:
    file, number, function = line
    found = OURS.search(file) if file.startswith(ROOT) and "site-packages" not in file else None
    return f"{found[1]}:{number} {function}()" if found else None


def _our_line(stack: tuple[Line, ...]) -> str:
    return next((shown for line in stack if (shown := _ours(line))), "(none of ours: the engine itself)")


def _package_of(stack: tuple[Line, ...]) -> str:
    found = PACKAGE.search(stack[0][0])
    return found[1] if found else "gatepost" if _ours(stack[0]) else "Python's own, and the bench"


def _function(line: Line) -> str:
    return f"{line[0].split('site-packages/')[-1].split('/lib/python')[-1].removeprefix(ROOT)} {line[2]}()"
