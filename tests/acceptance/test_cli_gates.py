"""Tries at the command line to be enough people alone, to answer without the role, and to type a value that is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.processes import HERE
from tests.acceptance.shell import Said, Shell
from typer.testing import CliRunner

from gatepost.service.cli.app import app
from gatepost.service.cli.exits import Exit
from gatepost.testing import Database


class Desk:
    """A shell that knows the payments."""

    def __init__(self, folder: Path, database: Database) -> None:
        shutil.copy(HERE / "gated.py", folder)
        self.shell = Shell(folder, database.url, GATED_BOOKS=str(folder / "books"))

    def say(self, *words: str) -> Said:
        """A command."""
        return self.shell.bare("--workflows", "gated:WORKFLOWS", *words)

    def ask(self, goal: str, run: str = "r1") -> str:
        """Start a payment; what is asked."""
        assert self.say("run", "--goal", goal, "--id", run, "--as", "ada").code == 3
        return self.shell.question(run)


@pytest.fixture
def desk(tmp_path: Path, gatepost_database: Database) -> Desk:
    return Desk(tmp_path, gatepost_database)


def test_two_people_with_the_role_one_of_them_through_a_delegate(desk: Desk) -> None:
    asked = desk.ask("chain")
    desk.shell.rows("UPDATE gatepost.approval SET decide_by = gatepost.now() + interval '1 day' RETURNING 1")
    refused = desk.say("approval", "approve", asked, "--as", "alice")
    assert (refused.code, refused.out) == (2, "")
    assert "it takes the role finance, and alice holds none" in refused.err
    assert "role grant alice finance` gives it" in refused.err
    for person in ("alice", "bob"):
        assert (
            desk.say("role", "grant", person, "finance", "--as", "hr").out == f"{person} now holds the role finance\n"
        )
    assert desk.say("role", "grant", "bob", "finance").out == "bob held already the role finance\n"
    first = desk.say("approval", "approve", asked[:8], "--as", "alice")
    more = "1 of 2; one more person with the role finance has to say yes to it"
    assert (first.code, first.out) == (3, f"recorded: approve by alice, {more}\n")
    assert (
        desk.say("approval", "approve", asked, "--as", "alice").out == f"already recorded: approve by alice, {more}\n"
    )
    assert "open, 1 said yes" in desk.say("approval", "list").out
    given = desk.say("delegation", "give", "--to", "dan", "--role", "finance", "--until", "3d", "--as", "bob")
    assert given.code == 0
    second = desk.say("approval", "approve", asked, "--as", "dan", "--for", "bob", "--comment", "for bob")
    assert (second.code, second.lines) == (0, ["[resume] approval_received", "[step] pay=ok"])
    shown = desk.say("approval", "show", asked)
    assert "asked of 2 different people with the role finance" in shown.out
    assert "approve by dan for bob (finance): for bob" in shown.out
    assert "refused to alice: approve: alice may not answer" in shown.out
    (told,) = [one for one in json.loads(desk.say("approval", "show", asked, "--json").out)["told"] if one["via"]]
    assert (told["counted_as"], told["via"]) == ("bob", [given.out.split()[0]])


def test_an_edit_is_typed_by_what_the_tool_takes_and_shown_before_it_runs(desk: Desk) -> None:
    asked = desk.ask("one")
    assert "cents takes a whole number" in desk.say("approval", "show", asked).out
    for wrong, told in (
        ("cents=1.5", "cents takes a whole number"),
        ("cnets=1", "Did you mean cents?"),
        ("customer", "no name=value"),
    ):
        refused = desk.say("approval", "edit", asked, "--set", wrong)
        assert (refused.code, told in refused.err) == (2, True), refused
    said = desk.say("approval", "edit", asked, "--set", "customer=007", "--set", "cents=5")
    assert (said.code, said.lines[0]) == (0, "[resume] edit_received")
    assert "customer = 007 (asked: ada)" in said.err
    assert "cents = 5 (asked: 100)" in said.err
    assert desk.shell.booked()[0][1] == "007:5"


class Counter:
    """The same commands without a process for each: these move no run."""

    def __init__(self, database: Database) -> None:
        self._environment = {"GATEPOST_DATABASE_URL": database.url}

    def say(self, *words: str) -> Said:
        """A command."""
        said = CliRunner().invoke(app, words, env=self._environment, prog_name="gatepost")
        return Said(said.exit_code, said.stdout, said.stderr)


def test_people_are_listed_and_what_ended_stays_on_record(gatepost_database: Database) -> None:
    desk = Counter(gatepost_database)
    assert "nobody holds a role" in desk.say("role", "list").err
    desk.say("role", "grant", "alice", "finance", "--as", "hr")
    assert desk.say("role", "revoke", "alice", "finance").out == "alice no longer holds the role finance\n"
    assert desk.say("role", "revoke", "alice", "finance").out == "alice did not hold the role finance\n"
    assert _json(desk, "role", "list") == []
    (was,) = _json(desk, "role", "list", "--all")
    assert (was["principal"], was["granted_by"], was["revoked_at"] is not None) == ("alice", "hr", True)
    for wrong, told in (
        (("--to", "dan", "--until", "soon"), "is no time. Write 3d"),
        (("--to", "dan", "--until", "1d", "--role", "x", "--tool", "y"), "name one of --role"),
        (("--to", "ada", "--until", "1d"), "answers in their own place already"),
        (("--from", "bob", "--to", "ada", "--until", "1d"), "ada cannot take bob's place by their own word"),
        (("--to", "dan", "--until", "2020-01-01"), "would have ended already"),
    ):
        refused = desk.say("delegation", "give", *wrong, "--as", "ada")
        assert (refused.code, told in refused.err) == (2, True), refused
    given = desk.say("delegation", "give", "--to", "dan", "--until", "1d", "--may-pass-on", "--as", "ada").out.split()[
        0
    ]
    assert desk.say("delegation", "end", given[:7], "--as", "ada").out == f"{given} is over\n"
    again = desk.say("delegation", "end", given, "--as", "ada")
    assert (again.code, "is over already" in again.err) == (2, True)
    for unknown in (("delegation", "end", "del_0"), ("notice", "retry", "ntc_0"), ("policy", "show", "0")):
        assert (said := desk.say(*unknown)).code == Exit.NOT_FOUND
        assert f"gatepost {unknown[0]} list` shows those" in " ".join(said.err.split())
    assert desk.say("delegation", "list").out == ""
    (over,) = _json(desk, "delegation", "list", "--all")
    assert (over["ended_by"], over["in_force"], over["passes_on"]) == ("ada", False, True)


def test_a_comment_is_shown_and_decides_nothing(desk: Desk) -> None:
    asked = desk.ask("one")
    assert desk.say("approval", "comment", asked, "is it the new account?", "--as", "eve").code == 0
    assert desk.say("approval", "comment", asked, " ").code == 2
    assert "comment by eve: is it the new account?" in desk.say("approval", "show", asked).out
    assert desk.shell.question("r1") == asked


def _json(desk: Counter, *words: str) -> Any:
    return json.loads(desk.say(*words, "--json").out)
