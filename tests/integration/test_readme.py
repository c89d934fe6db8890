"""Tries to catch the README lying: its diagram is the compiled graph's, its example is run, its tests exist."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from gatepost import FixedPlan, GatepostGraph, Lease, Plan, Workflow, tool
from gatepost.state.effect import key_of
from gatepost.testing import Database
from gatepost.testing.plugin import GraphFactory

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
KILL = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
AT_THE_FIRST_COMMIT = f"""
from gatepost import Checkpointer
committed = Checkpointer.aput
async def put(*given, **more):
    await committed(*given, **more)
    {KILL}
Checkpointer.aput = put
"""
KEY = key_of(tenant="local", root_run="sale-1", step="charge")
KILLED = [
    pytest.param("if __name__", AT_THE_FIRST_COMMIT, id="before it pauses"),
    pytest.param(
        "            result = graph.invoke(Command", f"            {KILL}\n", id="while it waits for a person"
    ),
    pytest.param("    return f", f"    {KILL}\n", id="in the effect"),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(file: Path, code: str, database: Database) -> subprocess.CompletedProcess[str]:
    file.write_text(code)
    environment = {**os.environ, "GATEPOST_DATABASE_URL": database.url}
    command = [sys.executable, file.name]
    return subprocess.run(
        command, cwd=file.parent, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_diagram_is_the_compiled_graphs(gatepost_graph: GraphFactory) -> None:
    @tool(effect="read")
    def look() -> None:
        return None

    workflow = Workflow(name="w", goals=("g",), strategy=FixedPlan(Plan(steps=())), tools=(look,))
    graph: GatepostGraph = gatepost_graph([workflow])
    assert blocks("mermaid") == [graph.get_graph().draw_mermaid().strip() + "\n"]


@pytest.mark.parametrize(("before", "killed_by"), KILLED)
def test_example_says_the_same_in_the_end_wherever_it_was_killed(
    before: str, killed_by: str, tmp_path: Path, gatepost_database: Database
) -> None:
    example, file = blocks("python")[0], tmp_path / "sale.py"
    assert example.count(before) == 1
    killed = run(file, example.replace(before, killed_by + before), gatepost_database)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    gatepost_database.clock.shift(by=_a_lease())
    ends = [run(file, example, gatepost_database) for _ in range(2)]
    assert [end.returncode for end in ends] == [0, 0], [end.stderr for end in ends]
    assert {end.stdout.splitlines()[-1] for end in ends} == {f"succeeded charged ada 4200 under {KEY}"}


def test_example_of_a_users_test_passes(tmp_path: Path) -> None:
    sale, users = blocks("python")
    (tmp_path / "sale.py").write_text(sale)
    (tmp_path / "test_sale.py").write_text(users)
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
