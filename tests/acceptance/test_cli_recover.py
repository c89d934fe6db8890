"""Tries to recover a run by hand into a mess: killed in the middle, without a word, twice, or without a reason."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from tests.acceptance.processes import HERE
from tests.acceptance.shell import Said, Shell

from gatepost.state.crash import VARIABLE
from gatepost.testing import Database


class Ground:
    """The fair, its book, and the shell beside it."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        shutil.copy(HERE / "fair.py", folder)

    def run(self, *arguments: str, crash: str = "") -> Said:
        more = {VARIABLE: crash} if crash else {}
        return Shell(self.folder, self.database, **more).bare(
            "--workflows", "fair:WORKFLOWS", "--policy", "allow.cedar", *arguments
        )

    def breaks(self, what: str) -> None:
        (self.folder / "broken").write_text(what)

    def book(self) -> list[str]:
        return [line.split()[1] for line in (self.folder / "book").read_text().splitlines()]


@pytest.fixture
def ground(tmp_path: Path, gatepost_database: Database) -> Ground:
    found = Ground(tmp_path, gatepost_database.url)
    found.breaks("+gate")
    return found


def test_a_failed_run_is_shown_what_would_become_of_it_and_recovered(ground: Ground) -> None:
    assert ground.run("run", "--goal", "fair", "--id", "r1").code == 4
    looked = ground.run("run", "recover", "r1", "--mode", "rollback")
    assert looked.code == 3
    assert [line.split()[:2] for line in looked.lines if line.startswith("undo")] == [
        ["undo", "light"],
        ["undo", "stall"],
    ]
    assert "nothing was done. To do it: gatepost --workflows fair:WORKFLOWS" in looked.err
    assert ground.book() == ["+stall", "+light"]
    assert (ground.run("run", "recover", "r1", "--mode", "rollback", "--yes")).code == 2, "nobody said why"
    tried = ground.run("step", "retry", "r1", "gate", "--reason", "let us see", "--as", "olga")
    assert "[operator] retry gate by olga(let us see)" in tried.lines
    assert "answer_received" not in tried.out
    assert (tried.code, "[step] gate=not_done" in tried.out or "gate=" in tried.out) == (4, True)
    skipped = ground.run("step", "skip", "r1", "gate", "--reason", "no gate this year", "--as", "olga")
    assert (skipped.code, ground.book()) == (0, ["+stall", "+light"])
    late = ground.run("run", "recover", "r1", "--mode", "rollback", "--reason", "rain", "--yes")
    assert (late.code, "nothing is left to recover" in late.err) == (2, True)
    told = [json.loads(line) for line in ground.run("export", "r1").lines]
    said = [(event["to"], event["why"]) for event in told if event["what"] == "intervention"]
    assert said == [("retry", "let us see"), ("skip", "no gate this year")]


def test_what_was_and_was_not_undone_is_shown(ground: Ground) -> None:
    ground.run("run", "--goal", "fair", "--id", "r1")
    ground.breaks("-light")
    undone = ground.run("run", "recover", "r1", "--mode", "rollback", "--reason", "rain", "--yes")
    assert undone.code == 4
    shown = ground.run("run", "show", "r1")
    assert "compensation_failed: " in shown.lines[0]
    assert "not undone light (NotDone: -light is broken)" in shown.lines
    assert "undone   stall" in shown.lines
    assert "r1" in ground.run("run", "list", "--status", "compensation_failed").out
    ground.breaks("nothing")
    again = ground.run("run", "recover", "r1", "--mode", "resume", "--reason", "dry again", "--yes")
    assert (again.code, ground.book()) == (4, ["+stall", "+light", "-stall", "-light"])
    assert json.loads(ground.run("run", "show", "r1", "--json").out)["status"] == "compensated"


@pytest.mark.parametrize("instant", ["commit.before.operator", "commit.after.operator", "undo.call.after"])
def test_killed_while_it_is_rolled_back_it_is_rolled_back_once(ground: Ground, instant: str) -> None:
    ground.run("run", "--goal", "fair", "--id", "r1")
    options = ("--reason", "rain", "--yes")
    killed = ground.run("run", "recover", "r1", "--mode", "rollback", *options, crash=instant)
    assert killed.code == -signal.SIGKILL
    ended = ground.run("run", "resume", "r1")
    assert (ended.code, ground.book()) == (4, ["+stall", "+light", "-light", "-stall"])
    assert json.loads(ground.run("run", "show", "r1", "--json").out)["status"] == "compensated"
