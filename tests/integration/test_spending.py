"""What a run has set out to spend: each call that may have been made, once, whatever crashed; nodes/spending.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import Conclusion, EffectContext, Ending, FixedPlan, NotDone, Plan, Policy, Step, Workflow, tool
from gatepost.graph.compiled import GatepostGraph
from gatepost.state.errors import LostRun

CONFIG: Any = {"configurable": {"thread_id": "run"}}
THRIFTY = """
@id("run") permit (principal, action == Action::"run", resource) when { context.tool != "buy" }
unless { context has budget && context.spent + context.cost > context.budget };
@id("decide") permit (principal, action == Action::"decide", resource);
@id("over") forbid (principal, action == Action::"run", resource)
when { context has budget && context.args has cents && context.spent + context.args.cents > context.budget };
"""


def said(ending: Ending) -> Conclusion:
    return Conclusion(outcome={"units": ending.spent})


class Shop:
    """Buys, which a person has to allow, and looks, which nobody has to; as `ends` says, one word for each call."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.ends: list[str] = []
        self.calls = 0
        self.meanwhile: Callable[[], object] = lambda: None

        def call() -> str:
            self.calls += 1
            self.meanwhile()
            match self.ends.pop(0) if self.ends else "done":
                case "refused":
                    raise NotDone("no")
                case "lost":
                    raise TimeoutError("no answer")
            return "done"

        @tool(effect="write", on_doubt="ask", cost="cents", on_failure={"validation": "escalate"})
        def buy(ctx: EffectContext, cents: int) -> str:
            return call()

        @tool(effect="write", on_doubt="ask", cost="cents", on_failure={"validation": "escalate"})
        def send(ctx: EffectContext, cents: int) -> str:
            return call()

        @tool(effect="read", cost="cents", on_failure={"validation": "escalate"})
        def look(cents: int) -> str:
            return call()

        self.tools = (buy, send, look)
        self.build = build

    def run(self, *steps: Step) -> dict[str, Any]:
        """Begin."""
        plan = FixedPlan(Plan(steps=steps))
        flow = Workflow(name="w", goals=("w",), strategy=plan, tools=self.tools, budget=25, conclude=said)
        self.graph = self.build([flow], policy=Policy(THRIFTY))
        return self.say({"goal": "w"})

    def say(self, value: Any) -> dict[str, Any]:
        """Go on."""
        found: dict[str, Any] = self.graph.invoke(value, CONFIG)
        return found

    def answer(self, decision: Any) -> dict[str, Any]:
        """Answer, and go on."""
        return self.say(Command(resume=decision))


@pytest.fixture
def shop(gatepost_graph: Callable[..., GatepostGraph]) -> Shop:
    return Shop(gatepost_graph)


def spent(result: dict[str, Any]) -> int:
    return int(result["counters"].get("spent", 0))


def test_a_refused_call_is_given_back_and_counts_when_it_is_made_anew_under_its_approval(shop: Shop) -> None:
    shop.ends = ["refused", "refused"]
    asked = shop.run(Step(id="buy", tool="buy", args={"cents": 5}))["approval"]
    failed = shop.answer(asked.edit(by="alice", cents=10))
    assert (failed["approval"].kind, shop.calls, spent(failed)) == ("failure", 1, 0)
    failed = shop.answer(failed["approval"].approve(by="bob"))
    assert (failed["approval"].kind, shop.calls, spent(failed)) == ("failure", 2, 0)
    done = shop.answer(failed["approval"].approve(by="bob"))
    assert (done["status"], shop.calls, spent(done)) == ("succeeded", 3, 10)


def test_what_is_in_doubt_counts_until_somebody_has_found_out(shop: Shop) -> None:
    shop.ends = ["lost"]
    doubt = shop.run(Step(id="send", tool="send", args={"cents": 10}))
    assert (doubt["approval"].kind, spent(doubt)) == ("doubt", 10)
    found = shop.answer(doubt["approval"].did_not_happen(by="bob"))
    assert (found["steps"]["send"]["status"], spent(found)) == ("failed", 0)


def test_a_read_that_failed_counts_and_counts_again_when_it_is_made_anew(shop: Shop) -> None:
    shop.ends = ["refused"]
    failed = shop.run(Step(id="look", tool="look", args={"cents": 10}))
    assert (failed["approval"].kind, spent(failed)) == ("failure", 10)
    done = shop.answer(failed["approval"].approve(by="bob"))
    assert (spent(done), done["outcome"]["units"]) == (20, 20)
    assert shop.graph.saver.bridge.run(shop.graph.saver.history.spent("run")) == 20


def test_a_call_whose_process_died_counts_once(shop: Shop, lone_owner: Any) -> None:
    shop.meanwhile = lambda: lone_owner.change("UPDATE gatepost.run SET epoch = epoch + 1, lease_expires_at = now()")
    with pytest.raises(LostRun):
        shop.run(Step(id="send", tool="send", args={"cents": 10}))
    doubt = shop.say(None)
    assert (doubt["approval"].kind, shop.calls, spent(doubt)) == ("doubt", 1, 10)
    assert spent(shop.answer(doubt["approval"].did_not_happen(by="bob"))) == 0


def test_an_edit_is_judged_by_what_was_not_given_back(shop: Shop) -> None:
    """Of 25, a refused 20 leaves all; a step that was done leaves the rest, also to whoever edits."""
    shop.ends = ["refused"]
    steps = (
        Step(id="send", tool="send", args={"cents": 20}),
        Step(id="buy", tool="buy", args={"cents": 1}),
    )
    result = shop.run(*steps)
    failure, asked = sorted(result["approvals"], key=lambda found: found.step, reverse=True)
    assert (failure.kind, asked.step, spent(result)) == ("failure", "buy", 0)
    result = shop.answer(asked.edit(by="alice", cents=25))
    assert spent(result) == 25
