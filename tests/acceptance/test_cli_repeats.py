"""The same answer again says what stands and is no failure, however the run ended; the doctor's rarer findings."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from tests.acceptance.shell import Shell

from gatepost.testing import Database


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    """A folder with the till, on this test's database."""
    return Shell(tmp_path, gatepost_database.url)


def test_repeated_no_is_no_failure(shell: Shell) -> None:
    shell.run("run", "--goal", "sell", "--id", "r1")
    reject = ("approval", "reject", shell.question("r1"), "--as", "alice", "--comment", "no")
    assert shell.run(*reject).code == 4
    again = shell.run(*reject)
    assert (again.code, again.out) == (0, "")
    assert "already recorded: reject by alice at 20" in again.err


def test_repeated_answer_leaves_the_next_question_alone(shell: Shell) -> None:
    shell.run("run", "--goal", "sell", "--id", "r1")
    respond = ("approval", "respond", shell.question("r1"), "look again", "--as", "alice")
    assert shell.run(*respond).code == 3
    again = shell.run(*respond)
    assert (again.code, again.out) == (0, "")


def test_repeated_answer_that_nobody_carried_out_is_carried_out(shell: Shell) -> None:
    shell.run("run", "--goal", "sell", "--id", "r1", "--as", "ada")
    approve = ("approval", "approve", shell.question("r1"), "--as", "alice")
    assert shell.run(*approve, "--no-run").code == 0
    assert shell.booked() == []
    again = shell.run(*approve)
    assert again.code == 0
    assert again.lines[:2] == ["[resume] approval_received", "[step] book=booked_100"]
    assert len(shell.booked()) == 1


def test_doctor_names_the_calls_of_an_owner_that_is_gone(shell: Shell, gatepost_database: Database) -> None:
    with shell.started(
        "--policy", "allow.cedar", "--workflows", "till:WORKFLOWS", "run", "--goal", "linger"
    ) as process:
        shell.until_in()
        process.kill()
        process.wait()
    gatepost_database.clock.shift(timedelta(seconds=11))
    assert "effects: begun by an owner that is gone, and settled when its run goes on: linger in run_" in (
        shell.run("doctor").out
    )


def test_doctor_names_a_workflow_that_is_broken(shell: Shell) -> None:
    shutil.copy(shell.folder / "allow.cedar", shell.folder / "torn.py")
    said = shell.bare("--workflows", "torn:WORKFLOWS", "doctor")
    assert said.code == 7
    assert "✗ workflows: the workflow 'torn:WORKFLOWS' cannot be imported (SyntaxError" in said.out
