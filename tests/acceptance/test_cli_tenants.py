"""Tries to reach what is another tenant's from the command line, and to tell it from what there is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance import parked
from tests.acceptance.processes import HERE
from tests.acceptance.shell import Shell
from typer.testing import CliRunner

from gatepost import RunContext
from gatepost.service.cli.app import app
from gatepost.testing import Database

MODULE = ("--workflows", "parked:WORKFLOWS")
ACME = ("--tenant", "acme")


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database, gatepost_graph: Any) -> Shell:
    """Where acme has a run that waits for a person."""
    shutil.copy(HERE / "parked.py", tmp_path)
    graph = gatepost_graph(parked.WORKFLOWS)
    who = RunContext(tenant="acme", principal="olga")
    asked = graph.invoke({"goal": "sale"}, {"configurable": {"thread_id": "acme-run"}}, context=who)
    assert asked["status"] == "blocked"
    return Shell(tmp_path, gatepost_database.url)


def test_people_of_another_tenant(shell: Shell) -> None:
    assert shell.bare("role", "grant", "alice", "finance", *ACME).code == 0
    given = shell.bare("delegation", "give", "--to", "bob", "--until", "3d", "--as", "alice", *ACME)
    assert given.code == 0, given.err
    assert [row["principal"] for row in json.loads(shell.bare("role", "list", "--json", *ACME).out)] == ["alice"]
    (delegation,) = json.loads(shell.bare("delegation", "list", "--json", *ACME).out)
    for mine in (("role", "list", "--json"), ("delegation", "list", "--json")):
        assert json.loads(shell.bare(*mine).out) == []
    number = delegation["delegation_id"]
    foreign, unknown = (shell.bare("delegation", "end", one) for one in (number, "del_0000"))
    assert (foreign.code, foreign.err.replace(number, "X")) == (unknown.code, unknown.err.replace("del_0000", "X"))
    assert foreign.code == 6
    assert shell.bare("delegation", "end", number, *ACME).code == 0
    assert "did not hold" in shell.bare("role", "revoke", "alice", "finance").out
    assert "no longer holds" in shell.bare("role", "revoke", "alice", "finance", *ACME).out
    assert shell.bare("role", "list", "--tenant", "").code == 2


OF_A_RUN = (
    ("export", "ID"),
    ("run", "recover", "ID", "--mode", "abandon", "--yes", "--reason", "x"),
    ("run", "show", "ID"),
    ("run", "why", "ID"),
    ("run", "hold", "ID"),
    ("run", "release", "ID"),
    ("run", "cancel", "ID"),
    ("run", "resume", "ID"),
    ("step", "retry", "ID", "book", "--reason", "x"),
    ("step", "skip", "ID", "book", "--reason", "x"),
    ("history", "ID"),
    ("replay", "ID"),
    ("fork", "ID", "--at", "1"),
    ("effect", "list", "--run", "ID"),
)
OF_AN_APPROVAL = (
    ("approval", "show", "ID"),
    ("approval", "approve", "ID"),
    ("approval", "reject", "ID"),
    ("approval", "edit", "ID", "--set", "customer=x"),
    ("approval", "respond", "ID", "x"),
    ("approval", "comment", "ID", "x"),
    ("approval", "link", "ID", "--for", "bob"),
)


def test_what_is_another_tenants_is_as_unknown_as_any(shell: Shell) -> None:
    """In this process: what is looked for is not found, and nothing after that is reached."""

    def said(command: tuple[str, ...], named: str, *tenant: str) -> tuple[int, str]:
        words = [named if word == "ID" else word for word in command]
        found = CliRunner().invoke(app, [*words, *tenant], env={**shell.environment, "GATEPOST_LINK_KEYS": "k" * 40})
        of = f" {' '.join(tenant)}" if tenant else "\0"
        assert found.output.count(of) == len(tenant) / 2, "the command that helps is for the same tenant"
        return found.exit_code, found.output.replace(named, "X").replace(of, "")

    asked = shell.question("acme-run")
    for commands, theirs, unknown in ((OF_A_RUN, "acme-run", "nothing"), (OF_AN_APPROVAL, asked, "apr_none")):
        for command in commands:
            nobodys = said(command, unknown)
            assert nobodys[0] == 6, (command, nobodys)
            asked_otherwise = ((theirs,), (theirs, "--tenant", "globex"), (theirs[:5],))
            for foreign in (said(command, *words) for words in asked_otherwise):
                assert foreign == nobodys, command
    assert shell.rows("SELECT status::text FROM gatepost.approval") == [{"status": "open"}]


def test_a_run_is_started_followed_and_answered_for_another_tenant(shell: Shell) -> None:
    started = shell.bare(*MODULE, "run", "start", "--goal", "sale", "--id", "new", "--as", "olga", *ACME)
    assert started.code == 3
    (command,) = [line for line in started.err.splitlines() if " approval approve " in line]
    assert " --tenant acme" in command
    assert [row["run_id"] for row in json.loads(shell.bare("run", "list", "--json", *ACME).out)] == ["new", "acme-run"]
    assert "--tenant acme" in shell.bare("run", "why", "new", *ACME).out
    asked = shell.question("new")
    answered = shell.bare(*MODULE, "approval", "approve", asked, "--as", "alice", *ACME)
    assert (answered.code, answered.lines[0]) == (0, "[resume] approval_received"), answered
    (row,) = shell.rows("SELECT tenant, status::text, requested_by FROM gatepost.run WHERE run_id = 'new'")
    assert row == {"tenant": "acme", "status": "succeeded", "requested_by": "olga"}


def test_exported_and_recovered_for_another_tenant(shell: Shell) -> None:
    report, lines = shell.folder / "r.html", shell.folder / "r.jsonl"
    exported = shell.bare("export", "acme", "--out", str(lines), "--html", str(report), *ACME)
    assert (exported.code, "acme-run" in report.read_text()) == (0, True)
    assert shell.bare("export", "--verify", str(lines)).code == 0
    assert '"acme-run"' in shell.bare("export", "acme", "--replayable", *ACME).out
    recover = ("run", "recover", "acme", "--mode", "abandon", "--reason", "no longer wanted", *ACME)
    looked = shell.bare(*MODULE, *recover)
    assert looked.code == 3
    assert "--tenant acme" in looked.err
    done = shell.bare(*MODULE, *recover, "--yes", "--as", "olga")
    assert (done.code, "acme-run is cancelled" in done.out) == (0, True), done


def test_the_doctor_looks_at_every_tenant(shell: Shell) -> None:
    started = shell.bare(*MODULE, "run", "start", "--detach", "--goal", "sale", "--id", "left", *ACME)
    assert started.code == 0, started.err
    sick = shell.bare("doctor")
    assert (sick.code, "✗ unmoved of acme: nobody moves left\n" in sick.out) == (7, True), sick
    assert "run resume left --tenant acme\n" in sick.out
    assert "✓ runs: 2 unfinished, 1 blocked, 1 open approvals\n" in sick.out
    (found,) = [row for row in json.loads(shell.bare("doctor", "--json", *ACME).out) if row["name"] == "unmoved"]
    assert (found["tenant"], found["ok"]) == ("acme", False)
    healthy = shell.bare("doctor", "--tenant", "local")
    assert (healthy.code, "✓ runs: 0 unfinished" in healthy.out) == (0, True), healthy
    assert shell.bare("doctor", "--tenant", "").code == 2
