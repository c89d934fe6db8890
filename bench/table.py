"""Showing a result: one table on the terminal, the same as Markdown, and the numbers as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Result, Series, ratio
from bench.rows import STOCK

COLUMNS = (
    "runs",
    "",
    "door",
    "supersteps",
    "ms/step",
    "best",
    "steps/s",
    "time × stock",
    "commits",
    "WAL B",
    "table B",
    "CPU ms client",
    "server",
    "after a kill -9, safe is",
)
TEXT_COLUMNS = {"", "door", COLUMNS[-1]}


def show(result: Result, console: Console) -> None:
    """Print a result."""
    table = Table(title=title(result), title_justify="left", pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in TEXT_COLUMNS else "right", overflow="fold")
    for level in result.levels:
        for series in (one for one in result.series if one.runs == level):
            table.add_row(*cells(result, series))
        table.add_section()
    console.print(table)


def markdown(result: Result) -> str:
    """The same as a Markdown table."""
    lines = [
        "| " + " | ".join(COLUMNS) + " |",
        "| " + " | ".join("---" if name in TEXT_COLUMNS else "---:" for name in COLUMNS) + " |",
    ]
    lines += ["| " + " | ".join(cells(result, series)) + " |" for series in result.series]
    return f"{title(result)}\n\n" + "\n".join(lines) + "\n"


def title(result: Result) -> str:
    """What every number of the table shares."""
    rounds = max(len(one.stretches) for one in result.series)
    processes = "1 process" if result.processes == 1 else f"{result.processes} processes (one where there is one run)"
    return f"{result.disk}; {processes} for every row; per step, median of {rounds} rounds turn about"


def cells(result: Result, series: Series) -> list[str]:
    """One line of the table."""
    stock = result.at(STOCK.name, series.runs)
    server = series.server_ms
    return [
        str(series.runs),
        series.row.title,
        series.row.door,
        "" if series.transitions is None else f"{series.transitions:.1f}",
        f"{series.ms:.2f}",
        f"{series.best_ms:.2f}",
        f"{series.rate:.0f}",
        "" if stock is None else f"{ratio(series, stock):.2f}",
        f"{series.commits:.2f}",
        f"{series.wal_bytes:.0f}",
        f"{series.table_bytes:.0f}",
        f"{series.client_ms:.2f}",
        "" if server is None else f"{server:.2f}",
        series.row.guarantees,
    ]


def numbers(result: Result) -> dict[str, Any]:
    """Everything that was measured, for other programs."""
    return {
        "disk": result.disk,
        "processes": result.processes,
        "rows": [
            {
                "row": one.row.name,
                "title": one.row.title,
                "door": one.row.door,
                "unit": one.row.unit,
                "runs": one.runs,
                "supersteps_per_step": one.transitions,
                "ms_per_step": one.each_ms,
                "steps_per_second": one.rate,
                "commits_per_step": one.commits,
                "wal_bytes_per_step": one.wal_bytes,
                "table_bytes_per_step": one.table_bytes,
                "client_cpu_ms_per_step": one.client_ms,
                "server_cpu_ms_per_step": one.server_ms,
            }
            for one in result.series
        ],
    }
