"""Showing growth: a table on the terminal, the same as Markdown, the numbers as JSON, and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.growth import STOCK_MOST, Grown

COLUMNS = ("", "steps", "s", "ms/step", "table B/step", "WAL B/step", "RSS MB", "resume s", "get_state s", "page s")
MEGA = 1024 * 1024


def show_growth(found: Sequence[Grown], disk: str, console: Console) -> None:
    """Print it."""
    table = Table(title=f"One long run; {disk}", title_justify="left", pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right" if name else "left")
    for one in found:
        table.add_row(*_cells(one))
    console.print(table)


def write_growth(found: Sequence[Grown], disk: str, out: Path) -> None:
    """growth.md, growth.json and, where matplotlib is installed, growth.svg."""
    out.mkdir(parents=True, exist_ok=True)
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    lines += ["| " + " | ".join(_cells(one)) + " |" for one in found]
    note = f"LangGraph with a growing list was measured up to {STOCK_MOST} steps: what it writes grows with the square."
    (out / "growth.md").write_text(f"{disk}\n\n" + "\n".join(lines) + f"\n\n{note}\n")
    (out / "growth.json").write_text(
        json.dumps({"disk": disk, "runs": [asdict(one) for one in found]}, indent=1) + "\n"
    )
    plot(found, out / "growth.svg")


def _cells(one: Grown) -> list[str]:
    return [
        one.title,
        str(one.steps),
        f"{one.seconds:.1f}",
        f"{1000 * one.seconds / one.steps:.2f}",
        f"{one.table_bytes:.0f}",
        f"{one.wal_bytes:.0f}",
        f"{one.peak_bytes / MEGA:.0f}",
        f"{one.resume_seconds:.2f}",
        f"{one.state_seconds:.2f}",
        f"{one.page_seconds:.2f}",
    ]


def plot(found: Sequence[Grown], file: Path) -> None:
    """Bytes and time of a step, and memory, over the length of the run."""
    try:
        import matplotlib as mpl  # noqa: PLC0415
    except ImportError:
        return
    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "gatepost", "font.size": 9})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    for panel, (name, scale, value) in zip(panels, PANELS, strict=True):
        for title in dict.fromkeys(one.title for one in found):
            points = [one for one in found if one.title == title]
            panel.plot([one.steps for one in points], [value(one) for one in points], marker="o", label=title)
        panel.set(xscale="log", yscale=scale, xlabel="steps of the run", title=name)
        if scale == "linear":
            panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


PANELS = (
    ("table bytes per step", "log", lambda one: one.table_bytes),
    ("ms per step", "linear", lambda one: 1000 * one.seconds / one.steps),
    ("peak memory, MB", "linear", lambda one: one.peak_bytes / MEGA),
)
