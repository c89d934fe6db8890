"""Tries to resolve an effect that is known, or in two ways at once, and to have one told of that nobody may see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.acceptance.shell import Shell

from gatepost.state.effect import key_of
from gatepost.testing import Database


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    return Shell(tmp_path, gatepost_database.url)


def test_effects_are_listed_shown_and_resolved(shell: Shell) -> None:
    for run in ("r1", "r2"):
        shell.run("--policy", "allow.cedar", "run", "--goal", "vanish", "--id", run)
    key, other = (key_of(tenant="local", root_run=run, step="vanish") for run in ("r1", "r2"))
    listed = json.loads(shell.run("effect", "list", "--unknown", "--json").out)
    assert {(row["key"], row["state"]) for row in listed} == {(key, "in_doubt"), (other, "in_doubt")}
    shown = shell.run("effect", "show", key[:12])
    assert shown.code == 0
    assert "state        in_doubt" in shown.out
    assert f"effect resolve {key} --did-not-happen" in shown.err
    for wrong in ((), ("--happened", "--did-not-happen"), ("--undo",), ("--happened", "--result", "7")):
        assert shell.run("effect", "resolve", key, *wrong).code == 2
    said = shell.run("effect", "resolve", key, "--happened", "--result", '{"word": "gone"}', "--as", "alice")
    assert (said.code, said.lines[:2]) == (0, ["[resume] answer_received", "[step] vanish=gone"])
    recorded = shell.run("effect", "resolve", other, "--did-not-happen", "--no-run")
    assert (recorded.code, recorded.out.startswith("recorded: reject by ")) == (0, True)
    assert shell.run("run", "resume", "r2").code == 4
    assert shell.run("effect", "list", "--unknown").out.strip() == ""
    assert shell.run("effect", "list", "--run", "r1").out.count("succeeded") == 1
    again = shell.run("effect", "resolve", key, "--happened")
    assert (again.code, "is known: it succeeded" in again.err) == (2, True)
    assert shell.run("effect", "show", "eff_0").code == 6
    assert len(shell.booked()) == 2
