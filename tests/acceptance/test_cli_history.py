"""`gatepost history` and `gatepost export` as people type them: a tree, lines, what comes, a checked file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.shell import Shell

from gatepost.service.cli.exits import Exit
from gatepost.testing import Database, Databases


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    return Shell(tmp_path, gatepost_database.url)


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory, gatepost_databases: Databases) -> Iterator[Shell]:
    """A sale that a person let through, for the tests that only read."""
    with gatepost_databases.migrated() as database:
        shell = Shell(tmp_path_factory.mktemp("sold"), database.url)
        shell.run("run", "--goal", "sell", "--id", "r1", "--as", "bob")
        shell.run("approval", "approve", shell.question("r1"), "--as", "alice", "--comment", "fine")
        yield shell


def test_history_is_a_tree_on_a_terminal(sold: Shell) -> None:
    with sold.terminal("history", "r1") as screen:
        assert screen.end() == 0
        shown = screen.shown
    assert "├── step book: pending → blocked" in shown or "└── step book: pending → blocked" in shown
    assert "person alice: approve apr_" in shown
    assert "effect book: book succeeded under apr_" in shown
    assert "(cli, asserted) (fine)" in " ".join(shown.split())


def test_a_full_page_names_the_next_one_only_where_there_is_one(sold: Shell) -> None:
    numbers = [line.split("\t")[0] for line in sold.run("history", "r1", "--after", "0").lines[1:]]
    rest = len(numbers) - 2
    assert f"--after {numbers[1]}" in sold.run("history", "r1", "--after", "0", "--limit", "2").err
    assert sold.run("history", "r1", "--after", numbers[1], "--limit", str(rest)).err == ""


def test_history_is_followed_to_the_end_of_the_run(shell: Shell) -> None:
    shell.run("run", "--goal", "sell", "--id", "r1")
    with shell.started("history", "r1", "--follow", "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        while json.loads(process.stdout.readline())["status"] != "blocked":
            pass  # what was there is told
        shell.run("approval", "approve", shell.question("r1"))
        told = [json.loads(line) for line in process.stdout]
        assert process.stderr is not None
        assert (process.wait(), process.stderr.read()) == (0, b"r1 has ended: succeeded\n")
    assert first["seq"] == 1
    assert told[0]["cause"]["kind"] == "person"
    assert told[-1]["status"] == "succeeded"


def test_an_export_is_checked_without_a_database(sold: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    said = sold.run("export", "r1", "--out", "r1.jsonl")
    assert (said.code, said.out) == (0, "")
    file = sold.folder / "r1.jsonl"
    monkeypatch.setitem(sold.environment, "GATEPOST_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    checked = sold.bare("export", "--verify", "r1.jsonl")
    assert (checked.code, checked.err) == (0, "")
    last = checked.lines[-1].removeprefix("last hash ")
    assert f"--expect {last}" in said.err
    assert sold.bare("export", "--verify", "r1.jsonl", "--expect", last).code == 0
    other = sold.bare("export", "--verify", "r1.jsonl", "--expect", "0" * 64)
    assert (other.code, "it is another one" in other.err) == (Exit.ALTERED, True)
    file.write_bytes(file.read_bytes().replace(b'"fine"', b'"Fine"', 1))
    number = next(n for n, line in enumerate(file.read_bytes().splitlines(), start=1) if b'"Fine"' in line)
    altered = sold.bare("export", "--verify", "r1.jsonl")
    assert (altered.code, altered.out) == (Exit.ALTERED, "")
    assert f"r1.jsonl, line {number}: was changed" in altered.err


def test_a_recorded_history_is_not_said_to_be_altered(sold: Shell) -> None:
    assert sold.run("export", "r1", "--replayable", "--out", "history.jsonl").code == 0
    checked = sold.bare("export", "--verify", "history.jsonl")
    assert (checked.code, "gatepost replay --file history.jsonl" in checked.err) == (2, True)


def test_a_report_is_one_file(sold: Shell) -> None:
    said = sold.run("export", "r1", "--html", "r1.html")
    assert (said.code, said.out) == (0, "")
    assert "<!doctype html>" in (sold.folder / "r1.html").read_text()[:20]
    assert [path.name for path in sold.folder.glob("*.part")] == []
    (sold.folder / "taken.html.part").mkdir()  # nothing can be written there
    (sold.folder / "taken.html").write_text("the old one")
    failed = sold.run("export", "r1", "--html", "taken.html")
    assert (failed.code, "cannot be written" in failed.err) == (Exit.USAGE, True)
    assert (sold.folder / "taken.html").read_text() == "the old one"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("export",), "name the run"),
        (("export", "r1", "--verify", "x"), "--verify looks at a file and nothing else"),
        (("export", "r1", "--expect", "x"), "--expect is for --verify"),
        (("export", "--verify", "missing"), "cannot be read (No such file or directory)"),
        (("export", "r1", "--out", "no/such/folder"), "cannot be written (No such file or directory)"),
        (("history", "r1", "--before", "3", "--after", "1"), "Choose one"),
        (("history", "r1", "--before", "3", "--follow"), "Choose one"),
    ],
)
def test_mistakes_are_told_with_2(sold: Shell, arguments: tuple[str, ...], told: str) -> None:
    said = sold.run(*arguments)
    assert (said.code, said.out) == (Exit.USAGE, "")
    assert told in " ".join(said.err.split())
