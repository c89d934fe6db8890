"""Tries to get one question answered twice: by fifty people at once, in several processes and at the command line; by
those who say yes against those who say no; by fifty where two are asked for.

A few rounds here; `GATEPOST_CROWD_ROUNDS=50 GATEPOST_RACE_ROUNDS=200` for as many as it takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.gated import BOOKS, WORKFLOWS, paid
from tests.acceptance.processes import wait_until
from tests.acceptance.warm import COMMAND, started

from gatepost import ApprovalRequest, Checkpointer, build_graph, open_checkpointer
from gatepost.state.effect import key_of
from gatepost.testing import Databases

ROOT = Path(__file__).parents[2]
PROCESSES, PEOPLE = 5, 10
CROWD_ROUNDS = int(os.environ.get("GATEPOST_CROWD_ROUNDS", "2"))
RACE_ROUNDS = int(os.environ.get("GATEPOST_RACE_ROUNDS", "6"))
pytestmark = pytest.mark.timeout(1_800 if CROWD_ROUNDS + RACE_ROUNDS > 10 else 120)


class Crowd:
    """Five processes of ten people each."""

    def __init__(
        self, checkpointer: Checkpointer, processes: list[subprocess.Popen[str]], environment: dict[str, str]
    ) -> None:
        self.checkpointer, self.environment = checkpointer, environment
        self._graph = build_graph(WORKFLOWS, checkpointer)
        self._processes = processes

    def ask(self, goal: str, run: str) -> ApprovalRequest:
        """Start a payment; what is asked."""
        config: Any = {"configurable": {"thread_id": run}}
        asked: ApprovalRequest = self._graph.invoke({"goal": goal}, config)["approval"]
        return asked

    def answer(self, run: str, answer: Callable[[int], Any]) -> list[dict[str, Any]]:
        """Everybody answers at once; what each was told."""
        for number, process in enumerate(self._processes):
            said = [answer(number * PEOPLE + person) for person in range(PEOPLE)]
            assert process.stdin is not None
            process.stdin.write(json.dumps({"run": run, "answers": said}) + "\n")
            process.stdin.flush()
        return [report for process in self._processes for report in json.loads(_line(process))]

    def decisions(self, asked: ApprovalRequest) -> list[dict[str, Any]]:
        """What is recorded as the answer."""
        rows = self.checkpointer.bridge.run(self.checkpointer.approvals.list("local", status=None, run_id=asked.run))
        return [row for row in rows if row["type"] is not None]

    def ended(self, run: str) -> str:
        """Wait until a run has ended; how."""

        def status() -> str:
            return str(self.checkpointer.bridge.run(self.checkpointer.runs.get(run, "local"))["status"])

        wait_until(lambda: status() in ("succeeded", "rejected"))
        return status()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, gatepost_databases: Databases) -> Iterator[Crowd]:
    books = str(tmp_path_factory.mktemp("crowd") / "books")
    with ExitStack() as stack:
        database = stack.enter_context(gatepost_databases.migrated())
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(BOOKS, books)
        checkpointer = stack.enter_context(open_checkpointer(database.url, migrate=False))
        environment = {**os.environ, "GATEPOST_DATABASE_URL": database.url, "PYTHONPATH": str(ROOT)}
        processes = [_started(stack, environment) for _ in range(PROCESSES)]
        assert all(_line(process) == "ready\n" for process in processes)
        yield Crowd(checkpointer, processes, environment)


def _started(stack: ExitStack, environment: dict[str, str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.crowd"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"a process ended with {process.wait()}"
    return line


def _booked(run: str) -> int:
    return paid()[key_of(tenant="local", root_run=run, step="pay")]


def test_fifty_people_decide_one_question_once_and_the_others_are_told(crowd: Crowd) -> None:
    for number in range(CROWD_ROUNDS):
        run = f"fifty-{number}"
        asked = crowd.ask("one", run)
        reports = crowd.answer(run, lambda person, asked=asked: asked.approve(by=f"p{person}"))  # type: ignore[misc]
        _one_answer(crowd, asked, reports)
        assert (crowd.ended(run), _booked(run)) == ("succeeded", 1)


def test_yes_against_no_the_effect_exists_exactly_when_yes_won(crowd: Crowd) -> None:
    won = set()
    for number in range(RACE_ROUNDS):
        run = f"race-{number}"
        asked = crowd.ask("one", run)

        def answer(person: int, asked: ApprovalRequest = asked, number: int = number) -> Any:
            yes = (person + number) % 2 == 0
            return asked.approve(by=f"p{person}") if yes else asked.reject(by=f"p{person}")

        decision = _one_answer(crowd, asked, crowd.answer(run, answer))
        won.add(decision["type"])
        expected = ("succeeded", 1) if decision["type"] == "approve" else ("rejected", 0)
        assert (crowd.ended(run), _booked(run)) == expected
    assert won <= {"approve", "reject"}


def test_fifty_people_where_two_are_asked_for(crowd: Crowd) -> None:
    for number in range(CROWD_ROUNDS):
        run = f"two-{number}"
        asked = crowd.ask("two", run)
        reports = crowd.answer(run, lambda person, asked=asked: asked.approve(by=f"p{person % 25}"))  # type: ignore[misc]
        (decision,) = crowd.decisions(asked)
        told = [report["decision"] for report in reports if "decision" in report]
        first = {one["by"] for one in told if one.get("decided") is False}
        assert len(first) == 1, "a first yes, and the repeats of it"
        assert first != {decision["principal"]}, "one person was counted twice"
        assert (crowd.ended(run), _booked(run)) == ("succeeded", 1)
        life = crowd.checkpointer.bridge.run(crowd.checkpointer.approvals.life(asked.id))
        assert [one["kind"] for one in life if one["kind"] != "refused"] == ["approve", "approve"]


def test_the_command_line_against_the_crowd(crowd: Crowd) -> None:
    asked = crowd.ask("one", "shell")
    typed = [*COMMAND, "--workflows", "tests.acceptance.gated:WORKFLOWS", "approval", "approve", asked.id]
    with ExitStack() as stack:
        shells = [_typed(stack, [*typed, "--as", f"c{number}"], crowd.environment) for number in range(2)]
        crowd.answer("shell", lambda person: asked.approve(by=f"p{person}"))
        told = [(shell.communicate(timeout=60)[1], shell.returncode) for shell in shells]
    (decision,) = crowd.decisions(asked)
    assert (crowd.ended("shell"), _booked("shell")) == ("succeeded", 1)
    for number, (said, code) in enumerate(told):
        mine = decision["principal"] == f"c{number}"
        assert code == (0 if mine else 5), said
        assert mine or f"is decided: approve by {decision['principal']}" in said


def _typed(stack: ExitStack, words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return stack.enter_context(started(words, cwd=ROOT, env=environment, text=True))


def _one_answer(crowd: Crowd, asked: ApprovalRequest, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """One answer is recorded; whoever gave another one is told so."""
    (row,) = crowd.decisions(asked)
    winners = [report["decision"] for report in reports if "decision" in report]
    assert [(one["by"], one["repeated"]) for one in winners] == [(row["principal"], False)]
    lost = [report for report in reports if "error" in report]
    assert len(winners) + len(lost) == PROCESSES * PEOPLE
    for report in lost:
        assert report["error"] == "AlreadyDecided", report
        assert (report["recorded"]["by"], report["recorded"]["type"]) == (row["principal"], row["type"])
    decision: dict[str, Any] = winners[0]
    return decision
