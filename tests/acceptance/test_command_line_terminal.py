"""Tries to lose a run at the terminal: Ctrl-C and kill -9 while a tool is in, an answer broken off, an answer that
makes no sense, one that came from elsewhere meanwhile.
"""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from tests.acceptance.shell import SECONDS, TILL, TYPED, Shell, Terminal

from gatepost.testing import Database

OFFER = "[a]pprove  [e]dit  [r]eject  re[s]pond  [l]eave it (as "
EDIT = "name=value (an empty line ends): "
UNATTENDED = (*TILL, "--policy", "allow.cedar", "run")


@pytest.fixture
def shell(tmp_path: Path, gatepost_database: Database) -> Shell:
    return Shell(tmp_path, gatepost_database.url)


# stopped from outside


@pytest.mark.parametrize("tool", ["linger", "dawdle"])
def test_interrupted_run_lets_go_and_goes_on_under_the_same_key(shell: Shell, tool: str) -> None:
    with shell.started(*UNATTENDED, "--goal", tool, "--id", "r1") as process:
        shell.until_in()
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert time.monotonic() - pressed < 8
    assert (process.returncode, out) == (130, b"[workflow] id=r1 started\n")
    assert (
        f"interrupted. What was committed is safe; go on with: {TYPED} --policy allow.cedar run resume r1"
        in err.decode()
    )
    assert b"Traceback" not in err
    assert shell.rows("SELECT owner, lease_expires_at FROM gatepost.run") == [{"owner": None, "lease_expires_at": None}]
    _finishes(shell, tool)


def test_killed_run_is_told_by_the_doctor_and_its_cure_works(shell: Shell, gatepost_database: Database) -> None:
    with shell.started(*UNATTENDED, "--goal", "linger", "--id", "r1") as process:
        shell.until_in()
        process.kill()
        process.wait()
    (left,) = shell.rows("SELECT owner FROM gatepost.run")
    assert left["owner"] is not None
    gatepost_database.clock.shift(timedelta(seconds=11))
    sick = shell.run("doctor")
    assert sick.code == 7
    assert f"✗ unmoved: nobody moves r1\n    → {TYPED} run resume r1\n" in sick.out
    _finishes(shell, "linger")
    assert "unmoved" not in shell.run("doctor").out


def test_killed_at_the_question_it_can_be_answered_elsewhere_at_once(shell: Shell) -> None:
    with shell.terminal("run", "--goal", "sell", "--id", "r1") as terminal:
        terminal.until(OFFER)
        terminal.process.kill()
        terminal.process.wait()
    said = shell.run("approval", "approve", shell.question("r1"), "--as", "alice")
    assert (said.code, said.lines[:2]) == (0, ["[resume] approval_received", "[step] book=booked_100"])
    assert len(shell.booked()) == 1


# asked at the terminal


def test_what_happened_can_be_told_right_here(shell: Shell) -> None:
    (shell.folder / "all.cedar").write_text("permit (principal, action, resource);")
    with shell.terminal("--policy", "all.cedar", "run", "--goal", "vanish", "--id", "r1") as terminal:
        terminal.until("it [h]appened  it did [n]ot happen  [l]eave it (as ")
        terminal.type("a")
        terminal.until("[l]eave it (as ")
        terminal.type("h")
        terminal.until("what it returned (JSON; empty for nothing): ")
        terminal.type("7")
        terminal.until("returned something else than it declares")
        terminal.type("h")
        terminal.until("what it returned (JSON; empty for nothing): ")
        terminal.type('{"word": "gone"}')
        terminal.until("[step] vanish=gone")
        assert terminal.end() == 0


def test_person_asks_for_more_and_then_approves(shell: Shell) -> None:
    with shell.terminal("--as", "alice", "run", "--goal", "sell", "--id", "r1") as terminal:
        started = terminal.until(f"{OFFER}alice)? ")
        terminal.type("s")
        terminal.until("what first: ")
        terminal.type("a mirror")
        again = terminal.until(f"{OFFER}alice)? ")
        terminal.type("approve")
        assert terminal.end() == 0
        ended = terminal.until("saved gatepost-artifacts/r1/")
    assert _log(started) == [
        "[workflow] id=r1 started",
        "[step] look=ok",
        "[step] book=blocked(no policy lets book (write) run unattended)",
    ]
    assert "Step book wants to call book (write)" in started
    assert _log(again)[:2] == ["[resume] response_received", "[plan] v2 (more asked for: a mirror)"]
    assert _log(ended)[:2] + sorted(_log(ended)[2:]) == [
        "[resume] approval_received",
        "[step] book_1=booked_100",
        "[artifact] ../../escaped.json",
        "[artifact] .._.._escaped.json",
        "[artifact] .hidden",
        "[artifact] receipt.json",
    ]
    decided = shell.rows("SELECT principal, type, channel, authenticated FROM gatepost.decision ORDER BY at")
    assert [tuple(row.values()) for row in decided] == [
        ("alice", "respond", "cli", "asserted"),
        ("alice", "approve", "cli", "asserted"),
    ]


def test_edit_that_makes_no_sense_is_told_and_asked_again(shell: Shell) -> None:
    with shell.terminal("run", "--goal", "sell", "--id", "r1") as terminal:
        for lines, told in ((("controls=3", ""), "controls"), (("cents", ""), "no name=value"), (("",), "nothing was")):
            _choose(terminal, "e", EDIT)
            terminal.type(*lines)
            terminal.until("error: ")
            assert told in terminal.until("\n")
        _choose(terminal, "e", EDIT)
        terminal.type('controls=["x"]', "cents=7", "")
        terminal.until("[resume] edit_received\n")
        terminal.until("[step] book=booked_7\n")
        assert terminal.end() == 0
    assert [what for _, what in shell.booked()] == ["ada:7:x"]


def test_answer_broken_off_is_no_answer(shell: Shell) -> None:
    with shell.terminal("run", "--goal", "sell", "--id", "r1") as terminal:
        _choose(terminal, "what?", OFFER)  # no such answer: asked again
        terminal.type("r")
        terminal.until("why: ")
        terminal.close_input()
        terminal.until("error: broken off: no answer is recorded.")
        _choose(terminal, "r", "why: ")
        terminal.type("\x1b[2Jno")
        assert terminal.end() == 4
        terminal.until("[workflow] id=r1 rejected(book rejected by ")
    assert [row["comment"] for row in shell.rows("SELECT comment FROM gatepost.decision")] == ["\x1b[2Jno"]
    assert shell.booked() == []


def test_question_may_be_left_open(shell: Shell) -> None:
    with shell.terminal("run", "--goal", "sell", "--id", "r1") as terminal:
        terminal.until(OFFER)
        terminal.type("l")
        terminal.until(f"{TYPED} approval approve apr_")
        assert terminal.end() == 3
    with shell.terminal("run", "resume", "r1") as terminal:
        terminal.until(OFFER)
        terminal.process.send_signal(signal.SIGINT)
        terminal.until(f"go on with: {TYPED} run resume r1")
        assert terminal.end() == 130
    assert shell.question("r1")


def test_answer_from_elsewhere_stands_and_the_run_goes_on_with_it(shell: Shell) -> None:
    with shell.terminal("run", "--goal", "sell", "--id", "r1") as terminal:
        terminal.until(OFFER)
        assert shell.run("approval", "reject", shell.question("r1"), "--as", "bob", "--no-run").code == 0
        terminal.type("a")
        terminal.until("is decided: reject by bob")
        terminal.until("[resume] rejection_received")
        assert terminal.end() == 4
    assert shell.booked() == []


def test_nobody_is_asked_who_does_not_want_to_be(shell: Shell) -> None:
    with shell.terminal("--no-input", "run", "--goal", "sell", "--id", "r1") as terminal:
        assert terminal.end() == 3
        assert OFFER not in terminal.shown
        terminal.until(f"{TYPED} approval approve apr_")


def _choose(terminal: Terminal, key: str, then: str) -> None:
    terminal.until(OFFER)
    terminal.type(key)
    terminal.until(then)


def _finishes(shell: Shell, tool: str) -> None:
    """Another process finishes the run, and its effect is one effect."""
    shell.open_door()
    resumed = shell.run("--policy", "allow.cedar", "run", "resume", "r1")
    assert (resumed.code, resumed.lines) == (0, [f"[step] {tool}=ok"])
    assert len(shell.booked()) == 2
    ((key, _),) = set(shell.booked())
    assert shell.rows("SELECT key, state::text FROM gatepost.effect") == [{"key": key, "state": "succeeded"}]


def _log(shown: str) -> list[str]:
    return [line for line in shown.splitlines() if line.startswith("[") and not line.startswith("[a]")]
