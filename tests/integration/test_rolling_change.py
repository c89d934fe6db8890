"""Tries to have a release that changes a tool refuse, repeat or forget what the release before it left parked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import EffectContext, FixedPlan, GatepostGraph, NotDone, Plan, Policy, Retry, Step, Workflow, tool
from gatepost.state.effect import key_of
from gatepost.testing import Database

HOUR = timedelta(hours=1)
CONFIG: Any = {"configurable": {"thread_id": "r1"}}
ALL = Policy('@id("all") permit (principal, action, resource);')
TWICE = Plan(
    steps=(
        Step(id="first", tool="charge", args={"cents": 7}),
        Step(id="second", tool="charge", args={"cents": 7}, needs=("first",)),
    )
)


class Shop:
    """A charge that one release after the other declares, and the calls that reached the provider."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self._build = build
        self.calls: list[tuple[str, str]] = []
        """Key and release."""
        self.ends: list[Exception] = []
        """How the next calls end."""

    def release(self, version: str, *, policy: Policy | None = None, on_doubt: str = "retry") -> GatepostGraph:
        """The graph as a release has it, with another version of the tool."""

        @tool(effect="write", on_doubt=on_doubt, version=version, retry=Retry(attempts=2))
        def charge(ctx: EffectContext, cents: int) -> str:
            self.calls.append((ctx.idempotency_key, version))
            if self.ends:
                raise self.ends.pop(0)
            return f"charged by {version}"

        return self._graph(charge, policy)

    def other(self, version: str, *, effect: str = "write") -> GatepostGraph:
        """The graph of a release in which the tool takes another argument, which may be left out."""

        @tool(effect=effect, on_doubt="retry", version=version)
        def charge(ctx: EffectContext, cents: int, note: str = "") -> str:
            self.calls.append((ctx.idempotency_key, version))
            return f"charged by {version}"

        return self._graph(charge, None)

    def _graph(self, charge: Any, policy: Policy | None) -> GatepostGraph:
        workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(TWICE), tools=(charge,))
        return self._build([workflow], policy=policy)


@pytest.fixture
def shop(gatepost_graph: Callable[..., GatepostGraph]) -> Shop:
    return Shop(gatepost_graph)


def _key(step: str) -> str:
    return key_of(tenant="local", root_run="r1", step=step)


def test_an_open_question_is_answered_under_the_next_release(shop: Shop, lone_owner: Any) -> None:
    """What was approved is an action, and not the release that carries it out."""
    asked = shop.release("1").invoke({"goal": "w"}, CONFIG)["approval"]
    new = shop.release("2")
    assert new.invoke(None, CONFIG)["approval"] == asked
    second = _answered(new, asked.approve(by="alice"))["approval"]
    result = _answered(shop.release("3"), second.approve(by="alice"))
    assert result["status"] == "succeeded"
    assert shop.calls == [(_key("first"), "2"), (_key("second"), "3")], "two identical charges are two charges"
    assert [effect["tool_version"] for effect in lone_owner.effects("r1")] == ["2", "3"]


def test_a_wait_goes_on_under_the_next_release(shop: Shop, gatepost_database: Database, lone_owner: Any) -> None:
    shop.ends = [NotDone("later", retry_after=HOUR)]
    assert shop.release("1", policy=ALL).invoke({"goal": "w"}, CONFIG)["status"] == "waiting"
    gatepost_database.clock.shift(HOUR)
    assert shop.release("2", policy=ALL).invoke(None, CONFIG)["status"] == "succeeded"
    assert shop.calls == [(_key("first"), "1"), (_key("first"), "2"), (_key("second"), "2")]
    assert [effect["attempts"] for effect in lone_owner.effects("r1")] == [2, 1]


@pytest.mark.parametrize("happened", [True, False])
def test_a_doubt_is_resolved_under_the_next_release(shop: Shop, *, happened: bool) -> None:
    shop.ends = [TimeoutError()]
    asked = shop.release("1", policy=ALL, on_doubt="ask").invoke({"goal": "w"}, CONFIG)["approval"]
    assert asked.kind == "doubt"
    answer = asked.happened(by="alice", result="seen") if happened else asked.did_not_happen(by="alice")
    result = _answered(shop.release("2", policy=ALL, on_doubt="ask"), answer)
    assert result["status"] == ("succeeded" if happened else "failed")
    assert shop.calls == [(_key("first"), "1"), *([(_key("second"), "2")] if happened else [])]


def test_a_held_run_is_released_under_the_next_release(shop: Shop) -> None:
    old = shop.release("1")
    asked = old.invoke({"goal": "w"}, CONFIG)["approval"]
    orders = old.saver.orders
    old.saver.bridge.run(orders.give("hold", "r1", "local", actor="olga"))
    new = shop.release("2")
    new.saver.bridge.run(orders.release("r1", "local", actor="olga"))
    assert _answered(new, asked.approve(by="alice"))["approval"].step == "second"
    assert shop.calls == [(_key("first"), "2")]


def test_a_failed_step_is_tried_again_under_the_next_release(shop: Shop) -> None:
    shop.ends = [NotDone("the client is too old")]
    assert shop.release("1", policy=ALL).invoke({"goal": "w"}, CONFIG)["status"] == "failed"
    new = shop.release("2", policy=ALL)
    new.retry_step("r1", "first", by="olga", reason="a new client")
    assert new.invoke(None, CONFIG)["status"] == "succeeded"
    anew = key_of(tenant="local", root_run="r1", step="first", generation=1)
    assert shop.calls == [(_key("first"), "1"), (anew, "2"), (_key("second"), "2")]


def test_what_was_approved_is_called_as_it_was_though_the_tool_takes_more_by_now(shop: Shop) -> None:
    asked = shop.release("1").invoke({"goal": "w"}, CONFIG)["approval"]
    new = shop.other("2")
    assert _answered(new, asked.approve(by="alice"))["approval"].step == "second"
    assert shop.calls == [(_key("first"), "2")]


def test_what_its_approval_no_longer_covers_is_asked_about_when_it_is_tried_again(
    shop: Shop, gatepost_database: Database
) -> None:
    """Approved as a write, and irreversible by now: nothing is called under the old yes."""
    asked = shop.release("1").invoke({"goal": "w"}, CONFIG)["approval"]
    shop.ends = [NotDone("later", retry_after=HOUR)]
    assert _answered(shop.release("1"), asked.approve(by="alice"))["status"] == "waiting"
    new = shop.other("2", effect="irreversible")
    gatepost_database.clock.shift(HOUR)
    assert (new.invoke(None, CONFIG)["status"], len(shop.calls)) == ("failed", 1)
    new.retry_step("r1", "first", by="olga", reason="a new release")
    anew = new.invoke(None, CONFIG)["approval"]
    assert (anew.kind, anew.step, anew.effect, len(shop.calls)) == ("action", "first", "irreversible", 1)
    assert _answered(new, anew.approve(by="alice"))["approval"].step == "second"
    assert shop.calls[1:] == [(key_of(tenant="local", root_run="r1", step="first", generation=1), "2")]


def _answered(graph: GatepostGraph, answer: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = graph.invoke(Command(resume=answer), CONFIG)
    return result
