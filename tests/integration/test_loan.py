"""The loan of `examples/loan`: tries to have the bureau asked twice, the parser run again, a scorer that is down hold a
worker, and a loan granted on a credit file that is not true any more. Who was called how often, and under which key, is
counted by the other side of a real HTTP connection.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command
from tests.acceptance.processes import serving
from typer.testing import CliRunner

from gatepost import ApprovalRequest, GatepostGraph, NotDone, Policy
from gatepost.examples.loan import GOAL, WORKFLOW
from gatepost.examples.loan.artifact import ARTIFACT, LoanDecision
from gatepost.examples.loan.pages import read_pages
from gatepost.examples.services import APPLICANT, HIT_COSTS, SCORE_COSTS, SERVICES_VARIABLE, Bank
from gatepost.examples.services.applications import APPLICATION, FIRST_FILE, application
from gatepost.service.cli.app import app
from gatepost.state.ids import new_run_id
from gatepost.testing import Database

ONCE = {"applications": 1, "bureau": 1, "scores": 2, "grants": 1, "letters": 1}
"""The calls of a loan of which nothing changes: the scorer answers 503 the first time."""


class Branch:
    """The graph, the services, and the compliance department."""

    def __init__(self, graph: GatepostGraph, bank: Bank, database: Database) -> None:
        self.graph, self.bank, self.database = graph, bank, database
        self.run = new_run_id()
        self.config: Any = {"configurable": {"thread_id": self.run}}
        bank.report(APPLICANT, **FIRST_FILE)
        self.say("role", "grant", "carol", "compliance")

    def say(self, *words: str) -> str:
        """A command."""
        said = CliRunner().invoke(app, words, env={"GATEPOST_DATABASE_URL": self.database.url})
        assert said.exit_code == 0, said.output
        return said.stdout

    def open(self) -> ApprovalRequest:
        """Start, up to the question."""
        asked = self.graph.invoke({"goal": GOAL}, self.config)["approval"]
        assert isinstance(asked, ApprovalRequest)
        return asked

    def answer(self, answer: Any) -> dict[str, Any]:
        """Compliance answers."""
        result: dict[str, Any] = self.graph.invoke(Command(resume=answer), self.config)
        return result

    def calls(self) -> dict[str, int]:
        """How often each endpoint was called."""
        books = self.bank.books(prefix=f"/loans/{self.run}/")
        return {name: book["attempts"] for name, book in books.items() if book["attempts"]}

    def statuses(self, endpoint: str) -> list[list[int | None]]:
        """How its calls ended, for each key in turn."""
        return [book["statuses"] for book in self.bank.books(prefix=f"/loans/{self.run}/")[endpoint]["by_key"].values()]

    def decision(self) -> LoanDecision:
        """The artifact."""
        (row,) = self.graph.saver.bridge.run(self.graph.saver.history.artifacts(self.run))
        assert row["name"] == ARTIFACT
        return LoanDecision.model_validate(json.loads(row["content"]))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("services") / "books.sqlite") as url:
        yield url


@pytest.fixture
def branch(
    gatepost_graph: Callable[..., GatepostGraph], gatepost_database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Branch]:
    monkeypatch.setenv(SERVICES_VARIABLE, url)
    with Bank(url) as bank:
        yield Branch(gatepost_graph([WORKFLOW]), bank, gatepost_database)


def test_a_scorer_that_fails_once_is_tried_again_and_the_bureau_is_not(branch: Branch) -> None:
    asked = branch.open()
    assert (asked.step, asked.args["grade"]) == ("compliance", "A")
    assert branch.calls() == {"applications": 1, "bureau": 1, "scores": 2}
    assert branch.statuses("scores") == [[503, 201]], "under one key"
    shown = branch.say("approval", "show", asked.id)
    assert "compliance by loan_grant (write): nothing undoes it; notification waits for it" in shown
    assert "notification by letter_send (irreversible): a pivot: nothing can undo it" in shown

    result = branch.answer(asked.approve(by="carol"))
    assert (result["status"], branch.calls()) == ("succeeded", ONCE)
    assert result["counters"]["spent"] == result["outcome"]["units"] == HIT_COSTS + SCORE_COSTS
    made = branch.decision()
    assert (made.decision, made.reviewer and made.reviewer.name, made.application.pages) == ("granted", "carol", 40)
    assert result["outcome"]["failure"] == made.failure.model_dump()
    assert (made.failure.calls, made.failure.units) == (1, 0)
    assert made.failure.seconds > 0, "there was a pause between the two"


def test_a_scorer_that_is_down_for_long_holds_nobody(branch: Branch, lone_owner: Any) -> None:
    branch.bank.fault(f"/loans/{branch.run}/score", kind="status", status=503, retry_after="1800")
    result = branch.graph.invoke({"goal": GOAL}, branch.config)
    row = lone_owner.run(branch.run)
    assert (result["status"], row["status"], row["owner"]) == ("waiting", "waiting", None)
    assert branch.graph.invoke(None, branch.config)["status"] == "waiting", "before it is time"
    branch.database.clock.shift(timedelta(minutes=31))
    asked = branch.graph.invoke(None, branch.config)["approval"]
    assert branch.answer(asked.approve(by="carol"))["status"] == "succeeded"
    assert branch.calls() == ONCE
    assert branch.statuses("scores") == [[503, 201]], "under one key"
    assert (branch.decision().failure.calls, branch.decision().failure.units) == (1, 0)


def test_bureau_data_that_change_in_six_hours_reopen_the_approval_with_the_difference(branch: Branch) -> None:
    asked = branch.open()
    branch.database.clock.shift(timedelta(hours=6))
    branch.bank.report(APPLICANT, score=655, open_loans=1)
    again = branch.answer(asked.approve(by="carol"))["approval"]
    assert (again.step, again.supersedes, again.args["grade"]) == ("compliance", asked.id, "C")
    assert branch.calls() == {"applications": 1, "bureau": 2, "scores": 3}, "what was made of it is made anew"
    said = [line.split() for line in branch.say("approval", "show", again.id).splitlines()]
    assert ["eligibility/score", "712", "655", "yes"] in said
    assert [line[-1] for line in said if line and line[0] == "eligibility/as_of"] == ["no"]

    result = branch.answer(again.approve(by="carol"))
    assert (result["status"], result["counters"]["spent"]) == ("succeeded", 2 * (HIT_COSTS + SCORE_COSTS))
    assert branch.calls() == {**ONCE, "bureau": 2, "scores": 3}
    made = branch.decision()
    assert (made.grade, made.credit_file.score, made.units) == ("C", 655, result["counters"]["spent"])
    assert {name: made.changed[0][name] for name in ("at", "was", "now")} == {"at": "/score", "was": 712, "now": 655}
    assert (made.failure.calls, made.failure.units) == (1, 0), "what was read again was no failure"


@pytest.mark.parametrize(("hours", "hits"), [(3, 1), (6, 2)])
def test_bureau_data_that_do_not_change_leave_the_approval_standing(branch: Branch, hours: int, hits: int) -> None:
    asked = branch.open()
    branch.database.clock.shift(timedelta(hours=hours))
    result = branch.answer(asked.approve(by="carol"))
    assert (result["status"], result["steps"]["compliance"]["label"]) == ("succeeded", "granted")
    assert branch.calls() == {**ONCE, "bureau": hits}
    assert result["counters"]["spent"] == branch.decision().units == hits * HIT_COSTS + SCORE_COSTS


def test_what_compliance_refuses_is_neither_granted_nor_written_about(branch: Branch) -> None:
    asked = branch.open()
    result = branch.answer(asked.reject(by="carol", comment="the salary does not carry it"))
    assert (result["status"], result["outcome"]["decision"]) == ("rejected", "refused")
    made = branch.decision()
    assert (made.loan, made.letter, made.reviewer and made.reviewer.comment) == (
        None, None, "the salary does not carry it",
    )  # fmt: skip
    assert branch.calls() == {"applications": 1, "bureau": 1, "scores": 2}


def test_a_refusal_of_something_else_is_no_decision_about_the_loan(
    gatepost_graph: Callable[..., GatepostGraph], branch: Branch
) -> None:
    strict = Policy('@id("decide") permit (principal, action == Action::"decide", resource);')
    branch.graph = gatepost_graph([WORKFLOW], policy=strict)
    asked = branch.open()
    assert asked.step == "parse"
    result = branch.answer(asked.reject(by="dora"))
    assert (result["status"], result["outcome"]["decision"]) == ("rejected", None)
    assert result["outcome"]["artifacts"] == []
    assert branch.calls() == {}


def test_what_the_parser_cannot_read_asks_no_bureau() -> None:
    pages = application(APPLICATION)["pages"]
    assert read_pages(pages).monthly_salary == 3500
    with pytest.raises(NotDone, match="no salary on any of 1 pages"):
        read_pages(pages[:1])
    with pytest.raises(NotDone, match="name 2 values for the applicant"):
        read_pages([*pages, "Applicant: somebody-else\n"])
