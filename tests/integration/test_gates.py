"""Tries to get an action past its gate: with too few people, with one person who counts twice, with the wrong role, in
somebody's place without their leave, too late, or with silence.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import FixedPlan, Gate, GatepostGraph, Plan, Policy, RunContext, Situation, Step, Workflow
from gatepost.checkpointing.movers import Movers
from gatepost.state.approval import decision_of
from gatepost.state.errors import AlreadyDecided, InvalidDecision

HOUR = timedelta(hours=1)
SALE = Plan(steps=(Step(id="pay", tool="charge", args={"customer": "ada", "cents": 100}),))


class Board:
    """A sale under a gate, in a tenant of the test's own, where the requester is the intern."""

    def __init__(self, build: Callable[..., GatepostGraph], shop: Any, owner: Any) -> None:
        self.tenant = f"t{secrets.token_hex(4)}"
        self.who = RunContext(tenant=self.tenant, principal="intern")
        self.build, self.shop, self.owner = build, shop, owner
        self.graph = shop.graph
        self.people = shop.graph.saver.people

    def roles(self, **held: str) -> None:
        """Give people roles: `alice="finance legal"`."""
        for person, roles in held.items():
            for role in roles.split():
                self.wait(self.people.grant(person, role, tenant=self.tenant, by="hr"))

    def delegate(self, giver: str, delegate: str, **how: Any) -> Any:
        """Let somebody answer in another's place."""
        return self.wait(self.people.delegate(giver, delegate, tenant=self.tenant, by=giver, **{"until": HOUR, **how}))

    def open(self, run: str = "r1", plan: Any = SALE, **gate: Any) -> Any:
        """Start a sale; what is asked."""
        strategy = FixedPlan(plan) if isinstance(plan, Plan) else plan
        self.graph = self.build(
            [Workflow(name="w", goals=("w",), strategy=strategy, tools=self.shop.tools, gates={"charge": Gate(**gate)})]
        )
        return self.graph.invoke({"goal": "w"}, self.shop.config(run), context=self.who)["approval"]

    def say(self, answer: dict[str, Any], run: str = "r1") -> Any:
        """Answer, and go on."""
        return self.graph.invoke(Command(resume=answer), self.shop.config(run), context=self.who)

    def go(self, run: str = "r1") -> Any:
        """Go on without an answer."""
        return self.graph.invoke(None, self.shop.config(run), context=self.who)

    def life(self, approval: str) -> list[tuple[str, str]]:
        """What happened to a question."""
        return [(told["kind"], told["actor"]) for told in self.wait(self.graph.saver.approvals.life(approval))]

    def wait(self, work: Any) -> Any:
        """The result of async work."""
        return self.shop.graph.saver.bridge.run(work)


@pytest.fixture
def board(build: Callable[..., GatepostGraph], shop: Any, owner: Any) -> Board:
    return Board(build, shop, owner)


@pytest.fixture
def lone_board(gatepost_graph: Any, lone_shop: Any, lone_owner: Any) -> Board:
    """On a database whose clock can be moved."""
    return Board(gatepost_graph, lone_shop, lone_owner)


# how many


def test_two_different_people_say_yes_before_anything_runs(board: Board) -> None:
    board.roles(alice="finance", bob="finance", carol="finance")
    asked = board.open(roles=("finance",), quorum=2)
    assert asked.asked == "2 different people with the role finance"
    half = board.say(asked.approve(by="alice"))
    assert (half["status"], half["approval"].id, board.shop.booked) == ("blocked", asked.id, [])
    assert half["decision"] == {**half["decision"], "decided": False, "yes": 1, "needed": 2}
    again = board.say(asked.approve(by="alice"))["decision"]
    assert (again["repeated"], again["yes"]) == (True, 1), "a person was counted twice"
    assert board.owner.rows("SELECT * FROM gatepost.decision WHERE approval_id = %s", asked.id) == []
    done = board.say(asked.approve(by="bob"))
    assert (done["status"], board.shop.sold()) == ("succeeded", ["ada:100"])
    assert board.say(asked.approve(by="alice"))["decision"]["repeated"], "hers was recorded before it was decided"
    with pytest.raises(AlreadyDecided, match="approve by bob"):
        board.say(asked.approve(by="carol"))
    assert board.life(asked.id) == [("approve", "alice"), ("approve", "bob"), ("refused", "carol")]
    (row,) = board.owner.rows("SELECT quorum FROM gatepost.approval WHERE approval_id = %s", asked.id)
    assert row == {"quorum": 2}


def test_one_no_is_a_no_whoever_said_yes_before(board: Board) -> None:
    asked = board.open(quorum=3)
    board.say(asked.approve(by="alice"))
    board.say(asked.approve(by="bob"))
    assert board.say(asked.reject(by="carol", comment="no"))["status"] == "rejected"
    assert board.shop.booked == []


def test_whoever_said_yes_may_think_better_of_it(board: Board) -> None:
    asked = board.open(quorum=2)
    board.say(asked.approve(by="alice"))
    assert board.say(asked.reject(by="alice"))["status"] == "rejected"


def test_a_yes_is_to_the_action_that_was_asked_and_to_no_other(board: Board) -> None:
    asked = board.open(quorum=2)
    board.say(asked.approve(by="alice"))
    edited = board.say(asked.edit(by="bob", cents=50))
    assert (edited["status"], edited["decision"]["yes"]) == ("blocked", 1), "one yes to 100, one to 50"
    done = board.say(asked.edit(by="alice", cents=50))
    assert (done["status"], board.shop.sold()) == ("succeeded", ["ada:50"])


def test_a_decision_that_somebody_wrote_into_the_table_is_not_enough_people(board: Board) -> None:
    asked = board.open(quorum=2)
    board.say(asked.approve(by="alice"))
    forged = """
        WITH open AS (UPDATE gatepost.approval SET status = 'decided', closed_at = gatepost.now()
                      WHERE approval_id = %(it)s RETURNING *)
        INSERT INTO gatepost.decision (approval_id, principal, type, digest, channel, authenticated)
        SELECT approval_id, 'mallory', 'approve', digest, 'sql', 'asserted' FROM open"""
    assert board.owner.change_named(forged, it=asked.id) == 1
    result = board.go()
    assert (result["status"], board.shop.booked) == ("failed", [])
    assert "takes 2 different people, and has 1" in result["outcome"]["reason"]


# who


def test_the_wrong_role_is_refused_with_the_right_one_and_leaves_a_row(board: Board) -> None:
    board.roles(mallory="sales", alice="finance")
    asked = board.open(roles=("finance", "audit"))
    with pytest.raises(InvalidDecision, match=r"takes the role finance or audit, and mallory holds sales"):
        board.say(asked.approve(by="mallory"))
    with pytest.raises(InvalidDecision, match=r"nobody holds none"):
        board.say(asked.reject(by="nobody"))
    assert board.life(asked.id) == [("refused", "mallory"), ("refused", "nobody")]
    board.wait(board.people.grant("mallory", "finance", tenant="another", by="hr"))
    with pytest.raises(InvalidDecision):
        board.say(asked.approve(by="mallory"))
    assert board.say(asked.approve(by="alice"))["status"] == "succeeded"


def test_a_role_that_was_revoked_is_none(board: Board) -> None:
    board.roles(alice="finance")
    asked = board.open(roles=("finance",))
    assert board.wait(board.people.revoke("alice", "finance", tenant=board.tenant, by="hr"))
    with pytest.raises(InvalidDecision, match="alice holds none"):
        board.say(asked.approve(by="alice"))
    assert not board.wait(board.people.revoke("alice", "finance", tenant=board.tenant, by="hr"))
    (was,) = board.wait(board.people.roles(board.tenant, ended=True))
    assert (was["granted_by"], was["revoked_by"]) == ("hr", "hr")


def test_the_requester_does_not_count_whatever_their_role(board: Board) -> None:
    board.roles(intern="finance", alice="finance")
    asked = board.open(roles=("finance",))
    with pytest.raises(InvalidDecision, match="intern may not decide"):
        board.say(asked.approve(by="intern"))
    board.delegate("intern", "alice")
    with pytest.raises(InvalidDecision, match="intern may not decide"):
        board.say(asked.approve(by="alice", on_behalf_of="intern"))
    board.delegate("alice", "intern")
    with pytest.raises(InvalidDecision, match="intern may not decide"):
        board.say(asked.approve(by="intern", on_behalf_of="alice"))
    assert board.shop.booked == []


def test_a_policy_is_told_the_roles_and_the_effect_class(board: Board) -> None:
    board.roles(alice="finance")
    board.delegate("alice", "dan")
    policy = Policy("""
        @id("finance-decides-writes") permit (principal, action == Action::"decide", resource)
        when { context.roles.contains("finance") && context.effect == "write" };""")
    graph = board.build(board.shop.workflows(), policy=policy)
    asked = graph.invoke({"goal": "sell twice"}, board.shop.config(), context=board.who)["approval"]
    board.graph = graph
    with pytest.raises(InvalidDecision, match="bob may not decide"):
        board.say(asked.approve(by="bob"))
    assert board.say(asked.approve(by="dan", on_behalf_of="alice"))["decision"]["on_behalf_of"] == "alice"


# in whose place


def test_a_delegate_counts_as_the_person_who_delegated_and_nobody_counts_twice(board: Board) -> None:
    board.roles(alice="finance", bob="finance", carol="finance")
    asked = board.open(roles=("finance",), quorum=2)
    given = board.delegate("alice", "dan", reason="holiday")
    half = board.say(asked.approve(by="dan"))
    assert (half["decision"]["on_behalf_of"], half["decision"]["yes"]) == ("alice", 1)
    with pytest.raises(InvalidDecision, match="alice is counted already: approve by dan for alice"):
        board.say(asked.approve(by="alice"))
    board.delegate("bob", "dan")
    with pytest.raises(InvalidDecision, match="dan is counted already"):
        board.say(asked.approve(by="dan", on_behalf_of="bob"))
    board.delegate("carol", "alice")
    with pytest.raises(InvalidDecision, match="alice is counted already"):
        board.say(asked.approve(by="alice", on_behalf_of="carol"))
    assert board.shop.booked == []
    assert board.say(asked.approve(by="carol"))["status"] == "succeeded"
    votes = "SELECT principal, counted_as, via FROM gatepost.vote WHERE approval_id = %s ORDER BY number"
    assert board.owner.rows(votes, asked.id) == [
        {"principal": "dan", "counted_as": "alice", "via": [given.id]},
        {"principal": "carol", "counted_as": "carol", "via": []},
    ]


def test_who_could_answer_for_several_says_for_whom(board: Board) -> None:
    board.roles(alice="finance", bob="finance")
    asked = board.open(roles=("finance",))
    board.delegate("alice", "dan")
    board.delegate("bob", "dan")
    with pytest.raises(InvalidDecision, match=r"for alice or for bob.*--for alice"):
        board.say(asked.approve(by="dan"))
    done = board.say(asked.approve(by="dan", on_behalf_of="bob"))
    assert (done["status"], done["decision"]["on_behalf_of"]) == ("succeeded", "bob")


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ({"kind": "role", "scope": "legal"}, "does not cover"),
        ({"kind": "tool", "scope": "look"}, "does not cover"),
        ({"kind": "workflow", "scope": "other"}, "does not cover"),
        ({"kind": "role", "scope": "finance"}, None),
        ({"kind": "tool", "scope": "charge"}, None),
        ({"kind": "workflow", "scope": "w"}, None),
    ],
)
def test_a_delegation_reaches_as_far_as_its_scope(board: Board, scope: dict[str, str], why: str | None) -> None:
    board.roles(alice="finance legal")
    asked = board.open(roles=("finance",))
    board.delegate("alice", "dan", **scope)
    answer = asked.approve(by="dan", on_behalf_of="alice")
    if why is None:
        assert board.say(answer)["status"] == "succeeded"
        return
    with pytest.raises(InvalidDecision, match=why):
        board.say(answer)
    with pytest.raises(InvalidDecision, match="takes the role finance, and dan holds none"):
        board.say(asked.approve(by="dan"))


def test_what_was_delegated_is_passed_on_only_where_that_was_declared(board: Board) -> None:
    board.roles(alice="finance")
    asked = board.open(roles=("finance",), quorum=1)
    board.delegate("alice", "dan")
    board.delegate("dan", "eve")
    with pytest.raises(InvalidDecision, match="alice delegated to dan, who may not pass it on"):
        board.say(asked.approve(by="eve", on_behalf_of="alice"))
    with pytest.raises(InvalidDecision, match="eve holds none"):
        board.say(asked.approve(by="eve"))
    board.delegate("alice", "dan", passes_on=True)
    done = board.say(asked.approve(by="eve"))
    assert (done["status"], done["decision"]["on_behalf_of"]) == ("succeeded", "alice")


def test_a_delegation_that_is_over_is_refused_with_when(lone_board: Board, gatepost_database: Any) -> None:
    board = lone_board
    board.roles(alice="finance")
    asked = board.open(roles=("finance",))
    ended = board.delegate("alice", "dan")
    board.wait(board.people.end(ended.id[:8], tenant=board.tenant, by="alice"))
    with pytest.raises(InvalidDecision, match=rf"delegation {ended.id} from alice \(everything\) was ended by alice"):
        board.say(asked.approve(by="dan"))
    past = board.delegate("alice", "dan")
    gatepost_database.clock.shift(2 * HOUR)
    for answer in (asked.approve(by="dan"), asked.approve(by="dan", on_behalf_of="alice")):
        with pytest.raises(InvalidDecision, match=rf"delegation {past.id} from alice \(everything\) ended at "):
            board.say(answer)
    assert board.shop.booked == []
    assert board.life(asked.id) == [("refused", "dan")] * 3


# until when


def test_silence_is_a_no_and_needs_no_worker(lone_board: Board, gatepost_database: Any) -> None:
    board = lone_board
    asked = board.open(decide_within=HOUR, quorum=2)
    board.say(asked.approve(by="alice"))
    gatepost_database.clock.shift(2 * HOUR)
    (mover,) = board.owner.rows("SELECT kind, detail FROM gatepost.next_mover")
    assert mover == {"kind": "queue", "detail": "nobody answered in time"}
    with pytest.raises(InvalidDecision, match="too late"):
        board.say(asked.approve(by="bob"))
    result = board.go()
    assert (result["status"], board.shop.booked) == ("rejected", [])
    assert result["outcome"]["reason"] == "pay: nobody answered in time"
    assert board.life(asked.id) == [("approve", "alice"), ("expired", "clock"), ("refused", "bob")]


def test_a_question_that_nobody_answers_goes_up_the_chain_and_ends_as_a_no(
    lone_board: Board, gatepost_database: Any
) -> None:
    board = lone_board
    board.roles(alice="finance", bob="finance", eve="ceo")
    chain = ("cfo", "ceo")
    asked = board.open(roles=("finance",), quorum=2, decide_within=HOUR, on_timeout="escalate", escalate_to=chain)
    board.say(asked.approve(by="alice"))
    gatepost_database.clock.shift(1.5 * HOUR)
    (mover,) = board.owner.rows("SELECT kind, detail FROM gatepost.next_mover")
    assert mover["kind"] == "timer"
    with pytest.raises(InvalidDecision, match="takes the role cfo, and bob holds finance"):
        board.say(asked.approve(by="bob"))
    gatepost_database.clock.shift(HOUR)
    movers = Movers(board.graph.saver.pools, board.graph.saver.runs)
    assert board.wait(movers.claim(workflows=["w"], graph_version=board.graph.version, slots=5)) == []
    (row,) = board.owner.rows("SELECT level, status, decide_by - gatepost.now() AS left FROM gatepost.approval")
    assert (row["level"], row["status"]) == (2, "open")
    assert timedelta(minutes=59) < row["left"] <= HOUR, "whoever is asked next has the whole time"
    (mover,) = board.owner.rows("SELECT kind, until IS NOT NULL AS until FROM gatepost.next_mover")
    assert mover == {"kind": "approval", "until": True}
    done = board.say(asked.approve(by="eve"))
    assert (done["status"], board.shop.sold()) == ("succeeded", ["ada:100"])
    assert [kind for kind, _ in board.life(asked.id)] == ["approve", "escalated", "refused", "escalated", "approve"]


def test_the_end_of_the_chain_is_a_no(lone_board: Board, gatepost_database: Any) -> None:
    board = lone_board
    board.open(roles=("finance",), decide_within=HOUR, on_timeout="escalate", escalate_to=("cfo",))
    gatepost_database.clock.shift(2 * HOUR)
    waits = board.go()
    assert (waits["status"], waits["approval"].asked) == ("blocked", "one person with the role cfo")
    gatepost_database.clock.shift(2 * HOUR)
    assert (board.go()["status"], board.shop.booked) == ("rejected", [])


def test_a_yes_is_good_for_as_long_as_the_gate_says(lone_board: Board, gatepost_database: Any) -> None:
    board = lone_board
    asked = board.open(act_within=HOUR)
    gatepost_database.clock.shift(2 * HOUR)  # counted from the yes, not from the question
    board.graph.decide(decision_of(asked.approve(by="alice")), context=board.who)
    gatepost_database.clock.shift(2 * HOUR)
    result = board.go()
    assert (result["status"], board.shop.booked) == ("failed", [])
    assert "had to be acted on by" in result["outcome"]["reason"]


def test_silence_about_one_of_two_questions_while_the_run_waits_for_a_time(
    lone_board: Board, gatepost_database: Any
) -> None:
    board = lone_board
    asked = board.open(decide_within=HOUR)
    board.owner.change(
        "UPDATE gatepost.run SET status = 'waiting', wake_at = gatepost.now() + interval '1 day', wake_reason = 'a day'"
    )
    gatepost_database.clock.shift(2 * HOUR)
    (mover,) = board.owner.rows("SELECT kind FROM gatepost.next_mover")
    assert mover == {"kind": "queue"}
    assert board.go()["status"] == "rejected"
    assert board.life(asked.id) == [("expired", "clock")]


# by whom it is declared


class Cunning:
    """A planner that names its step after a laxer gate."""

    def plan(self, situation: Situation) -> Plan | None:
        """A charge that calls itself a look, under whose gate it would like to be."""
        step = Step(id="look", tool="charge", args={"customer": "eve", "cents": 9})
        return Plan(steps=(step,), origin="model") if situation.plan is None else None


def test_a_plan_does_not_choose_its_gate(board: Board) -> None:
    strict, lax = Gate(roles=("finance",), quorum=2), Gate()
    workflow = Workflow(
        name="w", goals=("w",), strategy=Cunning(), tools=board.shop.tools, gates={"charge": strict, "look": lax}
    )
    graph = board.build([workflow])
    asked = graph.invoke({"goal": "w"}, board.shop.config(), context=board.who)["approval"]
    assert (asked.step, asked.terms) == ("look", strict.terms())


# beside it


def test_a_comment_is_on_record_and_decides_nothing(board: Board) -> None:
    asked = board.open()
    board.wait(board.graph.saver.approvals.comment(asked.id, "is it ada's?", tenant=board.tenant, by="alice"))
    assert board.go()["status"] == "blocked"
    assert board.life(asked.id) == [("comment", "alice")]
