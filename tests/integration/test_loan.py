"""Loan approval: a parser, a bureau that charges per hit, a scorer that fails once, a compliance reviewer who takes
hours, and a letter. Who was called how often is counted by the other side of a real HTTP connection.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from langgraph.types import Command
from typer.testing import CliRunner

from gatepost import EffectContext, FixedPlan, Gate, GatepostGraph, Plan, Retry, Step, Tool, Workflow, ref, tool
from gatepost.service.cli.app import app

CONFIG: Any = {"configurable": {"thread_id": "loan"}}
PER_HIT = 25
SOON = Retry(attempts=3, first=timedelta(milliseconds=1))


class Providers:
    """The bureau, the scorer and the post, behind one port."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.file = {"score": 712, "open_loans": 1, "as_of": "today"}
        self.scorer_down = 1
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where they answer."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, sent: dict[str, Any]) -> tuple[int, Any]:
        """What is called by its first name in the path."""
        self.calls[path] += 1
        if path == "/score":
            if self.calls[path] <= self.scorer_down:
                return 503, {"error": "the model is loading"}
            return 200, {"grade": "A" if sent["score"] >= 700 and sent["open_loans"] < 3 else "C"}
        return 200, self.file if path == "/bureau" else {"sent": True}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        providers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, said = providers.answer(self.path, sent)
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def providers() -> Iterator[Providers]:
    found = Providers()
    yield found
    found.close()


def tools(providers: Providers) -> tuple[Tool[..., Any], ...]:
    def post(path: str, sent: dict[str, Any], key: str = "") -> Any:
        return (
            httpx.post(f"{providers.url}{path}", json=sent, headers={"Idempotency-Key": key}).raise_for_status().json()
        )

    @tool(effect="read")
    def parse(pages: int) -> dict[str, Any]:
        providers.calls["parser"] += 1
        return {"applicant": "ada", "pages": pages, "amount": 20_000}

    @tool(effect="read", cost=PER_HIT, material=["/score", "/open_loans"])
    def bureau(applicant: str) -> dict[str, Any]:
        found: dict[str, Any] = post("/bureau", {"applicant": applicant})
        return found

    @tool(effect="read", retry=SOON)
    def score(score: int, open_loans: int) -> dict[str, str]:
        graded: dict[str, str] = post("/score", {"score": score, "open_loans": open_loans})
        return graded

    @tool(effect="write", on_doubt="retry", relies_on={"bureau": timedelta(hours=4)})
    def grant(ctx: EffectContext, applicant: str, amount: int, grade: str) -> str:
        post("/grant", {"applicant": applicant, "amount": amount}, ctx.idempotency_key)
        return f"{amount} to {applicant}, {grade}"

    @tool(effect="irreversible", on_doubt="retry")
    def notify(ctx: EffectContext, text: str) -> None:
        post("/notify", {"text": text}, ctx.idempotency_key)

    return parse, bureau, score, grant, notify


LOAN = Plan(
    steps=(
        Step(id="parse", tool="parse", args={"pages": 40}),
        Step(id="eligibility", tool="bureau", args={"applicant": ref("parse", "/applicant")}),
        Step(
            id="risk",
            tool="score",
            args={"score": ref("eligibility", "/score"), "open_loans": ref("eligibility", "/open_loans")},
        ),
        Step(
            id="compliance",
            tool="grant",
            args={
                "applicant": ref("parse", "/applicant"),
                "amount": ref("parse", "/amount"),
                "grade": ref("risk", "/grade"),
            },
        ),
        Step(id="notification", tool="notify", args={"text": ref("compliance")}),
    )
)


class Bank:
    """The workflow, and its compliance department."""

    def __init__(self, build: Callable[..., GatepostGraph], providers: Providers, database: Any) -> None:
        self.providers, self.database = providers, database
        workflow = Workflow(
            name="loan",
            goals=("loan",),
            strategy=FixedPlan(LOAN),
            tools=tools(providers),
            gates={"compliance": Gate(roles=("compliance",), decide_within=timedelta(days=1))},
        )
        self.graph = build([workflow])
        self.say("role", "grant", "carol", "compliance")

    def say(self, *words: str) -> str:
        """A command."""
        said = CliRunner().invoke(app, words, env={"GATEPOST_DATABASE_URL": self.database.url})
        assert said.exit_code == 0, said.output
        return said.stdout

    def answer(self, answer: Any) -> dict[str, Any]:
        """Compliance answers."""
        result: dict[str, Any] = self.graph.invoke(Command(resume=answer), CONFIG)
        return result

    def to_the_end(self, result: dict[str, Any]) -> dict[str, Any]:
        """The letter needs a yes as well."""
        return self.answer(result["approval"].approve(by="carol"))


@pytest.fixture
def bank(gatepost_graph: Callable[..., GatepostGraph], providers: Providers, gatepost_database: Any) -> Bank:
    return Bank(gatepost_graph, providers, gatepost_database)


def test_a_scorer_that_fails_once_is_tried_again_and_the_bureau_is_not(bank: Bank) -> None:
    result = bank.graph.invoke({"goal": "loan"}, CONFIG)
    assert (result["approval"].step, result["approval"].args["grade"]) == ("compliance", "A")
    assert bank.providers.calls == {"parser": 1, "/bureau": 1, "/score": 2}
    assert result["counters"]["spent"] == PER_HIT
    shown = bank.say("approval", "show", result["approval"].id)
    assert "compliance by grant (write): nothing undoes it; notification waits for it" in shown
    assert "notification by notify (irreversible): a pivot: nothing can undo it" in shown


def test_bureau_data_that_change_in_six_hours_reopen_the_approval_with_the_difference(bank: Bank) -> None:
    asked = bank.graph.invoke({"goal": "loan"}, CONFIG)["approval"]
    bank.database.clock.shift(timedelta(hours=6))
    bank.providers.file = {"score": 655, "open_loans": 1, "as_of": "this evening"}
    again = bank.answer(asked.approve(by="carol"))["approval"]
    assert (again.step, again.supersedes, again.args["grade"]) == ("compliance", asked.id, "C")
    assert bank.providers.calls == {"parser": 1, "/bureau": 2, "/score": 3}, "what was made of it is made anew"
    shown = bank.say("approval", "show", again.id)
    assert (
        "    fact               was    is            matters\n"
        "    eligibility/score  712    655           yes\n"
        "    eligibility/as_of  today  this evening  no\n"
    ) in shown
    result = bank.answer(again.approve(by="carol"))
    assert bank.to_the_end(result)["status"] == "succeeded"
    assert [bank.providers.calls[path] for path in ("/grant", "/notify")] == [1, 1]
    assert result["counters"]["spent"] == 2 * PER_HIT


@pytest.mark.parametrize(("hours", "hits"), [(3, 1), (6, 2)])
def test_bureau_data_that_do_not_change_leave_the_approval_standing(bank: Bank, hours: int, hits: int) -> None:
    asked = bank.graph.invoke({"goal": "loan"}, CONFIG)["approval"]
    bank.database.clock.shift(timedelta(hours=hours))
    bank.providers.file = {**bank.providers.file, "as_of": "this evening"}
    result = bank.to_the_end(bank.answer(asked.approve(by="carol")))
    assert (result["status"], result["steps"]["compliance"]["output"]) == ("succeeded", "20000 to ada, A")
    assert bank.providers.calls == {"parser": 1, "/bureau": hits, "/score": 2, "/grant": 1, "/notify": 1}
    assert result["counters"]["spent"] == hits * PER_HIT
