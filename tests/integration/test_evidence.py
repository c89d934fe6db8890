"""Facts that a step relies on: read again when they are too old, and what follows from what is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command
from typer.testing import CliRunner

from gatepost import (
    Condition,
    EffectContext,
    Fact,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Situation,
    Step,
    Workflow,
    ref,
    replay,
    tool,
)
from gatepost.service.cli.app import app
from gatepost.state.approval import decision_of
from gatepost.state.errors import InvalidPlan

CONFIG: Any = {"configurable": {"thread_id": "r1"}}


class Market:
    """A price that moves, a total made of it, and a purchase that relies on both."""

    def __init__(
        self, build: Callable[..., GatepostGraph], *, signed: bool = False, budget: int | None = None, **options: Any
    ) -> None:
        self.price: Any = 100
        self.note = "quiet"
        self.reads = 0
        self.fails = 0
        self.bought: list[int] = []

        @tool(effect="read", material={"/price": 2}, cost=3)
        def quote() -> dict[str, Any]:
            self.reads += 1
            if self.fails:
                self.fails -= 1
                raise ConnectionError("the market is closed")
            return {"price": self.price, "note": self.note}

        @tool(effect="read")
        def total(price: int) -> int:
            return price * 10

        @tool(effect="write", on_doubt="retry", cost=10)
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
            name="buy",
            goals=("buy",),
            strategy=FixedPlan(Plan(steps=steps)),
            tools=(quote, total, buy, sign),
            budget=budget,
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
    market.price, market.note = 120, "noisy"
    result = market.answer(asked.approve(by="alice"))
    again = result["approval"]
    assert (result["status"], market.bought, market.reads) == ("blocked", [], 2)
    assert (again.supersedes, again.args) == (asked.id, {"cents": 1200})
    assert again.changes == (
        {"fact": "quote", "at": "/price", "was": 100, "now": 120},
        {"fact": "quote", "at": "/note", "was": "quiet", "now": "noisy", "material": False},
    )
    assert "quote/price 100 → 120" in again.describe()
    shown = CliRunner().invoke(
        app, ["approval", "show", again.id], env={"GATEPOST_DATABASE_URL": gatepost_database.url}
    )
    assert (
        f"  what it relies on changed since it was asked ({asked.id}):\n"
        "    fact         was    is     matters\n"
        "    quote/price  100    120    yes\n"
        "    quote/note   quiet  noisy  no\n"
    ) in shown.stdout
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


def test_every_reading_is_paid_for_and_a_call_that_was_not_made_is_not(
    market: Market, gatepost_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the dispatch and the call, the step is sent back, and everything happens after all."""
    asked = market.ask()
    assert market.graph.get_state(CONFIG).values["counters"]["spent"] == 3
    market.graph.decide(decision_of(asked.approve(by="alice")))
    for _ in market.graph.stream(None, CONFIG, interrupt_before=["executor"]):
        pass
    assert market.graph.get_state(CONFIG).values["counters"]["spent"] == 13
    gatepost_database.clock.shift(timedelta(days=3))
    market.price = 120
    result = market.graph.invoke(None, CONFIG)
    assert (result["counters"]["spent"], result["status"], market.reads) == (6, "blocked", 2)
    result = market.answer(result["approval"].approve(by="alice"))
    assert (result["counters"]["spent"], market.bought) == (16, [1200])
    assert {step: record.get("spent") for step, record in result["steps"].items()} == {
        "quote": 6, "total": 6, "buy": 16,
    }  # fmt: skip


def test_a_reading_for_which_the_run_has_no_budget_left_is_asked_about(
    gatepost_graph: Callable[..., GatepostGraph], gatepost_database: Any
) -> None:
    market = Market(gatepost_graph, budget=5)
    asked = market.ask()
    gatepost_database.clock.shift(timedelta(days=3))
    result = market.answer(asked.approve(by="alice"))
    again = result["approval"]
    assert (result["status"], again.step, again.impact[0]["cost"], market.reads) == ("blocked", "quote", 3, 1)
    result = market.answer(again.approve(by="alice"))
    assert (result["status"], market.reads, market.bought) == ("succeeded", 2, [1000])


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


class Careless:
    """Plans like a model that has forgotten how old its facts may be, or what they are."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps

    def plan(self, situation: Situation) -> Plan | None:
        return Plan(steps=self._steps) if situation.plan is None else None


class Stall:
    """A purchase whose tool demands a fresh quote."""

    def __init__(self, build: Callable[..., GatepostGraph], *steps: Step, fixed: bool = False) -> None:
        self.price = 100
        self.bought: list[int] = []

        @tool(effect="read")
        def quote() -> dict[str, Any]:
            return {"price": self.price, "at": len(self.bought)}

        @tool(effect="write", on_doubt="retry", relies_on={"quote": Fact(timedelta(days=1), material={"/price": 5})})
        def buy(ctx: EffectContext, cents: int) -> str:
            self.bought.append(cents)
            return "bought"

        strategy = FixedPlan(Plan(steps=steps)) if fixed else Careless(*steps)
        self.graph = build([Workflow(name="w", goals=("buy",), strategy=strategy, tools=(quote, buy))])


QUOTE = Step(id="q", tool="quote")
BUY = Step(id="buy", tool="buy", args={"cents": ref("q", "/price")})


@pytest.mark.parametrize(("price", "status", "bought"), [(106, "blocked", []), (105, "succeeded", [100])])
def test_a_tool_demands_fresh_facts_of_whoever_plans(
    gatepost_graph: Callable[..., GatepostGraph], gatepost_database: Any, price: int, status: str, bought: list[int]
) -> None:
    stall = Stall(gatepost_graph, QUOTE, BUY)
    asked = stall.graph.invoke({"goal": "buy"}, CONFIG)["approval"]
    assert asked.facts == {"q": {"price": 100, "at": 0}}
    gatepost_database.clock.shift(timedelta(days=3))
    stall.price = price
    result = stall.graph.invoke(Command(resume=asked.approve(by="alice")), CONFIG)
    assert (result["status"], stall.bought) == (status, bought)
    assert result["plan"]["steps"][1]["relies_on"] == {"q": "P1D"}


def test_a_plan_without_what_a_tool_demands_is_refused_with_the_way_out(
    gatepost_graph: Callable[..., GatepostGraph],
) -> None:
    blind = Step(id="buy", tool="buy", args={"cents": 100})
    result = Stall(gatepost_graph, blind).graph.invoke({"goal": "buy"}, CONFIG)
    assert result["status"] == "failed"
    assert "add a step that calls 'quote', and let 'buy' need it" in result["outcome"]["reason"]
    with pytest.raises(InvalidPlan, match="add a step that calls 'quote'"):
        Stall(gatepost_graph, blind, fixed=True)


def test_a_demanded_reading_that_was_left_out_stops_the_step(gatepost_graph: Callable[..., GatepostGraph]) -> None:
    never = Condition(ref="input#/missing", op="present")
    stall = Stall(
        gatepost_graph,
        Step(id="q", tool="quote", when=never),
        Step(id="buy", tool="buy", needs=("q",), args={"cents": 1}),
    )
    result = stall.graph.invoke({"goal": "buy"}, CONFIG)
    assert (result["status"], result["approval"]) == ("failed", None)
    assert "may only rest on a reading of 'quote', and step 'q' was skipped" in result["outcome"]["reason"]
