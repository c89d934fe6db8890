"""Tries to reach what is another tenant's from the command line, and to tell it from what there is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance import parked
from tests.acceptance.processes import HERE
from tests.acceptance.shell import Said, Shell

from gatepost import RunContext
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
    assert foreign.code == 2
    assert shell.bare("delegation", "end", number, *ACME).code == 0
    assert "did not hold" in shell.bare("role", "revoke", "alice", "finance").out
    assert "no longer holds" in shell.bare("role", "revoke", "alice", "finance", *ACME).out
    assert shell.bare("role", "list", "--tenant", "").code == 2


@pytest.mark.parametrize("more", [("export",), ("run", "recover", "--mode", "abandon", "--yes", "--reason", "x")])
def test_a_run_of_another_tenant_is_as_unknown_as_any(shell: Shell, more: tuple[str, ...]) -> None:
    def asked(run: str, *tenant: str) -> Said:
        return shell.bare(*MODULE, *more, run, *tenant)

    for foreign in (asked("acme-run"), asked("acme-run", "--tenant", "globex"), asked("acm")):
        said = foreign.err.replace("acme-run", "X").replace("acm", "X")
        assert (foreign.code, said) == (6, asked("nothing").err.replace("nothing", "X"))


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
