"""Tries to have an open question answered under a policy that is gone: nobody enters the run, and a worker comes by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import (
    EffectContext,
    FixedPlan,
    Gate,
    GatepostGraph,
    NotDone,
    Plan,
    Policy,
    RunContext,
    Step,
    Workflow,
    replay,
    tool,
)
from gatepost.checkpointing.movers import Movers
from gatepost.graph.enforcing import Enforcer
from gatepost.service.worker import Terms, Worker
from gatepost.state.approval import decision_of

SALE = Plan(steps=(Step(id="pay", tool="charge", args={"customer": "ada", "cents": 100}),))
WHO = RunContext(tenant="acme", principal="intern")
DECIDES = '@id("decides") permit (principal, action == Action::"decide", resource)'
RUNS = 'permit (principal, action == Action::"run", resource)'
ASKS = f'{DECIDES};\n{RUNS} when {{ context.effect == "read" }};'
STILL_ASKS = f"{ASKS}\n// written anew"
FORBIDS = f'{ASKS}\n@id("no-charges") {RUNS.replace("permit", "forbid")} when {{ context.tool == "charge" }};'
ALLOWS = f"{DECIDES};\n{RUNS};"
NOT_ALICE = ASKS.replace("resource);", 'resource) unless { context.principal == "alice" };', 1)


class Town:
    """Sales of a tenant under policies that change, and a worker that comes by."""

    def __init__(self, build: Callable[..., GatepostGraph], shop: Any, owner: Any) -> None:
        self.build, self.shop, self.owner = build, shop, owner
        self.saver = shop.graph.saver
        self.gate = Gate()

    def graph(self, policy: str) -> GatepostGraph:
        """The sale under a policy; its name is this test's own."""
        found = Workflow(
            name=f"w{self.shop.name}",
            goals=("w",),
            strategy=FixedPlan(SALE),
            tools=self.shop.tools,
            gates={"charge": self.gate},
        )
        return self.build([found], policy=Policy(policy))

    def ask(self, policy: str = ASKS, run: str = "r1") -> Any:
        """Start a sale."""
        return self.graph(policy).invoke({"goal": "w"}, self.shop.config(run), context=WHO)["approval"]

    def answer(self, policy: str, answer: dict[str, Any], run: str = "r1") -> Any:
        """Answer, and go on."""
        return self.graph(policy).invoke(Command(resume=answer), self.shop.config(run), context=WHO)

    def open(self, policy: str) -> Any:
        """What is asked, for somebody who enters the run."""
        return self.graph(policy).invoke(None, self.shop.config(), context=WHO)["approvals"]

    def work(self, policy: str) -> None:
        """A worker moves what there is, under a policy."""
        lines: list[str] = []
        worker = Worker(self.graph(policy), terms=Terms(until="idle"), say=lines.append)
        self.saver.bridge.run(worker.work())
        assert not [line for line in lines if "trouble" in line], lines

    def run(self, run: str = "r1") -> dict[str, Any]:
        """The row of a run."""
        found: dict[str, Any] = self.owner.run(self.shop.run(run))
        return found

    def approval(self, approval: str) -> Any:
        """A question as it is shown."""
        return self.saver.bridge.run(self.saver.approvals.get(approval, "acme"))

    def told(self, approval: str) -> list[str]:
        """What happened to a question."""
        return [one["kind"] for one in self.saver.bridge.run(self.saver.approvals.life(approval))]


@pytest.fixture
def town_of(build: Callable[..., GatepostGraph], shop: Any, owner: Any) -> Town:
    return Town(build, shop, owner)


def test_what_is_still_asked_stays_open_and_shows_the_new_reasons(town_of: Town) -> None:
    asked = town_of.ask()
    town_of.work(ASKS)
    assert town_of.told(asked.id) == [], "nothing has changed"
    town_of.work(STILL_ASKS)
    row, version = town_of.approval(asked.id), Policy(STILL_ASKS).version
    assert (row["status"], row["request"]["policy_version"], row["judged_under"]) == ("open", version, version)
    assert (asked.policy_version, row["digest"]) == (Policy(ASKS).version, asked.digest)
    assert town_of.told(asked.id) == ["judged"]
    run = town_of.run()
    assert (run["status"], run["owner"]) == ("blocked", None)
    town_of.work(STILL_ASKS)
    assert town_of.run()["seq"] == run["seq"], "it was judged once more"
    (shown,) = town_of.open(STILL_ASKS)
    assert shown.policy_version == version
    assert town_of.answer(STILL_ASKS, asked.approve(by="alice"))["status"] == "succeeded"
    assert town_of.shop.sold() == ["ada:100"]


def test_what_is_forbidden_by_now_is_asked_of_nobody(town_of: Town) -> None:
    asked = town_of.ask()
    town_of.work(FORBIDS)
    run = town_of.run()
    assert (run["status"], town_of.approval(asked.id)["status"], town_of.shop.booked) == ("failed", "void", [])
    assert "the policy forbids it (no-charges)" in run["reason"]


def test_what_may_run_by_now_runs_once_and_says_by_which_policy(town_of: Town) -> None:
    asked = town_of.ask()
    town_of.work(ALLOWS)
    assert (town_of.run()["status"], town_of.shop.sold()) == ("succeeded", ["ada:100"])
    assert (town_of.approval(asked.id)["status"], town_of.told(asked.id)) == ("void", ["withdrawn"])
    (effect,) = town_of.owner.effects(town_of.shop.run())
    assert effect["approval_id"] is None


def test_a_no_that_is_faster_than_the_new_policy_is_a_no(town_of: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = town_of.ask()
    approvals, graph = town_of.saver.approvals, town_of.graph(ALLOWS)
    withdraw = approvals.withdraw

    async def slowly(*given: Any) -> None:
        await graph.adecide(decision_of(asked.reject(by="alice")), context=WHO)
        await withdraw(*given)

    monkeypatch.setattr(approvals, "withdraw", slowly)
    town_of.work(ALLOWS)
    assert (town_of.run()["status"], town_of.shop.booked) == ("rejected", [])
    assert town_of.approval(asked.id)["status"] == "decided"


def test_who_may_not_answer_any_more_does_not_count(town_of: Town) -> None:
    town_of.gate = Gate(quorum=2)
    asked = town_of.ask()
    assert town_of.answer(ASKS, asked.approve(by="alice"))["status"] == "blocked"
    town_of.work(NOT_ALICE)
    assert town_of.approval(asked.id)["status"] == "void"
    (anew,) = town_of.open(NOT_ALICE)
    assert (anew.supersedes, anew.digest) == (asked.id, asked.digest)
    assert "who may answer has changed: alice may not any more" in anew.reasons
    assert town_of.answer(NOT_ALICE, anew.approve(by="bob"))["status"] == "blocked"
    assert town_of.answer(NOT_ALICE, anew.approve(by="carol"))["status"] == "succeeded"


def test_a_gate_that_asks_others_by_now_is_asked_anew(town_of: Town) -> None:
    asked = town_of.ask()
    town_of.gate = Gate(roles=("finance",), quorum=2)
    town_of.work(STILL_ASKS)
    (anew,) = town_of.open(STILL_ASKS)
    assert (anew.supersedes, anew.asked) == (asked.id, "2 different people with the role finance")
    assert "who must answer has changed" in anew.reasons


def test_whoever_enters_the_run_has_it_judged_anew_as_well(town_of: Town) -> None:
    asked = town_of.ask()
    result = town_of.graph(ALLOWS).invoke(None, town_of.shop.config(), context=WHO)
    assert (result["status"], town_of.told(asked.id)) == ("succeeded", ["withdrawn"])


def test_of_two_workers_only_the_later_one_has_questions_judged(town_of: Town) -> None:
    town_of.ask()
    old, new = (
        Enforcer(graph, Movers(town_of.saver.pools, town_of.saver.runs))
        for graph in (town_of.graph(ALLOWS), town_of.graph(ASKS))
    )

    async def claims() -> list[int]:
        first = len(await old.claim(slots=0))
        return [first, len(await new.claim(slots=9)), len(await old.claim(slots=9))]

    async def the_other_way() -> list[int]:
        return [len(await new.claim(slots=9)), len(await old.claim(slots=9))]

    assert town_of.saver.bridge.run(claims()) == [0, 0, 1], "the later one asked it: nothing is outdated for it"
    town_of.owner.change("UPDATE gatepost.run SET owner = NULL, lease_expires_at = NULL")
    third = Enforcer(town_of.graph(ASKS), Movers(town_of.saver.pools, town_of.saver.runs))
    assert town_of.saver.bridge.run(third.claim(slots=9)) == []
    assert town_of.saver.bridge.run(the_other_way()) == [0, 0], "an older one goes on under its own, and is quiet"


def test_a_gate_that_changed_without_the_policy_asks_anew(town_of: Town) -> None:
    asked = town_of.ask()
    town_of.gate = Gate(roles=("finance",))
    town_of.work(ASKS)
    (anew,) = town_of.open(ASKS)
    assert (anew.supersedes, anew.terms.roles) == (asked.id, ("finance",))
    kept = town_of.saver.bridge.run(town_of.saver.policies.show(anew.policy_version))
    assert [one["layer"] for one in kept["sets"]] == ["deployment", "gates"]
    town_of.gate = Gate(roles=("finance",), decide_within=timedelta(days=9), remind_before=timedelta(days=1))
    town_of.work(ASKS)
    (last,) = town_of.open(ASKS)
    assert (last.supersedes, last.terms.remind_seconds) == (anew.id, 86400)
    town_of.gate = Gate(roles=("finance",), decide_within=timedelta(days=9))
    town_of.work(ASKS)
    assert [one.id for one in town_of.open(ASKS)] == [last.id], "when people are reminded binds nobody"


def test_a_forbid_holds_against_an_approval_of_a_step_that_was_dispatched_already(town_of: Town) -> None:
    asked = town_of.ask()
    town_of.graph(ASKS).decide(decision_of(asked.approve(by="alice")), context=WHO)
    config = town_of.shop.config()
    for _ in town_of.graph(ASKS).stream(None, config, context=WHO, interrupt_before=["executor"]):
        pass
    result = town_of.graph(FORBIDS).invoke(None, config, context=WHO)
    assert (result["status"], town_of.shop.booked) == ("failed", [])
    assert "the policy forbids step 'pay' by now (no-charges). Nothing was called." in result["outcome"]["reason"]
    town_of.graph(FORBIDS).retry_step(town_of.shop.run(), "pay", by="olga", context=WHO)
    assert town_of.graph(FORBIDS).invoke(None, config, context=WHO)["status"] == "failed"
    assert town_of.shop.booked == []


# whether something may be undone

NO_UNDO = f'{DECIDES};\n{RUNS} when {{ context.purpose == "run" }};'
UNDO_FORBIDDEN = (
    f'{NO_UNDO}\n@id("never") {RUNS.replace("permit", "forbid")} when {{ context.purpose == "compensate" }};'
)
UNDO_STILL_ASKED = f"{NO_UNDO}\n// written anew"
UNDO_WITHOUT_ALICE = NO_UNDO.replace("resource);", 'resource) unless { context.principal == "alice" };', 1)


class Undone(Town):
    """What was booked is undone because the next step fails."""

    def graph(self, policy: str) -> GatepostGraph:
        """Booking, under a policy."""
        done: list[str] = self.shop.booked

        @tool(effect="write", on_doubt="retry")
        def unbook(ctx: EffectContext, room: int) -> None:
            done.append(f"unbook {room}")

        @tool(effect="write", on_doubt="retry", compensate=unbook)
        def book(ctx: EffectContext, room: int) -> None:
            done.append(f"book {room}")

        @tool(effect="write", on_doubt="retry", on_failure={"validation": "compensate"})
        def fail() -> None:
            raise NotDone("no")

        steps = (Step(id="book", tool="book", args={"room": 7}), Step(id="fail", tool="fail", needs=("book",)))
        found = Workflow(
            name=f"w{self.shop.name}",
            goals=("w",),
            strategy=FixedPlan(Plan(steps=steps)),
            tools=(book, fail),
            gates={"unbook": self.gate},
        )
        return self.build([found], policy=Policy(policy))


@pytest.fixture
def undone(build: Callable[..., GatepostGraph], shop: Any, owner: Any) -> Undone:
    return Undone(build, shop, owner)


@pytest.mark.parametrize(
    ("after", "ends", "done"),
    [
        (ALLOWS, "compensated", ["book 7", "unbook 7"]),
        (UNDO_FORBIDDEN, "compensation_failed", ["book 7"]),
    ],
)
def test_whether_it_may_be_undone_is_judged_anew(undone: Undone, after: str, ends: str, done: list[str]) -> None:
    asked = undone.ask(NO_UNDO)
    assert (asked.purpose, asked.tool) == ("compensate", "unbook")
    undone.work(after)
    assert (undone.run()["status"], undone.shop.booked) == (ends, done)
    assert undone.approval(asked.id)["status"] == "void"


def test_an_undo_that_is_still_asked_about_shows_the_new_version_and_another_gate_asks_anew(undone: Undone) -> None:
    undone.gate = Gate(quorum=2)
    asked = undone.ask(NO_UNDO)
    undone.answer(NO_UNDO, asked.approve(by="alice"))
    undone.work(UNDO_STILL_ASKED)
    assert (undone.approval(asked.id)["status"], undone.told(asked.id)) == ("open", ["approve", "judged"])
    undone.work(UNDO_WITHOUT_ALICE)
    (anew,) = undone.open(UNDO_WITHOUT_ALICE)
    assert (anew.id != asked.id, undone.approval(asked.id)["status"]) == (True, "void")
    undone.gate = Gate(roles=("desk",))
    undone.work(UNDO_WITHOUT_ALICE)
    (last,) = undone.open(UNDO_WITHOUT_ALICE)
    assert (last.id != anew.id, last.asked) == (True, "one person with the role desk")
    assert undone.shop.booked == ["book 7"]


@pytest.mark.parametrize("after", [STILL_ASKS, ALLOWS, FORBIDS])
def test_what_followed_from_the_new_policy_replays_under_it(town_of: Town, after: str) -> None:
    town_of.ask()
    asked_at = town_of.run()["seq"]
    town_of.work(after)
    report = replay(town_of.shop.run(), town_of.graph(after), context=WHO, begin=asked_at + 1)
    assert report.identical, report
    assert report.transitions > 1
    assert not town_of.shop.booked[1:]
