"""Tries to answer the wrong question, to answer twice, to lose an artifact or a line of the record; and to read from
--json, history and export something else than what happened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.shell import TYPED, Shell, closed_pipe, first_line_of

from gatepost.state.effect import key_of
from gatepost.testing import Database, Databases

RUN_KEYS = {"run_id", "goal", "workflow", "status", "reason", "requested_by", "created_at", "finished_at", "owner"}
APPROVAL_KEYS = {"approval_id", "run_id", "step_id", "status", "request", "opened_at", "type", "principal", "comment"}
EVENT_KEYS = {"what", "who", "at", "from", "to", "why", "run", "id", "seq", "detail", "n", "prev", "hash"}


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    return Shell(tmp_path, gatepost_database.url)


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory, gatepost_databases: Databases) -> Iterator[Shell]:
    """A sale that a person let through, for the tests that only read."""
    with gatepost_databases.migrated() as database:
        shell = Shell(tmp_path_factory.mktemp("sold"), database.url)
        shell.run("run", "--goal", "sell", "--id", "r1", "--as", "ada")
        said = shell.run("approval", "approve", shell.question("r1"), "--as", "alice", "--comment", "fine")
        assert said.code == 0
        yield shell


def test_answer_counts_once_and_stands(shell: Shell) -> None:
    shell.run("run", "--goal", "sell", "--id", "r1")
    asked = shell.question("r1")
    first, second = (shell.run("approval", "approve", asked[:8], "--as", "alice") for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert first.lines[0] == "[resume] approval_received"
    assert second.out == ""
    assert "already recorded: approve by alice at 20" in second.err
    other = shell.run("approval", "reject", asked, "--as", "bob")
    assert (other.code, other.out) == (5, "")
    assert "is decided: approve by alice" in other.err
    assert [what for _, what in shell.booked()] == ["ada:100:"]


def test_an_answer_to_a_held_run_waits_for_its_release(shell: Shell) -> None:
    shell.run("run", "--goal", "sell", "--id", "r1")
    assert shell.run("run", "hold", "r1", "--reason", "the vendor called").code == 0
    resumed = shell.run("run", "resume", "r1")
    assert (resumed.code, "held (the vendor called)" in resumed.err) == (5, True), resumed
    assert "an operator holds this run" in shell.run("approval", "show", shell.question("r1")).out
    answered = shell.run("approval", "approve", shell.question("r1"), "--as", "alice")
    assert (answered.code, shell.booked()) == (3, [])
    assert f"it is carried out after: {TYPED} run release r1\n" in answered.err
    assert shell.run("run", "release", "r1").out == "r1 is queued\n"
    assert (shell.run("run", "resume", "r1").code, len(shell.booked())) == (0, 1)
    shell.run("run", "--goal", "sell", "--id", "r2")
    shell.run("run", "hold", "r2", "--reason", "the vendor called")
    later = shell.run("approval", "approve", shell.question("r2"), "--as", "alice", "--no-run")
    assert f"after {TYPED} run release r2, a worker carries it out" in later.err


def test_ids_may_be_abbreviated_while_they_are_clear(shell: Shell) -> None:
    shell.run("run", "--goal", "sell", "--id", "shop")
    shell.run("run", "--goal", "sell", "--id", "shop-2")
    unclear = shell.run("run", "show", "sho")
    assert (unclear.code, unclear.out) == (2, "")
    assert "'sho' could be shop, shop-2" in unclear.err
    assert f"there is no run 'x'. `{TYPED} run list` shows" in shell.run("run", "show", "x").err
    assert shell.run("run", "show", "shop").lines[0].startswith("shop  blocked")
    assert shell.run("history", "shop-", "--limit", "1").code == 0
    vague = shell.run("approval", "approve", "apr_")
    assert vague.code == 2
    assert all(shell.question(run) in vague.err for run in ("shop", "shop-2"))
    assert shell.booked() == []


def test_edited_action_is_what_runs(shell: Shell) -> None:
    (shell.folder / "args.json").write_text('{"customer": "bob", "cents": 1}')
    shell.run("run", "--goal", "sell", "--id", "r1")
    asked = shell.question("r1")
    for wrong, told in (("cents=many", "cents takes a whole number"), ("cents", "no name=value")):
        refused = shell.run("approval", "edit", asked, "--set", wrong)
        assert (refused.code, refused.out) == (2, "")
        assert told in refused.err
    assert shell.question("r1") == asked
    said = shell.run("approval", "edit", asked, "--args", "@args.json", "--set", 'controls=["sso","mfa"]', "-m", "ok")
    assert (said.code, said.lines[:2]) == (0, ["[resume] edit_received", "[step] book=booked_1"])
    assert [what for _, what in shell.booked()] == ["bob:1:sso,mfa"]
    shown = shell.run("approval", "show", asked).lines
    assert shown[-4].startswith("answer   edit by ")
    assert shown[-3:] == [
        "  customer = bob (asked: ada)",
        "  cents = 1 (asked: 100)",
        '  controls = ["sso", "mfa"] (asked: [])',
    ]


def test_what_happened_is_no_question_of_yes_or_no(shell: Shell) -> None:
    for run in ("r1", "r2"):
        shell.run("--policy", "allow.cedar", "run", "--goal", "vanish", "--id", run)
    asked = shell.question("r1")
    refused = shell.run("approval", "approve", asked)
    assert (refused.code, refused.out) == (2, "")
    assert "a plain yes is no answer" in refused.err
    key = key_of(tenant="local", root_run="r1", step="vanish")
    assert f"effect resolve {key} --happened --result 'what it returned'" in refused.err
    assert f"effect resolve {key} --did-not-happen" in refused.err
    wrong = shell.run("approval", "edit", asked, "--set", "result=7")
    assert (wrong.code, "returned something else than it declares" in wrong.err) == (2, True)
    said = shell.run("approval", "edit", asked, "--set", 'result={"word": "gone"}')
    assert (said.code, said.lines[:2]) == (0, ["[resume] answer_received", "[step] vanish=gone"])
    said = shell.run("approval", "reject", shell.question("r2"))
    assert (said.code, said.lines[0]) == (4, "[resume] answer_received")
    assert len(shell.booked()) == 2


def test_answer_may_be_carried_out_by_somebody_else(shell: Shell) -> None:
    shell.run("run", "--goal", "sell", "--id", "r1")
    recorded = shell.run("approval", "approve", shell.question("r1"), "--as", "alice", "--no-run")
    assert f"a worker carries it out, or: {TYPED} run resume r1" in recorded.err
    assert (recorded.code, recorded.out) == (0, "recorded: approve by alice\n")
    assert shell.booked() == []
    assert [row["run_id"] for row in json.loads(shell.run("run", "list", "--status", "queued", "--json").out)] == ["r1"]
    resumed = shell.run("run", "resume", "r1")
    assert (resumed.code, resumed.lines[:2]) == (0, ["[resume] approval_received", "[step] book=booked_100"])


def test_artifacts_are_files_in_the_runs_own_folder(shell: Shell) -> None:
    out = shell.folder / "deep" / "out"
    shell.run("run", "--goal", "sell", "--id", "r1")
    said = shell.run("approval", "approve", shell.question("r1"), "--artifacts", str(out))
    names = {"receipt.json", "_.._escaped.json", "2__.._escaped.json", "hidden"}
    assert {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()} == {
        f"r1/{name}" for name in names
    }
    assert {"[artifact] ../../escaped.json", "[artifact] receipt.json"} < set(said.lines)
    printed = shell.run("run", "show", "r1", "--artifact", "../../escaped.json")
    assert printed.out.encode() == b'{"name": "../../escaped.json"}\n'
    assert shell.run("run", "show", "r1", "--artifact", "nothing").code == 6
    assert "r1 is a run, and it asks nothing now" in shell.run("approval", "show", "r1").err
    assert "approval show apr_0` looks for it among the approvals" in shell.run("run", "show", "apr_0").err
    shown = shell.run("run", "show", "r1").lines
    assert any(line.startswith("took ") for line in shown)
    assert any(re.search(r"\tbook\tsucceeded\t1\t[0-9.]+ m?s$", line) for line in shown), shown
    # Where they cannot be written, they are not lost.
    unsaved = shell.run("run", "resume", "r1", "--artifacts", "till.py")
    assert unsaved.code == 0
    assert "the artifacts are in the database" in unsaved.err
    assert f"{TYPED} run show r1 --artifact ../../escaped.json" in unsaved.err


def test_json_of_lists_and_reports(sold: Shell) -> None:
    (run,) = _json(sold, "run", "list")
    assert run.keys() >= RUN_KEYS
    assert (run["run_id"], run["status"], run["requested_by"]) == ("r1", "succeeded", "ada")
    assert _json(sold, "approval", "list") == []
    (listed,) = _json(sold, "approval", "list", "--all")
    shown = _json(sold, "approval", "show", listed["approval_id"])
    for approval in (listed, shown):
        assert approval.keys() >= APPROVAL_KEYS
        assert (approval["type"], approval["principal"], approval["comment"]) == ("approve", "alice", "fine")
    report = _json(sold, "run", "show", "r1")
    assert [(step["step"], step["status"]) for step in report["steps"]] == [
        ("look", "succeeded"),
        ("book", "succeeded"),
    ]
    assert [(effect["step_id"], effect["state"], effect["attempts"]) for effect in report["effects"]] == [
        ("book", "succeeded", 1)
    ]
    assert (len(report["artifacts"]), len(report["approvals"])) == (4, 1)
    assert report["next"].startswith("r1 has ended: succeeded")
    assert {"name", "goals", "description", "input_schema", "tools"} == _json(sold, "workflow", "list")[0].keys()


def test_lists_in_a_pipe_are_a_line_for_each(sold: Shell) -> None:
    header, row = sold.run("run", "list").lines
    assert header.split("\t") == ["id", "status", "goal", "started", "why"]
    assert row.split("\t")[:3] == ["r1", "succeeded", "sell"]
    nothing = sold.run("approval", "list")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "nothing waits for a person\n")


def test_pages_of_history_hold_every_transition_once(sold: Shell) -> None:
    whole = _json(sold, "history", "r1")
    (newest,) = sold.rows("SELECT seq FROM gatepost.run")
    assert [row["seq"] for row in whole] == list(range(1, newest["seq"] + 1))
    paged: list[Any] = []
    while page := _json(sold, "history", "r1", "--after", str(paged[-1]["seq"] if paged else 0), "--limit", "7"):
        assert len(page) <= 7
        paged += page
    assert paged == whole
    assert f"more: {TYPED} history r1 --after 2 --limit 2\n" in (
        sold.run("history", "r1", "--after", "0", "--limit", "2").err
    )
    last = sold.run("history", "r1", "--limit", "2")
    assert f"earlier: {TYPED} history r1 --before {len(whole) - 1} --limit 2\n" in last.err
    assert [line.split("\t")[0] for line in last.lines] == ["#", str(len(whole) - 1), str(len(whole))]


def test_export_says_who_did_what_when_from_what_to_what_and_why(sold: Shell) -> None:
    events = [json.loads(line) for line in sold.run("export", "r1").lines]
    assert [events[0]["what"], events.pop()["what"]] == ["header", "end"]
    events = events[1:]
    assert all(event.keys() == EVENT_KEYS for event in events)
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    kinds = {event["what"] for event in events}
    assert kinds == {"run", "transition", "plan", "step", "approval", "vote", "decision", "effect", "artifact"}
    assert all(event["who"] for event in events)
    (decision,) = (event for event in events if event["what"] == "decision")
    assert (decision["who"], decision["to"], decision["why"]) == ("alice", "approve", "fine")
    assert decision["detail"]["channel"] == "cli"
    assert [(event["from"], event["to"]) for event in events if event["what"] == "effect"] == [
        (None, "intended"),
        ("intended", "succeeded"),
    ]


def test_reader_who_has_seen_enough_is_no_error(sold: Shell) -> None:
    with sold.started("export", "r1") as process:
        assert json.loads(first_line_of(process.stdout))["what"] == "header"
        assert process.stderr is not None
        assert (process.wait(), process.stderr.read()) == (0, b"")
    for arguments in (("export", "r1"), ("run", "list"), ("run", "show", "r1", "--json")):
        said = sold.run(*arguments, stdout=closed_pipe())
        assert (said.code, said.err) == (0, "")


def test_run_whose_log_nobody_reads_stops_and_can_be_resumed(shell: Shell) -> None:
    said = shell.run("run", "--goal", "curse", "--id", "r1", stdout=closed_pipe())
    assert said.code == 130
    assert f"Go on with: {TYPED} run resume r1" in said.err
    assert shell.rows("SELECT owner FROM gatepost.run") == [{"owner": None}]
    assert shell.run("run", "resume", "r1").code == 0


def _json(shell: Shell, *arguments: str) -> Any:
    said = shell.run(*arguments, "--json")
    assert said.code == 0
    return json.loads(said.out)
