"""Tries to catch the README lying: its diagram is the compiled graph's, its example is run, its tests exist."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from gatepost import FixedPlan, GatepostGraph, Lease, Plan, Workflow, tool
from gatepost.testing import Database
from gatepost.testing.plugin import GraphFactory

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
KILLED_HERE = "    # kill -9 this process here"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(code: str, database: Database) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GATEPOST_DATABASE_URL": database.url}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_diagram_is_the_compiled_graphs(gatepost_graph: GraphFactory) -> None:
    @tool(effect="read")
    def look() -> None:
        return None

    workflow = Workflow(name="w", goals=("g",), strategy=FixedPlan(Plan(steps=())), tools=(look,))
    graph: GatepostGraph = gatepost_graph([workflow])
    assert blocks("mermaid") == [graph.get_graph().draw_mermaid().strip() + "\n"]


def test_example_runs_and_goes_on_after_a_kill(gatepost_database: Database) -> None:
    example = blocks("python")[0]
    before, found, _ = example.partition(KILLED_HERE)
    assert found
    killed = run(f"{before}    import os; os.kill(os.getpid(), {int(signal.SIGKILL)})\n", gatepost_database)
    assert killed.returncode == -signal.SIGKILL
    gatepost_database.clock.shift(by=_a_lease())
    again = run(example, gatepost_database)
    assert again.returncode == 0, again.stderr
    assert "succeeded charged ada 4200 under eff_" in again.stdout


def test_example_of_a_users_test_passes(tmp_path: Path) -> None:
    sale, users = blocks("python")
    declared = sale.partition("with open_checkpointer()")[0]
    (tmp_path / "test_sale.py").write_text(
        declared
        + '@tool(name="charge", effect="write", on_doubt="retry")\n'
        + 'def fake_charge(customer: str, cents: int) -> str:\n    return "fake"\n\n'
        + 'config = {"configurable": {"thread_id": "sale-1"}}\n\n'
        + users
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_sale.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_every_test_it_names_exists() -> None:
    named = re.findall(r"`(tests/[^`]+\.py)`", README)
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_its_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {command for block in blocks("sh") for command in re.findall(r"^make (\w+)", block, re.MULTILINE)} <= targets


def _a_lease() -> timedelta:
    return Lease().ttl
