"""Tries to make a person's answer mean something else: answered twice, in another order, too late, by the wrong
person, or with what was answered changed behind everybody's back between the answer and the act.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command
from tests.integration.conftest import Stubborn

from gatepost import (
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    RunContext,
    Situation,
    Step,
    Workflow,
    tool,
)
from gatepost.state.approval import decision_of
from gatepost.state.errors import AlreadyDecided, GatepostError, InvalidDecision, RunExists, UnknownApproval, UnknownRun
from gatepost.testing import assert_history

ACME = RunContext(tenant="acme", principal="bob")

NO_BIG = """
@id("reads-run") permit (principal, action == Action::"run", resource) when { context.effect == "read" };
@id("no-big-ones") forbid (principal, action == Action::"run", resource)
when { context.args has cents && context.args.cents > 500 };
@id("anybody") permit (principal, action == Action::"decide", resource);
"""


# the four answers


def test_approve_runs_what_was_asked(shop: Any, owner: Any) -> None:
    asked = shop.open()
    assert asked.args == {"customer": "ada", "cents": 100}
    result = shop.answer(asked.approve(by="alice", comment="fine"))
    assert result["status"] == "succeeded"
    assert result["decision"]["repeated"] is False
    assert (result["decision"]["by"], result["decision"]["comment"]) == ("alice", "fine")
    (effect,) = owner.effects(shop.run())
    assert (effect["arguments"], effect["approval_id"]) == (asked.args, asked.id)
    assert shop.booked == [(effect["key"], "ada:100")]


def test_edit_runs_the_edited_arguments_and_books_them(shop: Any, owner: Any) -> None:
    asked = shop.open()
    result = shop.answer(asked.edit(by="alice", cents=250))
    assert result["status"] == "succeeded"
    (effect,) = owner.effects(shop.run())
    assert effect["arguments"] == {"customer": "ada", "cents": 250}
    assert shop.sold() == ["ada:250"]
    (decision,) = owner.rows("SELECT * FROM gatepost.decision WHERE approval_id = %s", asked.id)
    assert decision["args"] == {"customer": "ada", "cents": 250}
    assert decision["digest"] != asked.digest


def test_reject_ends_the_run_and_runs_nothing(shop: Any, owner: Any) -> None:
    result = shop.answer(shop.open().reject(by="alice", comment="too dear"))
    assert result["status"] == "rejected"
    assert "alice" in result["outcome"]["reason"]
    assert "too dear" in result["outcome"]["reason"]
    assert shop.booked == owner.effects(shop.run()) == []
    assert owner.steps(shop.run()) == {"look": "succeeded", "charge": "cancelled"}


def test_respond_to_a_planner_without_ideas_asks_again_and_says_so(shop: Any, owner: Any) -> None:
    asked = shop.open(goal="haggle")
    again = shop.answer(asked.respond("is ada a customer?", by="alice"))["approval"]
    assert again.id != asked.id
    assert again.reasons == (*asked.reasons, "the planner has no other plan after what alice said")
    assert shop.booked == []
    assert shop.answer(again.approve(by="alice"))["status"] == "succeeded"
    assert shop.sold() == ["ada:100"]


def test_respond_to_a_fixed_plan_is_not_offered_and_is_refused_with_the_reason(shop: Any, owner: Any) -> None:
    asked = shop.open()
    assert asked.allowed == ("approve", "edit", "reject")
    assert asked.payload()["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject"]
    with pytest.raises(InvalidDecision, match=r"workflow 'sell' has a fixed plan.*it takes approve, edit, reject"):
        shop.answer(asked.respond("is ada a customer?", by="alice"))
    assert owner.rows("SELECT * FROM gatepost.decision WHERE approval_id = %s", asked.id) == []
    shop.still_answerable()


# said twice, said otherwise


@pytest.mark.parametrize("kind", ["approve", "edit", "reject", "respond"])
def test_a_repeat_is_told_what_is_recorded(shop: Any, kind: str) -> None:
    asked = shop.open(goal="haggle")
    answers: dict[str, Any] = {
        "approve": asked.approve(by="alice"),
        "edit": asked.edit(by="alice", cents=1),
        "reject": asked.reject(by="alice"),
        "respond": asked.respond("why?", by="alice"),
    }
    first = shop.answer(answers[kind])
    again = shop.answer(answers[kind])
    assert {**first["decision"], "repeated": True} == again["decision"]
    assert (again["status"], len(shop.booked)) == (first["status"], int(kind in ("approve", "edit")))
    for other in [answer for name, answer in answers.items() if name != kind]:
        with pytest.raises(AlreadyDecided, match=f"{kind} by alice") as refused:
            shop.answer(other)
        assert refused.value.recorded["type"] == kind
    with pytest.raises(AlreadyDecided):
        shop.answer({**answers[kind], "by": "bob"})


def test_a_recorded_answer_is_acted_on_by_whoever_comes_next(shop: Any, owner: Any) -> None:
    asked = shop.open()
    recorded = shop.graph.decide(decision_of(asked.approve(by="alice")))
    assert (recorded.repeated, shop.booked) == (False, [])
    assert owner.run(shop.run())["status"] == "queued"
    assert shop.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert shop.sold() == ["ada:100"]


# several at once


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_two_open_approvals_are_answered_in_any_order(shop: Any, order: tuple[str, str]) -> None:
    shop.open(goal="sell to two")
    asked = {request.step: request for request in shop.asks()}
    assert set(asked) == {"first", "second"}
    result = shop.answer(asked[order[0]].approve(by="alice"))
    assert (result["status"], len(shop.booked)) == ("blocked", 1)
    assert [request.id for request in result["approvals"]] == [asked[order[1]].id]
    assert shop.answer(asked[order[1]].approve(by="alice"))["status"] == "succeeded"
    assert sorted(shop.sold()) == ["ada:1", "bob:2"]


def test_two_answers_given_before_anybody_acts_are_both_acted_on(shop: Any) -> None:
    shop.open(goal="sell to two")
    for request in shop.asks():
        shop.graph.decide(decision_of(request.approve(by="alice")))
    assert shop.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert sorted(shop.sold()) == ["ada:1", "bob:2"]


@pytest.mark.parametrize("rejected", ["first", "second"])
@pytest.mark.parametrize("heard_first", ["yes", "no"])
def test_a_no_beats_a_yes_given_at_the_same_time(shop: Any, owner: Any, rejected: str, heard_first: str) -> None:
    shop.open(goal="sell to two")
    answers = {
        "no" if asked.step == rejected else "yes": asked.reject(by="alice")
        if asked.step == rejected
        else asked.approve(by="alice")
        for asked in shop.asks()
    }
    for word in sorted(answers, reverse=heard_first == "yes"):
        shop.graph.decide(decision_of(answers[word]))
    assert shop.graph.invoke(None, shop.config())["status"] == "rejected"
    assert shop.booked == owner.effects(shop.run()) == []


def test_a_question_that_fell_away_cannot_be_answered(shop: Any) -> None:
    shop.open(goal="sell to two")
    no, other = shop.asks()
    assert shop.answer(no.reject(by="alice"))["status"] == "rejected"
    with pytest.raises(InvalidDecision, match="void"):
        shop.answer(other.approve(by="alice"))
    assert shop.booked == []


def test_what_needs_nobody_goes_on_while_somebody_is_asked(build: Callable[..., GatepostGraph], shop: Any) -> None:
    """Ask early, block late."""
    look, charge = shop.tools
    steps = (
        Step(id="gated", tool="charge", args={"customer": "ada", "cents": 5}),
        Step(id="one", tool="look", args={"name": "1"}),
        Step(id="then", tool="look", args={"name": "2"}, needs=("one",)),
    )
    graph = build([Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(look, charge))])
    result = graph.invoke({"goal": "w"}, shop.config())
    assert {step: record["status"] for step, record in result["steps"].items()} == {
        "gated": "blocked",
        "one": "succeeded",
        "then": "succeeded",
    }
    assert_history(
        graph.saver,
        shop.run(),
        ["gated=blocked", "one=running", "one=succeeded", "then=running", "then=succeeded"],
    )


# a new plan


class Reconsiders:
    """Plans again when somebody says something: `kept` stays as it is, `changed` costs more, `dropped` goes."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def plan(self, situation: Situation) -> Plan | None:
        steps = [
            Step(id="look", tool="look", args={"name": "ada"}),
            Step(id="kept", tool="charge", args={"customer": "ada", "cents": 1}, needs=("look",)),
        ]
        if situation.plan is None:
            steps.append(Step(id="changed", tool="charge", args={"customer": "bob", "cents": 2}))
            steps.append(Step(id="dropped", tool="charge", args={"customer": "eve", "cents": 3}))
            return Plan(steps=tuple(steps))
        if len(situation.responses) == len(self.heard):
            return None
        self.heard = [said.text for said in situation.responses]
        steps.append(Step(id="changed", tool="charge", args={"customer": "bob", "cents": 200}))
        return Plan(steps=tuple(steps))


def test_a_new_plan_keeps_what_is_unchanged_and_voids_the_rest(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any
) -> None:
    strategy = Reconsiders()
    graph = build([Workflow(name="w", goals=("w",), strategy=strategy, tools=shop.tools)])
    asked = {request.step: request for request in graph.invoke({"goal": "w"}, shop.config())["approvals"]}
    assert set(asked) == {"kept", "changed", "dropped"}
    shop.graph = graph
    result = shop.answer(asked["dropped"].respond("bob pays more", by="alice"))
    assert strategy.heard == ["bob pays more"]
    now = {request.step: request for request in result["approvals"]}
    assert set(now) == {"kept", "changed"}
    assert now["kept"].id == asked["kept"].id
    assert now["changed"].id != asked["changed"].id
    assert now["changed"].args == {"customer": "bob", "cents": 200}
    with pytest.raises(InvalidDecision, match="void"):
        shop.answer(asked["changed"].approve(by="alice"))
    assert shop.booked == []
    shop.answer(asked["kept"].approve(by="alice"))
    assert shop.answer(now["changed"].approve(by="alice"))["status"] == "succeeded"
    assert shop.sold() == ["ada:1", "bob:200"]
    looks = owner.rows(
        "SELECT count(*) AS n FROM gatepost.step WHERE run_id = %s AND step_id = 'look' AND status = 'running'",
        shop.run(),
    )
    assert looks == [{"n": 1}]


# tampering between the answer and the act

TAMPERING: dict[str, str] = {
    "the plan's arguments": """
        UPDATE gatepost.plan SET plan = replace(plan::text, '100', '999')::json WHERE run_id = %(run)s""",
    "the output that the arguments refer to": """
        UPDATE gatepost.step SET record = replace(record::text, 'ada', 'eve')::json
        WHERE run_id = %(run)s AND step_id = 'look'""",
    "the evidence": """
        UPDATE gatepost.step SET record = replace(record::text, '{"name":', '{"more": 1, "name":')::json
        WHERE run_id = %(run)s AND step_id = 'look'""",
    "arguments slipped into the decision": """
        UPDATE gatepost.decision SET args = '{"customer": "eve", "cents": 100}' WHERE approval_id = %(approval)s""",
    "an approval turned into an edit": """
        UPDATE gatepost.decision SET type = 'edit', args = '{"customer": "eve", "cents": 100}'
        WHERE approval_id = %(approval)s""",
    "the approval's digest": """
        UPDATE gatepost.approval SET digest = repeat('0', 64) WHERE approval_id = %(approval)s""",
    "the decision's digest": """
        UPDATE gatepost.decision SET digest = repeat('0', 64) WHERE approval_id = %(approval)s""",
    "one byte of the arguments that were asked": """
        UPDATE gatepost.approval SET request = replace(request::text, '100', '101')::json
        WHERE approval_id = %(approval)s""",
    "the evidence that was asked on": """
        UPDATE gatepost.approval SET request = regexp_replace(request::text, '"look": ?"', '"look": "x')::json
        WHERE approval_id = %(approval)s""",
    "the step": """
        UPDATE gatepost.approval SET step_id = 'look' WHERE approval_id = %(approval)s""",
    "the time to act": """
        UPDATE gatepost.approval SET act_by = gatepost.now() - interval '1 second' WHERE approval_id = %(approval)s""",
    "a rejection turned into an approval": """
        UPDATE gatepost.decision SET type = 'approve', digest = md5(digest) WHERE approval_id = %(approval)s""",
}


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING.keys())
def test_what_was_changed_after_the_answer_does_not_run(shop: Any, town: Any, owner: Any, statement: str) -> None:
    asked = shop.open()
    shop.graph.decide(decision_of(asked.approve(by="alice")))
    assert owner.change_named(statement, run=shop.run(), approval=asked.id) >= 1
    result = shop.graph.invoke(None, {**shop.config(), "recursion_limit": 50})
    assert shop.booked == owner.effects(shop.run()) == []
    if result["status"] == "blocked":
        assert result["approval"].id != asked.id
    else:
        assert result["status"] == "failed"
        assert "Nothing was called" in result["outcome"]["reason"]
        assert owner.run(shop.run())["finished_at"] is not None


def test_a_question_that_was_changed_while_it_was_open_is_not_answered(shop: Any, owner: Any) -> None:
    asked = shop.open()
    change = (
        "UPDATE gatepost.approval SET request = replace(request::text, '100', '1')::json WHERE approval_id = %(it)s"
    )
    assert owner.change_named(change, it=asked.id) == 1
    with pytest.raises(InvalidDecision, match="was changed in the database after it was asked"):
        shop.answer(asked.approve(by="alice"))
    assert shop.booked == owner.effects(shop.run()) == []
    told = owner.rows("SELECT kind, actor FROM gatepost.approval_event WHERE approval_id = %s", asked.id)
    assert told == [{"kind": "refused", "actor": "alice"}]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM gatepost.decision WHERE approval_id = %(approval)s",
        "UPDATE gatepost.approval SET status = 'void' WHERE approval_id = %(approval)s",
        "UPDATE gatepost.approval SET status = 'expired' WHERE approval_id = %(approval)s",
    ],
)
def test_an_answer_that_was_taken_away_is_none(shop: Any, owner: Any, statement: str) -> None:
    asked = shop.open()
    shop.graph.decide(decision_of(asked.approve(by="alice")))
    assert owner.change_named(statement, run=shop.run(), approval=asked.id) == 1
    result = shop.graph.invoke(None, {**shop.config(), "recursion_limit": 50})
    assert shop.booked == owner.effects(shop.run()) == []
    if result["status"] == "blocked":
        shop.still_answerable()
    else:
        assert result["status"] == "failed"


@pytest.mark.parametrize("status", ["void", "expired"])
def test_a_question_that_was_taken_away_is_asked_again(shop: Any, owner: Any, status: str) -> None:
    asked = shop.open()
    statement = "UPDATE gatepost.approval SET status = %(to)s, closed_at = gatepost.now() WHERE approval_id = %(it)s"
    assert owner.change_named(statement, to=status, it=asked.id) == 1
    with pytest.raises(InvalidDecision, match=status):
        shop.answer(asked.approve(by="alice"))
    again = shop.graph.invoke(None, {**shop.config(), "recursion_limit": 50})
    assert again["approval"].id != asked.id
    shop.still_answerable()


def test_a_policy_that_changed_after_the_answer_forbids(build: Callable[..., GatepostGraph], shop: Any) -> None:
    asked = shop.open()
    shop.graph.decide(decision_of(asked.approve(by="alice")))
    stricter = build(shop.workflows(), policy=Policy(NO_BIG.replace("500", "50")))
    result = stricter.invoke(None, shop.config())
    assert (result["status"], shop.booked) == ("failed", [])
    assert "no-big-ones" in result["outcome"]["reason"]


def test_an_edit_is_judged_by_the_policy_before_it_is_recorded(build: Callable[..., GatepostGraph], shop: Any) -> None:
    shop.graph = build(shop.workflows(), policy=Policy(NO_BIG))
    asked = shop.open()
    with pytest.raises(InvalidDecision, match="no-big-ones"):
        shop.answer(asked.edit(by="alice", cents=501))
    assert shop.answer(asked.edit(by="alice", cents=500))["status"] == "succeeded"
    assert shop.sold() == ["ada:500"]


BY_MODELS = """
@id("reads") permit (principal, action == Action::"run", resource) when { context.effect == "read" };
@id("decide") permit (principal, action == Action::"decide", resource);
@id("no-big-ones-of-models") forbid (principal, action == Action::"run", resource)
when { context.origin == "model" && context has args && context.args has cents && context.args.cents > 500 };
@id("never-at-this-time") forbid (principal, action == Action::"run", resource)
when { context.time.hour >= 0 && context has args && context.args has cents && context.args.cents == 300 };
@id("not-over-the-budget") forbid (principal, action == Action::"run", resource)
when { context has budget && context.spent + context.cost > context.budget };
"""


@pytest.mark.parametrize(
    ("cents", "why"),
    [(501, "no-big-ones-of-models"), (300, "never-at-this-time"), (200, "not-over-the-budget")],
)
def test_an_edit_is_judged_by_what_the_gate_would_see(
    build: Callable[..., GatepostGraph], shop: Any, cents: int, why: str
) -> None:
    """Who wrote the plan, what time it is and what was spent: what is recorded can be carried out."""

    @tool(effect="write", on_doubt="retry", cost=60)
    def charge(ctx: EffectContext, customer: str, cents: int) -> str:
        shop.booked.append((ctx.idempotency_key, f"{customer}:{cents}"))
        return "charged"

    steps = tuple(Step(id=f"s{n}", tool="charge", args={"customer": "ada", "cents": n}) for n in (1, 2))
    budget = 100 if cents == 200 else None
    flow = Workflow(name="w", goals=("w",), strategy=Stubborn(Plan(steps=steps)), tools=(charge,), budget=budget)
    shop.graph = build([flow], policy=Policy(BY_MODELS))
    shop.open(goal="w")
    first, second = shop.asks()
    shop.answer(first.approve(by="alice"))
    with pytest.raises(InvalidDecision, match=why):
        shop.answer(second.edit(by="alice", cents=cents))
    assert shop.sold() == ["ada:1"]


# time


def test_after_decide_by_the_answer_is_refused(lone_shop: Any, lone_owner: Any, gatepost_database: Any) -> None:
    asked = lone_shop.open()
    lone_owner.change("UPDATE gatepost.approval SET decide_by = gatepost.now() + interval '1 hour'")
    gatepost_database.clock.shift(timedelta(hours=2))
    for answer in (asked.approve(by="alice"), asked.reject(by="alice"), asked.edit(by="alice", cents=1)):
        with pytest.raises(InvalidDecision, match="too late"):
            lone_shop.answer(answer)
    assert lone_shop.graph.invoke(None, lone_shop.config())["status"] == "rejected"
    assert lone_shop.booked == []
    assert lone_owner.rows("SELECT FROM gatepost.decision") == []


def test_after_act_by_the_approved_step_is_refused(lone_shop: Any, lone_owner: Any, gatepost_database: Any) -> None:
    asked = lone_shop.open()
    lone_owner.change("UPDATE gatepost.approval SET act_by = gatepost.now() + interval '1 hour'")
    lone_shop.graph.decide(decision_of(asked.approve(by="alice")))
    gatepost_database.clock.shift(timedelta(hours=2))
    result = lone_shop.graph.invoke(None, lone_shop.config())
    assert (result["status"], lone_shop.booked) == ("failed", [])
    assert "had to be acted on" in result["outcome"]["reason"]


def test_three_days_later_an_approval_still_holds(lone_shop: Any, gatepost_database: Any) -> None:
    lone_shop.open()
    gatepost_database.clock.shift(timedelta(days=3))
    lone_shop.still_answerable()


# who


def test_nobody_approves_what_they_asked_for_themselves(shop: Any, owner: Any) -> None:
    asked = shop.graph.invoke({"goal": "sell"}, shop.config(), context=ACME)["approval"]
    for answer in (asked.approve(by="bob"), asked.edit(by="bob", cents=1), asked.reject(by="bob")):
        with pytest.raises(InvalidDecision, match="bob may not decide"):
            shop.graph.invoke(Command(resume=answer), shop.config(), context=ACME)
    assert owner.rows("SELECT * FROM gatepost.decision WHERE approval_id = %s", asked.id) == []
    result = shop.graph.invoke(Command(resume=asked.approve(by="carol")), shop.config(), context=ACME)
    assert (result["status"], shop.sold()) == ("succeeded", ["ada:100"])


@pytest.mark.parametrize("tenant", ["local", "acm", "acme2", "a%", "ACME"])
def test_another_tenants_run_and_approval_read_as_unknown(shop: Any, tenant: str) -> None:
    asked = shop.graph.invoke({"goal": "sell"}, shop.config(), context=ACME)["approval"]
    other = RunContext(tenant=tenant, principal="mallory")
    answer = asked.approve(by="mallory")
    with pytest.raises(UnknownApproval) as foreign:
        shop.graph.invoke(Command(resume=answer), shop.config(), context=other)
    with pytest.raises(UnknownApproval) as none:
        shop.graph.invoke(Command(resume={**answer, "approval": "apr_none"}), shop.config(), context=other)
    assert str(foreign.value).replace(asked.id, "") == str(none.value).replace("apr_none", "")
    with pytest.raises(UnknownRun):
        shop.graph.invoke(None, shop.config(), context=other)
    with pytest.raises(RunExists) as taken:
        shop.graph.invoke({"goal": "sell"}, shop.config(), context=other)
    assert "sell" not in str(taken.value)
    assert shop.booked == []


@pytest.mark.parametrize("tenant", ["local", "acm", "ACME"])
def test_another_tenants_state_reads_as_that_of_no_run(shop: Any, tenant: str) -> None:
    shop.graph.invoke({"goal": "sell"}, shop.config(), context=ACME)
    other = RunContext(tenant=tenant, principal="mallory")
    for config in (shop.config(), shop.graph.get_state(shop.config(), context=ACME).config):
        foreign = shop.graph.get_state(config, context=other)
        unknown = shop.graph.get_state({"configurable": {**config["configurable"], "thread_id": "none"}}, context=other)
        assert foreign._replace(config=None) == unknown._replace(config=None)
        assert (foreign.values, foreign.created_at, foreign.tasks) == ({}, None, ())
        assert list(shop.graph.get_state_history(config, context=other)) == []
    assert shop.graph.get_state(shop.config(), context=ACME).values["steps"]["charge"]["status"] == "blocked"
    assert len(list(shop.graph.get_state_history(shop.config(), context={"tenant": "acme"}))) > 3


def test_an_answer_without_the_tool_at_hand_is_refused(build: Callable[..., GatepostGraph], shop: Any) -> None:
    @tool(effect="write", on_doubt="retry")
    def other(ctx: EffectContext) -> None:
        """Somebody else's tool."""

    asked = shop.open()
    nothing = build([Workflow(name="other", goals=("x",), strategy=FixedPlan(Plan(steps=())), tools=(other,))])
    with pytest.raises(GatepostError, match="sell"):
        nothing.invoke(Command(resume=asked.edit(by="alice", cents=1)), shop.config())
    shop.still_answerable()
