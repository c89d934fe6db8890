"""Tries to print a command that does something else than it says, or nothing at all, when it is pasted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from tests.acceptance.shell import SECONDS, TILL, Said, Shell

from gatepost.testing import Database

HIDDEN = "hunter two"


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    return Shell(tmp_path, gatepost_database.url)


def pasted(shell: Shell, said: Said, command: str) -> Said:
    """The one printed line that has this command in it, run by a shell as it was printed."""
    (line,) = [line for line in said.err.splitlines() if command in line]
    done = subprocess.run(
        ["bash", "-c", line], cwd=shell.folder, env=shell.environment, capture_output=True, timeout=SECONDS, check=False
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_printed_answers_work_when_they_are_pasted(shell: Shell) -> None:
    """Everything is said by options before the command, and nothing by the environment."""
    database = make_conninfo(shell.environment.pop("GATEPOST_DATABASE_URL"), password=HIDDEN)
    (shell.folder / "my policy.cedar").write_text(
        'permit (principal, action == Action::"run", resource) when { context.effect == "read" };\n'
        'permit (principal == User::"ada lovelace", action == Action::"decide", resource);'
    )
    before = ("--database", database, "--policy", "my policy.cedar", *TILL)
    asked = shell.bare(*before, "run", "--goal", "sell", "--id", "r1", "--as", "ada lovelace")
    assert (asked.code, HIDDEN in asked.err, "put it back" in asked.err) == (3, False, True)
    other = pasted(shell, asked, " respond apr_")
    assert (other.code, other.lines[0]) == (3, "[resume] response_received"), other
    sold = pasted(shell, other, " edit apr_")
    assert (sold.code, sold.lines[0]) == (0, "[resume] edit_received"), sold
    said = shell.rows("SELECT type, principal, comment, args::text FROM gatepost.decision ORDER BY at")
    assert [(row["type"], row["principal"]) for row in said] == [("respond", "ada lovelace"), ("edit", "ada lovelace")]
    assert [what for _, what in shell.booked()] == ["ada:100:"]


def test_nobody_is_named_in_a_printed_command_who_was_not_named(shell: Shell) -> None:
    asked = shell.run("run", "--goal", "sell", "--id", "r1")
    assert "--as NAME answers as somebody else" in asked.err
    assert pasted(shell, asked, " reject apr_").code == 4
    (decided,) = shell.rows("SELECT principal, authenticated FROM gatepost.decision")
    assert (decided["authenticated"], decided["principal"] != "NAME") == ("os-user", True)
