"""Tries to lose an answer, or what another policy says of a question, by SIGKILL of whoever moves the run just then."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from tests.acceptance.processes import HERE, wait_until
from tests.acceptance.shell import Shell

from gatepost.testing import Database

MODULE = ("--workflows", "parked:WORKFLOWS")
QUICK = ("--lease", "1s", "--sweep", "200ms")
ALLOWS = """
permit (principal, action == Action::"run", resource);
permit (principal, action == Action::"decide", resource);
"""


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    shutil.copy(HERE / "parked.py", tmp_path)
    (tmp_path / "allows.cedar").write_text(ALLOWS)
    return Shell(tmp_path, gatepost_database.url)


def test_an_answer_to_a_run_that_waits_for_a_time_wakes_it_when_its_owner_has_died(shell: Shell) -> None:
    assert shell.bare(*MODULE, "run", "start", "--goal", "both", "--id", "r", "--detach").code == 0
    shell.environment["GATEPOST_CRASH_AT"] = "lease.left"
    with shell.started(*MODULE, "worker", *QUICK) as worker:
        wait_until((shell.folder / "in").exists, seconds=30)
        del shell.environment["GATEPOST_CRASH_AT"]
        assert shell.bare(*MODULE, "approval", "approve", shell.question("r"), "--no-run").code == 0
        shell.open_door()
        assert worker.wait(timeout=30) == -signal.SIGKILL
    (left,) = shell.rows("SELECT status, owner IS NULL AS free FROM gatepost.run")
    assert left == {"status": "waiting", "free": False}
    wait_until(lambda: bool(shell.rows("SELECT FROM gatepost.run WHERE lease_expires_at < gatepost.now()")), seconds=30)
    (next_one,) = shell.rows("SELECT kind, detail FROM gatepost.next_mover")
    assert next_one == {"kind": "queue", "detail": "its question is answered"}
    assert shell.bare(*MODULE, "worker", *QUICK, "--until-idle").code == 0
    assert [what for _, what in shell.booked()] == ["ada"]
    (after,) = shell.rows("SELECT status, wake_at > gatepost.now() + interval '50 min' AS later FROM gatepost.run")
    assert after == {"status": "waiting", "later": True}, "the other step still waits for its time"


@pytest.mark.parametrize("instant", ["lease.taken", "withdrawal.after", "commit.before.policy_gate"])
def test_killed_while_another_policy_judges_an_open_question(shell: Shell, instant: str) -> None:
    shell.bare(*MODULE, "run", "start", "--goal", "sale", "--id", "r", "--detach")
    assert shell.bare(*MODULE, "worker", "--until-idle").code == 0
    changed = (*MODULE, "--policy", "allows.cedar", "worker", *QUICK)
    shell.environment["GATEPOST_CRASH_AT"] = instant
    with shell.started(*changed) as worker:
        assert worker.wait(timeout=30) == -signal.SIGKILL
    del shell.environment["GATEPOST_CRASH_AT"]
    (mover,) = shell.rows("SELECT kind FROM gatepost.next_mover")
    assert mover["kind"] != "nobody"
    with shell.started(*changed):
        wait_until(lambda: bool(shell.rows("SELECT FROM gatepost.run WHERE status = 'succeeded'")), seconds=20)
    assert [what for _, what in shell.booked()] == ["ada"]
    assert shell.rows("SELECT status FROM gatepost.approval") == [{"status": "void"}]
