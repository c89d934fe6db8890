"""Tries to get past the gate, to be forgotten by it, or to end while somebody is still asked. Pure: no database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from gatepost import Condition, FixedPlan, Plan, Policy, Step, Workflow, ref, tool
from gatepost.checkpointing.run_row import RunRow
from gatepost.checkpointing.session import RunSession
from gatepost.graph.routing import route
from gatepost.nodes.catalog import Catalog
from gatepost.nodes.policy_gate import policy_gate
from gatepost.nodes.policy_sets import PolicySets
from gatepost.nodes.visit import Equipment, Visit
from gatepost.state.approval import ApprovalRequest
from gatepost.state.board import Board
from gatepost.state.channels import collect, merge, tally
from gatepost.state.effect import fingerprint_of, key_of
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import StepRecord


@tool(effect="read")
def look(name: str) -> dict[str, str]:
    raise AssertionError(f"the gate calls nothing: {name}")


@tool(effect="write")
def pay(to: str, cents: int = 1) -> str:
    raise AssertionError(f"the gate calls nothing: {to} {cents}")


class Run:
    """A held run without a database: the gate's channels are reduced as LangGraph would."""

    def __init__(self, *steps: Step, policy: Policy | None = None, final: bool = True) -> None:
        self.plan = Plan(steps=steps, final=final)
        workflow = Workflow(name="w", goals=("g",), strategy=FixedPlan(self.plan), tools=(look, pay))
        now = datetime(2026, 1, 1, tzinfo=UTC)
        row: dict[str, Any] = {
            "run_id": "r1", "tenant": "acme", "root_run_id": "r1", "requested_by": "eve", "goal": "g", "workflow": "w",
            "input": {}, "status": "running", "seq": 1, "plan_version": 1,
        }  # fmt: skip
        self.session = RunSession(
            run=RunRow.of({name: row.get(name) for name in RunRow.__slots__} | row),
            owner="o",
            epoch=1,
            actor="eve",
            board=Board(self.plan),
            now=now,
            seq=1,
            status=RunStatus.RUNNING,
            renewed=0.0,
        )
        nothing: Any = None  # the gate reads no database
        self.visit = Visit(
            session=self.session,
            task="task",
            equipment=Equipment(
                catalog=Catalog([workflow]),
                policy=PolicySets(policy or Policy.default()),
                ledger=nothing,
                approvals=nothing,
                breakers=nothing,
            ),
        )
        self.state: dict[str, Any] = {"frontier": {}, "approvals": {}, "signals": []}

    def gate(self, *signals: dict[str, Any]) -> Any:
        """One visit, and where it leads."""
        self.state["signals"] = list(signals)
        state: Any = self.state
        update = asyncio.run(policy_gate(state, self.visit))
        reducers: dict[str, Any] = {"frontier": merge, "approvals": merge, "signals": collect, "counters": tally}
        for name, change in update.items():
            self.state[name] = reducers[name](self.state.get(name), change) if name in reducers else change
        return route(state)

    def went(self, step: str, status: StepStatus, **more: Any) -> None:
        """What the executor would have left."""
        self.session.stage_step("executor", self.session.board.record(step).to(status, **more))
        self.state["frontier"][step] = {"status": status.value}

    def status(self, step: str) -> StepStatus:
        return self.session.board.status(step)

    def asked(self) -> ApprovalRequest:
        [data] = self.state["approvals"].values()
        return ApprovalRequest.model_validate(data)

    def answer(self, decision: dict[str, Any] | None) -> dict[str, Any]:
        asked = self.asked()
        return {"kind": "answer", "approval": asked.id, "about": asked.kind, "step": asked.step, "decision": decision}


def step(name: str, /, *needs: str, uses: str = "look", when: Condition | None = None, **args: Any) -> Step:
    return Step(
        id=name, tool=uses, needs=needs, when=when, args=args or ({"name": "x"} if uses == "look" else {"to": "x"})
    )


def sent(going: Any) -> list[str]:
    return [send.arg["step"] for send in going]


def test_reads_run_at_once_and_side_by_side_with_their_keys_minted() -> None:
    run = Run(step("a"), step("b"), step("c", "a"))
    assert sent(run.gate()) == ["a", "b"]
    record = run.session.board.record("a")
    assert record.key == key_of(tenant="acme", root_run="r1", step="a") == run.state["frontier"]["a"]["key"]
    assert record.fingerprint == fingerprint_of("look", {"name": "x"})
    assert run.status("c") is StepStatus.PENDING


def test_a_write_asks_and_the_run_is_blocked_and_says_by_what() -> None:
    run = Run(step("a", uses="pay"))
    assert run.gate() == "approval"
    assert (run.status("a"), run.session.status) == (StepStatus.BLOCKED, RunStatus.BLOCKED)
    assert run.session.reason == f"a waits for {run.asked().id}"
    assert run.asked().args == {"to": "x", "cents": 1}


def test_a_person_is_asked_early_and_waited_for_late() -> None:
    run = Run(step("a", uses="pay"), step("b"))
    assert sent(run.gate()) == ["b"]
    assert run.asked().step == "a"
    run.went("b", StepStatus.SUCCEEDED)
    assert run.gate() == "approval"


def test_the_same_visit_again_opens_the_same_approval() -> None:
    first, again = Run(step("a", uses="pay")), Run(step("a", uses="pay"))
    first.gate()
    again.gate()
    assert first.asked() == again.asked()


def test_an_approved_step_runs_under_its_approval() -> None:
    run = Run(step("a", uses="pay"))
    run.gate()
    asked = run.asked()
    assert sent(run.gate(run.answer(asked.approve(by="alice")))) == ["a"]
    assert run.session.board.record("a").approval == asked.id


def test_an_edited_step_runs_with_what_was_edited() -> None:
    run = Run(step("a", uses="pay"))
    run.gate()
    run.gate(run.answer(run.asked().edit(by="alice", cents=9)))
    assert run.session.board.record("a").fingerprint == fingerprint_of("pay", {"to": "x", "cents": 9})


def test_an_edit_is_judged_again() -> None:
    limit = Policy('@id("limit") forbid (principal, action, resource) when { context.args.cents > 5 };')
    run = Run(step("a", uses="pay"), policy=limit)
    run.gate()
    assert run.gate(run.answer(run.asked().edit(by="alice", cents=9))) == "finalizer"
    assert run.session.board.record("a").failure is not None
    assert run.state["ending"]["status"] == "failed"


def test_an_answer_to_another_approval_moves_nothing() -> None:
    run = Run(step("a", uses="pay"))
    run.gate()
    answer = run.answer({**run.asked().approve(by="alice"), "approval": "apr_other"})
    run.gate({**answer, "approval": "apr_other"})
    assert run.status("a") is StepStatus.BLOCKED


def test_a_no_is_heard_before_a_yes_that_came_with_it() -> None:
    run = Run(step("a", uses="pay"), step("b", uses="pay"))
    run.gate()
    asked = {data["step"]: ApprovalRequest.model_validate(data) for data in run.state["approvals"].values()}
    signals = [
        {"kind": "answer", "approval": one.id, "about": "action", "step": one.step, "decision": decision}
        for one, decision in [(asked["a"], asked["a"].approve(by="x")), (asked["b"], asked["b"].reject(by="y"))]
    ]
    assert run.gate(*signals) == "finalizer"
    assert (run.status("a"), run.status("b")) == (StepStatus.CANCELLED, StepStatus.CANCELLED)
    assert run.state["ending"]["status"] == "rejected"


def test_forbidden_by_policy_never_runs_and_ends_the_run() -> None:
    run = Run(step("a"), policy=Policy('@id("never") forbid (principal, action, resource);'))
    assert run.gate() == "finalizer"
    failure = run.session.board.record("a").failure
    assert failure is not None
    assert (failure.kind, failure.message) == ("policy_denied", "the policy forbids it (never)")


def test_a_finding_makes_even_a_read_ask() -> None:
    run = Run(step("a"), step("b", "a"))
    run.gate()
    run.went("a", StepStatus.SUCCEEDED, needs_approval="high risk")
    assert run.gate() == "approval"
    assert run.asked().reasons[0] == "a: high risk"


def test_skips_ripple_in_one_visit() -> None:
    skipped = step("b", when=Condition(ref="a#/go", value=True))
    run = Run(step("a"), skipped, step("c", name=ref("b", "/x")), step("d", "c"))
    run.gate()
    run.went("a", StepStatus.SUCCEEDED, output={"go": False})
    assert sent(run.gate()) == ["d"]
    assert (run.status("b"), run.status("c")) == (StepStatus.SKIPPED, StepStatus.SKIPPED)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        pytest.param(step("b", name=ref("a", "/nope")), "nothing there", id="reference to nothing"),
        pytest.param(step("b", name=ref("a", "/list/-")), "nothing there", id="past the end of a list"),
        pytest.param(step("b", name=ref("a", "/list")), "does not take these arguments", id="wrong type"),
    ],
)
def test_arguments_that_turn_out_wrong_fail_the_step_and_not_the_graph(bad: Step, said: str) -> None:
    run = Run(step("a"), bad)
    run.gate()
    run.went("a", StepStatus.SUCCEEDED, output={"list": [1]})
    assert run.gate() == "finalizer"
    assert said in run.session.board.record("b").reason


def test_doubt_becomes_a_question_and_the_run_waits_for_it() -> None:
    run = Run(step("a", uses="pay"))
    run.gate()
    run.gate(run.answer(run.asked().approve(by="alice")))
    run.went("a", StepStatus.IN_DOUBT, reason="cut off")
    assert run.gate() == "approval"
    assert (run.asked().kind, run.asked().allowed) == ("doubt", ("edit", "reject"))
    assert run.gate() == "approval"  # and it is asked once


def test_neither_a_failure_nor_a_wanted_plan_beside_it_ends_a_run_that_is_in_doubt() -> None:
    run = Run(step("a", uses="pay"), step("b"), step("c"))
    run.gate()
    run.gate(run.answer(run.asked().approve(by="alice")))
    run.went("a", StepStatus.IN_DOUBT, reason="cut off")
    run.went("b", StepStatus.FAILED, reason="broken")
    run.went("c", StepStatus.SUCCEEDED)
    assert run.gate({"kind": "replan", "step": "c", "text": "new facts"}) == "approval"
    assert run.state.get("planning") is None
    assert run.session.status is RunStatus.BLOCKED
    assert run.gate(run.answer(run.asked().happened(by="alice", result="paid"))) == "finalizer"


def test_an_answer_about_doubt_that_the_tool_cannot_have_given_is_asked_about_again() -> None:
    """A recorded answer of another time: the door would have refused it."""
    run = Run(step("a", uses="pay"))
    run.gate()
    run.gate(run.answer(run.asked().approve(by="alice")))
    run.went("a", StepStatus.IN_DOUBT, reason="cut off")
    run.gate()
    first = run.asked()
    run.session.seq += 1
    assert run.gate(run.answer(first.happened(by="alice", result=7))) == "approval"
    assert run.asked().id != first.id
    assert "The answer of alice cannot be used" in run.asked().reasons[0]
    assert run.status("a") is StepStatus.IN_DOUBT


def test_an_end_takes_back_its_questions() -> None:
    run = Run(step("a", uses="pay"), step("b"))
    run.gate()
    run.went("b", StepStatus.FAILED, reason="broken")
    assert run.gate() == "finalizer"
    assert run.status("a") is StepStatus.CANCELLED
    assert run.state["approvals"] == {}


def test_a_text_for_the_planner_wants_a_new_plan_and_the_step_is_judged_again_after_it() -> None:
    run = Run(step("a", uses="pay"))
    run.gate()
    first = run.asked()
    assert run.gate(run.answer(first.respond("less", by="alice"))) == "planner"
    run.session.stage_plan("planner", Plan(steps=(step("a", uses="pay", to="x", cents=0),), version=2))
    run.state["planning"] = None
    assert run.gate({"kind": "planned"}) == "approval"
    assert run.asked().id != first.id


def test_a_text_for_a_planner_that_has_nothing_new_asks_again() -> None:
    run = Run(step("a", uses="pay"))
    run.gate()
    run.gate(run.answer(run.asked().respond("less", by="alice")))
    run.state["planning"] = None
    assert run.gate({"kind": "exhausted"}) == "approval"
    assert run.asked().step == "a"


def test_a_new_plan_voids_the_question_it_changes_and_asks_the_new_one() -> None:
    run = Run(step("a", uses="pay"), step("b"))
    run.gate()
    first = run.asked()
    run.went("b", StepStatus.SUCCEEDED)
    run.gate({"kind": "replan", "step": "b", "text": "new facts"})
    changed = step("a", uses="pay", to="somebody else")
    run.session.stage_plan("planner", Plan(steps=(changed, step("b")), version=2))
    assert run.gate({"kind": "planned"}) == "approval"
    assert run.asked().id != first.id
    assert run.asked().args["to"] == "somebody else"


def test_a_new_plan_keeps_the_question_it_does_not_change() -> None:
    run = Run(step("a", uses="pay"), step("b"))
    run.gate()
    first = run.asked()
    run.went("b", StepStatus.SUCCEEDED)
    run.gate({"kind": "replan", "step": "b", "text": "new facts"})
    run.session.stage_plan("planner", Plan(steps=(step("a", uses="pay"), step("b"), step("c")), version=2))
    run.gate({"kind": "planned"})
    assert run.asked() == first


@pytest.mark.parametrize(("final", "goes"), [(True, "finalizer"), (False, "planner")])
def test_when_all_is_done_it_ends_or_asks_for_the_next_segment(final: bool, goes: str) -> None:  # noqa: FBT001
    run = Run(step("a"), final=final)
    run.gate()
    run.went("a", StepStatus.SUCCEEDED)
    assert run.gate() == goes


def test_a_run_that_nothing_could_move_is_an_alarm() -> None:
    run = Run(step("a"), step("b", "a"))
    run.session.board.take(StepRecord(step="a", status=StepStatus.CANCELLED))
    assert run.gate() == "finalizer"
    assert run.state["ending"]["status"] == "stranded"
