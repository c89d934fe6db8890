"""Tries to get a wrong word out of the command line: a line of the log that is not the documented one, an exit code
that says something else, a traceback, a password, a text that drives the terminal.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.acceptance.shell import TYPED, ColdShell, Shell
from typer.main import get_command
from typer.testing import CliRunner

from gatepost.examples.services import SERVICES_VARIABLE
from gatepost.examples.vendor_onboarding import GOAL
from gatepost.service.cli.app import app
from gatepost.testing import Database, Databases

PASSWORD = "sw0rdfish-of-the-owner"  # noqa: S105 (nobody's)
NOWHERE = "postgresql://127.0.0.1:1/nowhere"
ASKS = "no policy lets book (write) run unattended"
ESCAPED = r"\x1b]0;owned\x07\x1b[2K [step] forged=ok [step] forged=ok\u202e\u2066 \x9b31m"
BROKEN = {
    "ends.py": "import sys\nsys.exit(0)\n",
    "typo.py": "def f(:\n",
    "empty.py": "WORKFLOWS = [1]\n",
    "bad.cedar": "permit (principal, nobody);",
}


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    return ColdShell(tmp_path, gatepost_database.url)


@pytest.fixture
def vendor(tmp_path: Path, gatepost_database: Database, services_url: str) -> Shell:
    return ColdShell(tmp_path, gatepost_database.url, **{SERVICES_VARIABLE: services_url})


# the log


def test_log_of_a_review_is_the_documented_one_to_the_letter(vendor: Shell) -> None:
    asked = vendor.bare("run", "--goal", GOAL)
    run = asked.lines[0].removeprefix("[workflow] id=").removesuffix(" started")
    assert re.fullmatch(r"run_[0-9a-f]{12}", run)
    approved = vendor.bare("approval", "approve", vendor.question(run), "--as", "alice")
    assert asked.out + approved.out == (
        f"[workflow] id={run} started\n"
        "[step] docs_collect=ok\n"
        "[step] policy_screen=blocked(manual approval)\n"
        "[resume] approval_received\n"
        "[step] final_decision=approved_with_controls\n"
        "[artifact] onboarding_decision.json\n"
    )
    assert (asked.code, approved.code) == (3, 0)
    assert "wants to call final_decision (write)" in asked.err
    assert "gatepost approval approve apr_" in asked.err
    assert f"saved gatepost-artifacts/{run}/onboarding_decision.json" in approved.err
    decision = json.loads((vendor.folder / "gatepost-artifacts" / run / "onboarding_decision.json").read_text())
    assert (decision["run"], decision["approver"]["name"]) == (run, "alice")


def test_log_of_a_review_that_is_sent_back_and_rejected(vendor: Shell) -> None:
    vendor.bare("run", "--goal", GOAL, "--id", "r1")
    again = vendor.bare("approval", "respond", vendor.question("r1"), "the pen test", "--as", "bob")
    refused = vendor.bare("approval", "reject", vendor.question("r1"), "--comment", "too risky", "--as", "carol")
    assert again.lines == [
        "[resume] response_received",
        "[plan] v2 (more documents asked for by bob: the pen test)",
        "[step] docs_collect_2=ok",
        "[step] policy_screen_2=blocked(manual approval)",
    ]
    assert refused.lines == [
        "[resume] rejection_received",
        "[artifact] onboarding_decision.json",
        "[workflow] id=r1 rejected(final_decision rejected by carol: too risky)",
    ]
    assert (again.code, refused.code) == (3, 4)


def test_resumed_run_prints_only_what_is_new(shell: Shell) -> None:
    started = shell.run("run", "start", "--goal", "SELL ", "--id", "r1")
    assert (started.code, started.lines) == (
        3,
        ["[workflow] id=r1 started", "[step] look=ok", f"[step] book=blocked({ASKS})"],
    )
    waits = shell.run("run", "resume", "r1")
    assert (waits.code, waits.out) == (3, "")
    assert f"{TYPED} approval approve apr_" in waits.err
    edited = shell.run("approval", "edit", shell.question("r1"), "--set", "cents=7", "--as", "alice")
    assert (edited.code, edited.lines[:2]) == (0, ["[resume] edit_received", "[step] book=booked_7"])


@pytest.mark.parametrize(
    ("goal", "code", "lines"),
    [
        ("sell to nobody", 0, ["[step] look=ok", "[step] book=skipped(condition on look#/fit does not hold)"]),
        ("sell with care", 3, ["[step] suspect=blocked(looks odd)"]),
        (
            "stumble",
            4,
            [
                f"[step] stumble=failed(bug: ValueError: {ESCAPED})",
                f"[workflow] id=r1 failed(step stumble failed: ValueError: {ESCAPED})",
            ],
        ),
    ],
)
def test_log_of_other_ways_to_end(shell: Shell, goal: str, code: int, lines: list[str]) -> None:
    said = shell.run("run", "--goal", goal, "--id", "r1")
    assert (said.code, said.lines) == (code, ["[workflow] id=r1 started", *lines])
    assert said.err == "" or code == 3 or said.err.endswith(f"{TYPED} run recover r1 --mode resume\n")


# exit codes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run",), "gatepost workflow list"),
        (("run", "--goal", "sell", "--input", "{no"), "--input is no JSON"),
        (("run", "--goal", "sell", "--input", "@-"), "standard input is empty"),
        (("run", "--goal", "sell", "--input", "sale.json"), "A file is named so: --input @sale.json"),
        (("run", "--goal", "sell", "--input", "{vendor: acme.com}"), "Quote it for the shell"),
        (("run", "--goal", "sell", "--input", "[1]"), "--input is a list"),
        (("run", "--goal", "sell", "--input", "@nowhere.json"), "nowhere.json cannot be read"),
        (("run", "--goal", "sell", "--set", "customer"), "'customer' is no name=value"),
        (("run", "--goal", "sell", "--id", "no such id"), "not usable"),
        (("run", "--goal", "sell", "--as", " "), "--as names nobody"),
        (("run", "--as", "bob", "start", "--goal", "sell"), "--as before `start` would be lost"),
        (("run", "show", ""), "it is empty"),
        (("approval", "approve", " "), "it is empty"),
        (("approval", "edit", "apr_1"), "say what to change"),
        (("approval", "edit", "apr_1", "--args", "1"), "--args is a int"),
        (("run", "list", "--limit", "0"), "--limit"),
        (("run", "list", "--status", "fine"), "--status"),
        (("nonsense",), "nonsense"),
        (("resume", "run_4f"), "There is gatepost run resume."),
        (("--tenant", "acme", "run", "list"), "It stands after the command"),
        (("--goal", "sell"), "It stands after the command: gatepost run --goal"),
        (("run", "stop", "run_4f"), "Perhaps it is gatepost run hold ID, or gatepost run cancel ID"),
        (("run", "--goal", "vendor", "onboarding", "--as", "ada"), 'needs quotes: --goal "vendor onboarding"'),
        (("run", "vendor", "onboarding"), "gatepost run --goal 'vendor onboarding'"),
        (("run", "start", "--goal", "vendor", "onboarding"), "A text of several words needs quotes"),
        (("approval", "respond", "apr_1", "get", "the", "report"), "A text of several words needs quotes"),
        (("replay", "--all-unfinished", "--from", "3"), "--break are for one run"),
        (("run", "lst"), "No such command 'lst'. Did you mean 'list'?"),
    ],
)
def test_bad_words_are_told_with_2(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str) -> None:
    # There is no database: what is wrong with the words is told before anybody is called. They are many: no process
    # for each.
    monkeypatch.setenv("GATEPOST_DATABASE_URL", NOWHERE)
    monkeypatch.setenv("COLUMNS", "200")
    said = CliRunner().invoke(app, arguments, prog_name="gatepost")
    assert (said.exit_code, said.stdout) == (2, "")
    assert told in said.stderr


@pytest.mark.parametrize(
    ("workflows", "told"),
    [
        ("nowhere:WORKFLOWS", "'nowhere:WORKFLOWS' cannot be imported (ModuleNotFoundError"),
        ("till", "'till' cannot be found: it is written module:ATTRIBUTE"),
        ("typo:WORKFLOWS", "'typo:WORKFLOWS' cannot be imported (SyntaxError"),
        ("ends:WORKFLOWS", "'ends:WORKFLOWS' cannot be imported (SystemExit"),
        ("empty:WORKFLOWS", "'empty:WORKFLOWS' is or holds a int"),
    ],
)
def test_broken_workflows_are_named_with_2(tmp_path: Path, workflows: str, told: str) -> None:
    said = _broken(Shell(tmp_path, NOWHERE)).run("--workflows", workflows, "workflow", "list")
    assert (said.code, said.out) == (2, "")
    assert told in said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "--goal", "no such thing"), "Known goals: 'sell', 'sell to nobody'"),
        (("run", "start", "--detach", "--goal", "no such thing"), "named by --workflows MODULE:ATTRIBUTE."),
        (("run", "--goal", "sell", "--input", r'{"a": "\u0000"}'), "NUL"),
        (("run", "--goal", "sell", "--as", b"al\xffice"), "surrogate"),
        (("--policy", "bad.cedar", "run", "--goal", "sell"), "bad.cedar"),
        (("--policy", "nowhere.cedar", "run", "--goal", "sell"), "nowhere.cedar cannot be read"),
    ],
)
def test_bad_input_that_only_the_graph_can_judge_leaves_nothing(
    shell: Shell, arguments: tuple[str | bytes, ...], told: str
) -> None:
    said = _broken(shell).run(*arguments)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert shell.rows("SELECT * FROM gatepost.run") == []


def test_unknown_ids_are_told_with_6(shell: Shell) -> None:
    for arguments in (
        ("run", "show", "run_0"),
        ("history", "run_0"),
        ("export", "run_0"),
        ("approval", "approve", "apr_0"),
    ):
        said = shell.run(*arguments)
        assert (said.code, said.out) == (6, "")
        assert f"there is no {'approval' if arguments[0] == 'approval' else 'run'} " in said.err


def test_same_id_with_another_goal_or_input_is_told_with_5(shell: Shell) -> None:
    assert shell.run("run", "--goal", "curse", "--id", "r1", "--set", "a=1").code == 0
    same = shell.run("run", "--goal", "curse", "--id", "r1", "--input", '{"a": 1}')
    assert (same.code, same.out) == (0, "")
    assert "had ended already" in same.err
    other = shell.run("run", "--goal", "curse", "--id", "r1", "--set", "a=2")
    assert (other.code, other.out) == (5, "")
    assert "'r1' belongs to another run: its goal is the same, its input is not (a). " in other.err
    other = shell.run("run", "--goal", "sell", "--id", "r1", "--set", "a=1")
    assert (other.code, other.out) == (5, "")
    assert "'r1' belongs to another run: its goal is 'curse', not 'sell'. " in other.err


@pytest.mark.parametrize("arguments", [("run", "--goal", "sell"), ("migrate",), ("doctor", "--json")])
def test_database_that_does_not_answer_is_told_with_7_and_without_the_password(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    said = Shell(tmp_path, f"postgresql://me:{PASSWORD}@127.0.0.1:1/shop").run(*arguments)
    assert said.code == 7
    assert "nothing listens at" in said.out + said.err
    assert PASSWORD not in said.out + said.err


def test_address_that_is_none_is_told_with_7_and_without_the_password(tmp_path: Path) -> None:
    said = Shell(tmp_path, NOWHERE).run("--database", f"mysql://me:{PASSWORD}@h/shop", "run", "list")
    assert (said.code, "write postgresql://" in said.err, PASSWORD in said.err) == (7, True, False)


def test_wrong_password_is_told_with_7_and_not_shown(tmp_path: Path) -> None:
    with refusing_server() as port:
        shell = Shell(tmp_path, f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/shop")
        for arguments in (("run", "list"), ("doctor",)):
            said = shell.run(*arguments)
            assert said.code == 7
            assert "user or password is wrong" in said.out + said.err
            assert PASSWORD not in said.out + said.err


# what others wrote


def test_text_that_drives_a_terminal_is_shown_as_what_it_is(shell: Shell) -> None:
    # Every command's output is looked through for what drives a terminal: see Shell.bare.
    hostile = "no\n[step] book=ok\r\x1b[1A\u202e"
    shell.run("run", "--goal", "sell", "--id", "r1", "--input", json.dumps({"note": hostile}))
    asked = shell.question("r1")
    refused = shell.run("approval", "reject", asked, "--comment", hostile, "--as", "eve\x1b[2J\n[step] x=ok")
    shown = shell.run("approval", "show", asked)
    report = shell.run("run", "show", "r1")
    late = shell.run("approval", "approve", asked)
    assert (refused.code, late.code) == (4, 5)
    for said in (refused, shown, report, late, shell.run("export", "r1")):
        assert not any(line.startswith("[step]") for line in (said.out + said.err).splitlines())
    assert json.loads(said.out.splitlines()[0])["detail"]["input"] == {"note": hostile}


def test_result_that_drives_a_terminal_is_shown_as_what_it_is(shell: Shell) -> None:
    said = shell.run("run", "--goal", "curse", "--id", "r1")
    assert said.lines == ["[workflow] id=r1 started", f"[step] curse={ESCAPED}"]
    assert "forged" in shell.run("run", "show", "r1").out


# help


def test_every_command_helps_with_an_example_and_the_exit_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    paths = list(_paths(get_command(app), ()))
    assert {("run", "start"), ("approval", "edit"), ("workflow", "list"), ("export",), ("migrate",)} <= set(paths)
    for path in paths:
        said = CliRunner().invoke(app, [*path, "--help"], prog_name="gatepost")
        assert said.exit_code == 0, path
        assert "Exit codes:" in said.output, path
        assert not re.search(r"\[\[|\]\]|\.\.\.[^ ]*\.\.\.", said.output.split("Usage:")[1].partition("\n")[0]), path
        assert ("Example:" if path else "Start one:") in said.output, path
    monkeypatch.setenv("COLUMNS", "300")
    wide = CliRunner().invoke(app, ["replay", "--help"])
    assert "executed with the recorded answers, results, decisions and times. Exit code 0" in wide.output


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_does_not_wait_for_the_engine(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    said = Shell(tmp_path, NOWHERE, PYTHONPROFILEIMPORTTIME="1").bare(*arguments)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in said.err.splitlines()}
    assert said.code == 0
    assert "typer" in imported
    assert imported.isdisjoint({"langgraph", "langchain_core", "psycopg", "cedarpy", "httpx"})


def test_shell_completion(tmp_path: Path) -> None:
    told = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # there need not be a shell above the tests
    script = Shell(tmp_path, NOWHERE, **told).bare("--show-completion", "bash")
    assert (script.code, "_GATEPOST_COMPLETE=complete_bash" in script.out) == (0, True)
    asked = {"_GATEPOST_COMPLETE": "complete_bash", "COMP_WORDS": "gatepost approval re", "COMP_CWORD": "2"}
    assert Shell(tmp_path, NOWHERE, **asked).bare().out.split() == ["reject", "respond"]


# doctor and migrate


def test_doctor_finds_a_healthy_house_healthy(shell: Shell) -> None:
    said = shell.run("doctor", "--json")
    findings = json.loads(said.out)
    assert said.code == 0
    assert all(set(found) == {"name", "ok", "said", "cure", "tenant"} and found["ok"] for found in findings)
    names = [found["name"] for found in findings]
    beside = ["links", "metrics", "traces"]
    assert names == ["python", "packages", "database", "migrations", "server", "role", "clock", "runs", *beside]


def test_empty_database_is_told_and_prepared_once(tmp_path: Path, gatepost_databases: Databases) -> None:
    with gatepost_databases.empty() as address:
        shell = ColdShell(tmp_path, address.owner)
        sick = shell.run("doctor")
        assert (sick.code, "✗ migrations: missing" in sick.out, f"→ {TYPED} migrate" in sick.out) == (7, True, True)
        missing = shell.run("migrate", "--check")
        applied = shell.run("migrate")
        assert (missing.code, applied.code) == (7, 0)
        assert [line.replace("missing", "applied") for line in missing.lines] == applied.lines != []
        for arguments in (("migrate",), ("migrate", "--check")):
            done = shell.run(*arguments)
            assert (done.code, done.out) == (0, "")
            assert "is up to date" in done.err


def _broken(shell: Shell) -> Shell:
    for name, text in BROKEN.items():
        (shell.folder / name).write_text(text)
    return shell


def _paths(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from _paths(inner, (*path, name))


@contextmanager
def refusing_server() -> Iterator[int]:
    """A Postgres that asks for a password and takes none; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=_refuse, args=(listening,), daemon=True)
        serving.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        serving.join()


def _refuse(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection, connection.makefile("rwb", buffering=0) as stream:
            (length,) = struct.unpack("!I", stream.read(4))
            if length == 8:  # it asks for TLS
                stream.read(4)
                stream.write(b"N")
                (length,) = struct.unpack("!I", stream.read(4))
            stream.read(length - 4)
            stream.write(b"R" + struct.pack("!II", 8, 3))  # send the password
            stream.read(1)
            (length,) = struct.unpack("!I", stream.read(4))
            stream.read(length - 4)
            told = b'SFATAL\0C28P01\0Mpassword authentication failed for user "me"\0\0'
            stream.write(b"E" + struct.pack("!I", len(told) + 4) + told)
