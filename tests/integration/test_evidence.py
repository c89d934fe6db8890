"""Facts that a step relies on: read again when they are too old, and what follows from what is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import Condition, EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, ref, replay, tool
from gatepost.state.approval import decision_of

CONFIG: Any = {"configurable": {"thread_id": "r1"}}


class Market:
    """A price that moves, a total made of it, and a purchase that relies on both."""

    def __init__(self, build: Callable[..., GatepostGraph], *, signed: bool = False, **options: Any) -> None:
        self.price: Any = 100
        self.note = "quiet"
        self.reads = 0
        self.fails = 0
        self.bought: list[int] = []

        @tool(effect="read", material={"/price": 2})
        def quote() -> dict[str, Any]:
            self.reads += 1
            if self.fails:
                self.fails -= 1
                raise ConnectionError("the market is closed")
            return {"price": self.price, "note": self.note}

        @tool(effect="read")
        def total(price: int) -> int:
            return price * 10

        @tool(effect="write", on_doubt="retry")
        def buy(ctx: EffectContext, cents: int) -> str:
            self.bought.append(cents)
            return "bought"

        @tool(effect="write", on_doubt="retry")
        def sign(ctx: EffectContext, by: str) -> str:
            return by

        steps = (
            *([Step(id="sign", tool="sign", args={"by": "ada"})] if signed else []),
            Step(id="quote", tool="quote"),
            Step(id="total", tool="total", args={"price": ref("quote", "/price")}),
            Step(
                id="buy",
                tool="buy",
                args={"cents": ref("total")},
                needs=("sign",) if signed else (),
                relies_on={"quote": timedelta(days=1)},
            ),
        )
        workflow = Workflow(
            name="buy", goals=("buy",), strategy=FixedPlan(Plan(steps=steps)), tools=(quote, total, buy, sign)
        )
        self.graph = build([workflow], **options)

    def ask(self) -> Any:
        return self.graph.invoke({"goal": "buy"}, CONFIG)["approval"]

    def answer(self, said: Any) -> Any:
        return self.graph.invoke(Command(resume=said), CONFIG)


@pytest.fixture
def market(gatepost_graph: Callable[..., GatepostGraph]) -> Market:
    return Market(gatepost_graph)


def test_a_price_that_moved_in_three_days_reopens_the_approval_and_shows_both(
    market: Market, gatepost_database: Any, lone_owner: Any
) -> None:
    asked = market.ask()
    assert asked.facts == {"quote": {"price": 100, "note": "quiet"}}
    gatepost_database.clock.shift(timedelta(days=3))
    market.price = 120
    result = market.answer(asked.approve(by="alice"))
    again = result["approval"]
    assert (result["status"], market.bought, market.reads) == ("blocked", [], 2)
    assert (again.supersedes, again.args) == (asked.id, {"cents": 1200})
    assert again.changes == ({"fact": "quote", "at": "/price", "was": 100, "now": 120},)
    assert "quote/price 100 → 120" in again.describe()
    (old,) = lone_owner.rows("SELECT status::text FROM gatepost.approval WHERE approval_id = %s", asked.id)
    assert old["status"] == "void"
    result = market.answer(again.approve(by="alice"))
    assert (result["status"], market.bought, market.reads) == ("succeeded", [1200], 2)


@pytest.mark.parametrize("note", ["quiet", "noisy"])
def test_a_price_that_did_not_move_runs_as_approved(market: Market, gatepost_database: Any, note: str) -> None:
    asked = market.ask()
    gatepost_database.clock.shift(timedelta(days=3))
    market.note, market.price = note, 100 if note == "quiet" else 101
    result = market.answer(asked.approve(by="alice"))
    assert (result["status"], market.bought, market.reads) == ("succeeded", [1000], 2)
    assert result["steps"]["quote"]["reason"].startswith("read again: stands")
    assert result["counters"]["succeeded"] == 3
    assert replay("r1", market.graph).identical  # what was read the second time is not on record, and need not be


def test_facts_young_enough_are_not_read_again(market: Market, gatepost_database: Any) -> None:
    asked = market.ask()
    gatepost_database.clock.shift(timedelta(hours=23))
    market.price = 120
    assert market.answer(asked.approve(by="alice"))["status"] == "succeeded"
    assert (market.bought, market.reads) == ([1000], 1)


def test_an_edit_of_what_has_changed_is_asked_anew(market: Market, gatepost_database: Any) -> None:
    asked = market.ask()
    gatepost_database.clock.shift(timedelta(days=3))
    market.price = 120
    again = market.answer(asked.edit(by="alice", cents=900))["approval"]
    assert (again.supersedes, again.args, market.bought) == (asked.id, {"cents": 1200}, [])


def test_an_edit_of_what_stands_runs_as_edited(market: Market, gatepost_database: Any) -> None:
    asked = market.ask()
    gatepost_database.clock.shift(timedelta(days=3))
    assert market.answer(asked.edit(by="alice", cents=900))["status"] == "succeeded"
    assert market.bought == [900]


def test_a_reading_that_fails_for_good_sends_nothing(market: Market, gatepost_database: Any) -> None:
    asked = market.ask()
    gatepost_database.clock.shift(timedelta(days=3))
    market.fails = 100
    result = market.answer(asked.approve(by="alice"))
    assert (result["status"], market.bought) == ("failed", [])
    assert "step quote failed" in result["outcome"]["reason"]


def test_facts_that_age_after_the_gate_let_the_step_go_are_read_again(
    market: Market, gatepost_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the dispatch and the call, and comes back three days later."""
    asked = market.ask()
    market.graph.decide(decision_of(asked.approve(by="alice")))
    killed = RuntimeError("dies here")

    async def die(*_: Any, **__: Any) -> Any:
        raise killed

    with monkeypatch.context() as patched:
        patched.setattr("gatepost.nodes.executor._authorised", die)
        with pytest.raises(RuntimeError, match="dies here"):
            market.graph.invoke(None, CONFIG)
    gatepost_database.clock.shift(timedelta(days=3))
    market.price = 120
    result = market.graph.invoke(None, CONFIG)
    assert (result["status"], market.bought, market.reads) == ("blocked", [], 2)
    assert result["approval"].supersedes == asked.id


CHEAP = """
@id("reads") permit (principal, action == Action::"run", resource) when { context.effect == "read" };
@id("cheap") permit (principal, action == Action::"run", resource)
when { context has args && context.args has cents && context.args.cents < 1100 };
@id("decide") permit (principal, action == Action::"decide", resource);
"""


def test_a_step_that_nobody_had_to_approve_is_judged_anew_with_what_is_read(
    gatepost_graph: Callable[..., GatepostGraph], gatepost_database: Any
) -> None:
    market = Market(gatepost_graph, signed=True, policy=Policy(CHEAP))
    signature = market.ask()
    assert signature.step == "sign"
    gatepost_database.clock.shift(timedelta(days=3))
    market.price = 120
    result = market.answer(signature.approve(by="alice"))
    assert (result["status"], result["approval"].args, market.bought) == ("blocked", {"cents": 1200}, [])
    assert market.reads == 2


def test_a_question_that_the_policy_forbids_by_now_is_not_asked_any_more(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any
) -> None:
    first, second = shop.open(goal="sell to two"), shop.asks()[1]
    when = 'context.args has customer && context.args.customer == "bob"'
    forbid = f'@id("no-bob") forbid (principal, action == Action::"run", resource) when {{ {when} }};'
    stricter = build(shop.workflows(), policy=Policy(CHEAP + forbid))
    result = stricter.invoke(Command(resume=first.approve(by="alice")), shop.config())
    assert result["status"] == "failed"
    assert "no-bob" in result["outcome"]["reason"]
    (row,) = owner.rows("SELECT status::text FROM gatepost.approval WHERE approval_id = %s", second.id)
    assert (row["status"], [what for what in shop.sold() if "bob" in what]) == ("void", [])


def test_a_step_that_its_facts_make_needless_is_left_out_and_the_run_ends(
    gatepost_graph: Callable[..., GatepostGraph], gatepost_database: Any
) -> None:
    price = [100]

    @tool(effect="read")
    def quote() -> int:
        return price[0]

    @tool(effect="write", on_doubt="retry")
    def buy(what: str) -> str:
        return what

    cheap = Condition(ref="quote", op="equals", value=100)
    steps = (
        Step(id="quote", tool="quote"),
        Step(id="buy", tool="buy", args={"what": "it"}, when=cheap, relies_on={"quote": timedelta(days=1)}),
    )
    graph = gatepost_graph(
        [Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(quote, buy))]
    )
    asked = graph.invoke({"goal": "w"}, CONFIG)["approval"]
    gatepost_database.clock.shift(timedelta(days=3))
    price[0] = 200
    result = graph.invoke(Command(resume=asked.approve(by="alice")), CONFIG)
    assert (result["status"], result["steps"]["buy"]["status"]) == ("succeeded", "skipped")
