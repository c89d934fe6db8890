"""Tries to have a run refused, or its approval or its key lost, because a tool became another version meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gatepost import (
    Decision,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    NotDone,
    Plan,
    Policy,
    Retry,
    Step,
    Tool,
    Workflow,
    tool,
)
from gatepost.nodes.waits import LONGEST_PAUSE_SECONDS
from gatepost.testing import Database

ALL = Policy('@id("all") permit (principal, action, resource);')
CONFIG: Any = {"configurable": {"thread_id": "r"}}
WRITE: Any = {"effect": "write", "on_doubt": "retry", "cost": "cents"}
SOON = Retry(attempts=2, first=timedelta(milliseconds=1))


class Bank:
    """Two versions of one tool: the second takes a currency as well, and needs none."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.sent: list[tuple[str, str]] = []
        self.trouble: list[Exception] = []
        self._build = build

    def first(self, **options: Any) -> GatepostGraph:
        @tool(**WRITE, retry=SOON, version="1")
        def pay(ctx: EffectContext, cents: int) -> str:
            return self._send(ctx, f"{cents}")

        return self._graph(pay, **options)

    def second(self, **options: Any) -> GatepostGraph:
        @tool(**WRITE, retry=SOON, version="2")
        def pay(ctx: EffectContext, cents: int, currency: str = "EUR") -> str:
            return self._send(ctx, f"{cents} {currency}")

        return self._graph(pay, **options)

    def _graph(self, pay: Tool[..., Any], **options: Any) -> GatepostGraph:
        steps = (
            Step(id="pay", tool="pay", args={"cents": 5}),
            Step(id="more", tool="pay", args={"cents": 7}, needs=("pay",)),
        )
        return self._build(
            [Workflow(name="w", goals=("g",), strategy=FixedPlan(Plan(steps=steps)), tools=(pay,))], **options
        )

    def _send(self, ctx: EffectContext, what: str) -> str:
        self.sent.append((ctx.idempotency_key, what))
        if self.trouble:
            raise self.trouble.pop(0)
        return what


@pytest.fixture
def bank(gatepost_graph: Callable[..., GatepostGraph]) -> Bank:
    return Bank(gatepost_graph)


@pytest.mark.parametrize("answered_by", ["first", "second"])
def test_what_was_approved_runs_under_the_next_version(bank: Bank, answered_by: str) -> None:
    asked = bank.first().invoke({"goal": "g"}, CONFIG)["approval"]
    getattr(bank, answered_by)().decide(_decision(asked.approve(by="alice")))
    result = bank.second().invoke(None, CONFIG)
    assert [what for _, what in bank.sent] == ["5 EUR"], result["steps"]
    assert (result["steps"]["pay"]["status"], result["approval"].step) == ("succeeded", "more")
    assert result["approval"].args == {"cents": 7, "currency": "EUR"}, "what is asked now is asked as it is now"


def test_what_was_edited_runs_under_the_next_version(bank: Bank) -> None:
    asked = bank.first().invoke({"goal": "g"}, CONFIG)["approval"]
    bank.first().decide(_decision(asked.edit(by="alice", cents=6)))
    bank.second().invoke(None, CONFIG)
    assert [what for _, what in bank.sent] == ["6 EUR"]


def test_what_waits_goes_on_under_its_key(bank: Bank, gatepost_database: Database) -> None:
    bank.trouble = [NotDone("later", retry_after=timedelta(seconds=10 * LONGEST_PAUSE_SECONDS))]
    assert bank.first(policy=ALL).invoke({"goal": "g"}, CONFIG)["status"] == "waiting"
    gatepost_database.clock.shift(timedelta(seconds=11 * LONGEST_PAUSE_SECONDS))
    result = bank.second(policy=ALL).invoke(None, CONFIG)
    assert result["status"] == "succeeded"
    assert [what for _, what in bank.sent] == ["5", "5 EUR", "7 EUR"]
    assert bank.sent[0][0] == bank.sent[1][0]


def test_what_was_judged_and_not_sent_is_judged_anew(bank: Bank) -> None:
    """The process died between the gate and the call."""
    graph = bank.first(policy=ALL)
    for _ in graph.stream({"goal": "g"}, CONFIG, interrupt_before=["executor"]):
        pass
    assert bank.sent == []
    result = bank.second(policy=ALL).invoke(None, CONFIG)
    assert (result["status"], [what for _, what in bank.sent]) == ("succeeded", ["5 EUR", "7 EUR"])
    assert result["counters"]["spent"] == 12, "what was judged twice was called, and counts, once"


def _decision(answer: dict[str, Any]) -> Any:
    return Decision.model_validate(answer)
