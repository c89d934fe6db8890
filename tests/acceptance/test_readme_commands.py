"""Tries to catch the README lying about the command line: its commands are typed as they stand, but for the ids."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.acceptance.shell import SECONDS, Shell

from gatepost.examples.services import SERVICES_VARIABLE, ensure_services
from gatepost.testing import Database

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
WAITS = "run --goal"
"""The commands that leave a run waiting for a person; the others are through with 0."""


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database, services_url: str) -> Shell:
    (tmp_path / "sale.py").write_text(re.findall(r"```python\n(# sale.py\n.*?)```", README, re.DOTALL)[0])
    return Shell(tmp_path, gatepost_database.url, **{SERVICES_VARIABLE: services_url})


def typed(shell: Shell, line: str) -> str:
    """What a line of the README says on stdout and on stderr."""
    done = subprocess.run(
        ["bash", "-c", line], cwd=shell.folder, env=shell.environment, capture_output=True, timeout=SECONDS, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == (3 if WAITS in line else 0), f"{line}\n{said}"
    return said


def test_its_commands_do_what_it_says(shell: Shell) -> None:
    review, own = (
        block
        for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        if "gatepost run" in block or "--workflows" in block
    )
    start, *lines = review.splitlines()
    run = typed(shell, start).split()[1].removeprefix("id=")
    asked = shell.question(run)
    said = [typed(shell, line.replace("apr_1a2b", asked[:8]).replace("run_4f", run[:8])) for line in lines]
    assert asked in said[0]
    assert "onboarding_decision.json" in said[1]
    assert said[2].startswith(f"{run}  succeeded")
    assert said[3].endswith(f"{run} has ended: succeeded\n")
    assert '"decision"' in (shell.folder / f"{run[:8]}.jsonl").read_text()
    assert "✗" not in said[5]
    for line in own.splitlines():
        typed(shell, line)
    runs = shell.rows("SELECT run_id, status FROM gatepost.run WHERE workflow = 'sale' ORDER BY created_at")
    assert ([row["status"] for row in runs], runs[-1]["run_id"]) == (["blocked", "blocked"], "sale-2")


def test_embedded_server_lies_where_the_doctor_says_and_runs_until_it_is_stopped(shell: Shell) -> None:
    del shell.environment["GATEPOST_DATABASE_URL"]
    with tempfile.TemporaryDirectory(prefix="gp-") as home:  # short: a socket's path has a limit
        shell.environment["GATEPOST_HOME"] = home
        assert "no runs yet" in typed(shell, "gatepost run list")
        assert f"✓ embedded: {home}/data, " in typed(shell, "gatepost doctor")
        ensure_services(Path(home), environ={**shell.environment, SERVICES_VARIABLE: ""})
        stopped = [typed(shell, "gatepost doctor --stop-server").splitlines() for _ in range(2)]
    assert stopped == [
        ["stopped example services", "stopped the embedded server"],
        ["the embedded server was not running"],
    ]
