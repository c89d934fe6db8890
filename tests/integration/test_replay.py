"""Tries to make a replay act, to let it differ from a record that today's code made, and to hide why it does."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel
from tests.golden import workflows as made
from tests.integration.conftest import Owner, Shop

from gatepost import (
    Cause,
    Conclusion,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Recording,
    RunContext,
    Situation,
    Step,
    Workflow,
    record,
    replay,
    tool,
)
from gatepost.graph import routing
from gatepost.graph.routing import route
from gatepost.graph.timetravel import areplay_unfinished
from gatepost.state.errors import InvalidValue, UnknownVersion
from gatepost.state.recording import read_recording
from gatepost.testing import Database

Build = Callable[..., GatepostGraph]


def _config(run: str) -> Any:
    return {"configurable": {"thread_id": run}}


@pytest.fixture
def graph(build: Build) -> GatepostGraph:
    return build([*made.WORKFLOWS, made.chain(1000)], policy=made.ALL)


@pytest.fixture
def sale(graph: GatepostGraph, request: pytest.FixtureRequest) -> Recording:
    """A sale that a model planned in two segments."""
    run = f"sale-{request.node.name}"[:100].translate(str.maketrans("[] ", "---"))
    assert graph.invoke({"goal": "sell"}, _config(run))["status"] == "succeeded"
    made.CALLED.clear()
    return record(graph, run)


@pytest.mark.parametrize(
    ("goal", "status"),
    [("sell", "succeeded"), ("lost_sale", "failed"), ("undone_sale", "compensated"), ("replan", "succeeded")],
)
def test_a_run_replays_as_it_was_and_calls_nothing(graph: GatepostGraph, owner: Owner, goal: str, status: str) -> None:
    run = f"as-it-was-{goal}"
    assert graph.invoke({"goal": goal}, _config(run))["status"] == status
    made.CALLED.clear()
    before = owner.counts(run)
    report = replay(run, graph)
    assert report.identical, report.divergence
    assert report.transitions == report.last
    assert made.CALLED == []
    assert owner.counts(run) == before


def test_a_thousand_steps_replay_as_they_were(graph: GatepostGraph) -> None:
    assert graph.invoke({"goal": "chain"}, _config("chain"))["status"] == "succeeded"
    recording = record(graph, "chain")
    made.CALLED.clear()
    report = replay(recording, graph, clocks=False)
    assert (report.identical, made.CALLED) == (True, [])
    assert len(recording.states) == report.transitions > 1000
    middle = replay(recording, graph, begin=900, until=930, clocks=False)
    assert (middle.identical, middle.transitions) == (True, 31)


def _no_letters(state: Any) -> Any:
    """A routing rule: whatever would be executed after the second plan is not."""
    return "finalizer" if state["plan_version"] > 1 and not state.get("ending") else route(state)


class Itemised(made.Receipt):
    """A receipt that says more."""

    items: list[str]


class Bigger(made.Order):
    """An order that is read with something more in it."""

    currency: str = "EUR"


@tool(name="charge", effect="write", on_doubt="retry", retry=made.ONCE, compensate=made.refund)
def charge_with_items(ctx: EffectContext, customer: str, cents: int) -> Itemised:
    raise AssertionError("called")


CAREFUL = Policy("""
@id("all") permit (principal, action, resource);
@id("no-letters") forbid (principal, action == Action::"run", resource) when { context.tool == "mail" };
""")


def _first(recording: Recording, node: str, *, after: int = 0) -> int:
    return next(int(row["seq"]) for row in recording.transitions if node in row["nodes"] and row["seq"] > after)


@pytest.mark.parametrize(
    ("changed", "node", "cause"),
    [
        ({"task": "pick other tools"}, "planner", Cause.PROMPT),
        ({"charge": "debit"}, "planner", Cause.RENAME),
        ({"charging": charge_with_items}, "executor", Cause.DATA_SHAPE),
        ({"worth_a_letter": 200}, "planner again", Cause.ROUTING),
    ],
)
def test_a_changed_workflow_is_found_where_it_first_matters(
    sale: Recording, changed: dict[str, Any], node: str, cause: Cause
) -> None:
    report = replay(sale, [made.sale(**changed)], policy=made.ALL)
    assert report.divergence is not None
    assert report.divergence.cause is cause, report.divergence
    expected = {
        "planner": _first(sale, "planner"),
        "planner again": _first(sale, "planner", after=_first(sale, "planner")),
        "executor": _first(sale, "executor", after=_first(sale, "executor")),
    }[node]
    assert report.divergence.seq == expected
    assert report.consequences == tuple(range(expected + 1, sale.last + 1))
    assert made.CALLED == []


def test_another_conclusion_is_found_in_the_last_transition(sale: Recording) -> None:
    report = replay(sale, [replace(made.sale(), conclude=lambda _: Conclusion({"total": 1}))], policy=made.ALL)
    assert report.divergence is not None
    assert (report.divergence.seq, report.divergence.cause) == (sale.last, Cause.ROUTING)
    assert [found.path for found in report.divergence.differences] == ["state/outcome/total"]


def test_a_branch_on_the_wall_clock_is_found_before_it_does_harm(build: Build) -> None:
    graph = build([made.sale(worth_a_letter=1000, late=made.late_in_the_century)], policy=made.ALL)
    graph.invoke({"goal": "sell"}, _config("by-the-clock"))
    found = replay("by-the-clock", graph).divergence
    assert found is not None
    assert found.cause is Cause.WALL_CLOCK
    assert "planner" in found.nodes
    assert replay("by-the-clock", graph, clocks=False).identical


def test_a_changed_policy_is_found_where_it_judges(sale: Recording) -> None:
    found = replay(sale, [made.sale()], policy=CAREFUL).divergence
    assert found is not None
    assert (found.cause, found.nodes) == (Cause.POLICY, ("policy_gate",))


def test_a_policy_set_that_judges_the_same_changes_nothing(sale: Recording) -> None:
    assert replay(
        sale, [made.sale()], policy=Policy('@id("all") permit (principal, action, resource); // more')
    ).identical


def test_a_changed_routing_rule_is_found_where_it_routes(sale: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "route", _no_letters)
    found = replay(sale, [made.sale()], policy=made.ALL).divergence
    assert found is not None
    assert (found.cause, found.nodes) == (Cause.ROUTING, ("policy_gate",))
    assert any(item.path.startswith("next") for item in found.differences)


def test_a_changed_input_is_found_at_the_first_state(sale: Recording) -> None:
    sale.run["input"] = {"customer": "ada", "cents": 7}
    found = replay(sale, [made.sale()], policy=made.ALL).divergence
    assert found is not None
    assert (found.cause, found.seq) == (Cause.INPUT, 2)


def test_that_a_new_run_would_take_the_input_otherwise_is_told(sale: Recording) -> None:
    class Strict(BaseModel):
        customer: str
        cents: int
        country: str

    report = replay(sale, [made.sale(request=Strict)], policy=made.ALL)
    assert report.identical
    assert "country" in report.warnings[0]


def test_what_is_not_on_record_is_missing_and_not_made_up(sale: Recording) -> None:
    sale.answers.clear()
    found = replay(sale, [made.sale()], policy=made.ALL).divergence
    assert found is not None
    assert (found.cause, found.nodes) == (Cause.MISSING_RECORD, ("planner",))
    assert made.CALLED == []


class Phoning:
    """A planner that asks the world past `situation.ask`."""

    def plan(self, situation: Situation) -> Plan | None:  # noqa: ARG002
        """The plan, if somebody answers."""
        with socket.socket() as line:
            line.connect(("127.0.0.1", 9))
        return None


def test_a_strategy_that_phones_is_refused_by_the_replay(build: Build) -> None:
    graph = build([Workflow(name="phone", goals=("phone",), strategy=FixedPlan(_LOOK), tools=(made.look,))])
    graph.invoke({"goal": "phone"}, _config("phone"))
    phoning = Workflow(name="phone", goals=("phone",), strategy=Phoning(), tools=(made.look,))
    found = replay(record(graph, "phone"), [phoning]).divergence
    assert found is not None
    assert found.cause is Cause.MISSING_RECORD
    assert "socket.connect" in found.why
    with socket.socket() as line, pytest.raises(ConnectionRefusedError):
        line.connect(("127.0.0.1", 9))  # the seal is gone with the replay


class Querying:
    """A planner that asks a database, through a library in C."""

    url = ""

    def plan(self, situation: Situation) -> Plan | None:
        """The plan, if the database answers."""
        with psycopg.connect(self.url) as connection:
            connection.execute("SELECT 1")
        return _LOOK if situation.plan is None else None


class Chatting:
    """A planner with a connection that was open before."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def plan(self, situation: Situation) -> Plan | None:
        """The plan, after a word that nobody is told of."""
        with suppress(OSError):
            os.write(self._line.fileno(), b"a word")
        with suppress(OSError):
            self._line.send(b"a word")
        return _LOOK if situation.plan is None else None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread refuse what C does")
def test_a_connection_that_c_opens_is_refused_and_the_others_stay(build: Build, town: Database) -> None:
    flow = Workflow(name="ask", goals=("ask",), strategy=FixedPlan(_LOOK), tools=(made.look,))
    graph, Querying.url = build([flow]), town.url
    graph.invoke({"goal": "ask"}, _config("c-asks"))
    asking = Workflow(name="ask", goals=("ask",), strategy=Querying(), tools=(made.look,))
    report = replay(record(graph, "c-asks"), [asking])
    assert report.divergence is not None
    assert (report.divergence.cause, report.warnings) == (Cause.MISSING_RECORD, ())
    assert "from C" in report.divergence.why
    assert graph.invoke({"goal": "ask"}, _config("c-asks-again"))["status"] == "succeeded"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a thread files of its own")
def test_a_connection_that_was_open_before_carries_no_word_out(build: Build) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        flow = Workflow(name="chat", goals=("chat",), strategy=Chatting(ours), tools=(made.look,))
        graph = build([flow])
        graph.invoke({"goal": "chat"}, _config("chats"))
        theirs.settimeout(0)
        assert theirs.recv(100)
        assert replay("chats", graph).identical
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        ours.send(b"the replay is over")
        assert theirs.recv(100) == b"the replay is over"


_LOOK = Plan(steps=(Step(id="look", tool="look", args={"customer": "ada"}),))


class _Died(BaseException):
    """As a process dies."""


def test_a_model_that_has_answered_is_not_asked_again_after_a_crash(build: Build) -> None:
    class Dying(made.Picker):
        died = False

        async def plan(self, situation: Situation) -> Plan | None:
            plan = await super().plan(situation)
            if not Dying.died:
                Dying.died = True
                raise _Died
            return plan

    made.CALLED.clear()
    dying = Workflow(
        name="dying", goals=("die",), strategy=Dying(), tools=(made.look, made.charge, made.mail), input=made.Order
    )
    graph = build([dying], policy=made.ALL)
    with pytest.raises(_Died):
        graph.invoke({"goal": "die"}, _config("dying"))
    assert graph.invoke(None, _config("dying"))["status"] == "succeeded"
    assert made.CALLED.count("model") == 1
    assert replay("dying", graph).identical


def test_it_stops_before_a_node_and_shows_the_state(shop: Shop) -> None:
    asked = shop.open()
    shop.answer(asked.approve(by="alice"))
    report = replay(shop.run(), shop.graph, brake="approval")
    assert (report.identical, report.divergence) == (True, None)
    assert report.state is not None
    assert list(report.state["approvals"]) == [asked.id]
    assert report.state["steps"]["charge"]["status"] == "blocked"
    until = replay(shop.run(), shop.graph, until=5)
    assert (until.identical, until.transitions) == (True, 5)


def test_what_is_not_on_record_is_not_called_identical(shop: Shop) -> None:
    shop.answer(shop.open().approve(by="alice"))
    end = replay(shop.run(), shop.graph).last
    mistakes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"brake": "aproval"}, "there are approval, compensator"),
        ({"begin": end + 1}, f"the last one on record is {end}"),
        ({"begin": 5, "until": 3}, "5, the first, comes after 3"),
    )
    for asked, told in mistakes:
        with pytest.raises(InvalidValue, match=told):
            replay(shop.run(), shop.graph, **asked)
    shop.graph.admit({"goal": "sell"}, shop.config("later"))
    with pytest.raises(InvalidValue, match="has not begun"):
        replay(shop.run("later"), shop.graph)


def test_every_unfinished_run_is_tried_before_a_deploy(build: Build) -> None:
    shop = Shop(build)
    shop.graph.invoke({"goal": "sell"}, shop.config("waits"), context=RunContext(tenant="deploying"))
    reports = shop.graph.saver.bridge.run(areplay_unfinished(shop.graph, context=RunContext(tenant="deploying")))
    assert [(report.run_id, report.identical) for report in reports] == [(shop.run("waits"), True)]


def test_a_file_says_the_same_as_the_rows(sale: Recording) -> None:
    lines = list(sale.lines())
    assert list(read_recording(lines).lines()) == lines
    assert replay(read_recording(lines), [made.sale()], policy=made.ALL).identical


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("", "its first line says of no run"),
        ("{", "line 1 of f cannot be read: it is no JSON"),
        ('{"kind": "recording", "schema_version": 9}', "schema_version 9"),
        ('{"kind": "other"}', "it is of the kind 'other'"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_line(broken: str, said: str) -> None:
    with pytest.raises((InvalidValue, UnknownVersion), match=said):
        read_recording([broken], name="f")


def test_a_graph_in_the_place_of_the_run_is_told_so() -> None:
    graph_first: Any = [made.sale()]
    with pytest.raises(InvalidValue, match=r"named by its id, not by a list. Write replay\('run_4f', graph\)"):
        replay(graph_first, [made.sale()])


def test_a_run_of_another_graph_version_is_refused(sale: Recording) -> None:
    sale.run["graph_version"] = "0"
    with pytest.raises(UnknownVersion, match="graph version 0"):
        replay(sale, [made.sale()], policy=made.ALL)
    sale.run["graph_version"] = "1"
    del sale.transitions[3]
    with pytest.raises(InvalidValue, match="gaps"):
        replay(sale, [made.sale()], policy=made.ALL)


_TAMPERED: list[tuple[dict[str, Any], str]] = [
    ({"state": "failed"}, "state 'failed' ≠ 'succeeded'"),
    ({"result": {"cents": 1}}, "result {'cents': 1} ≠ {'cents': 100}"),
    ({"arguments": {"customer": "eve", "cents": 100}}, "arguments"),
    ({"fingerprint": "0" * 64}, "fingerprint"),
    ({"approval_id": "apr_of_somebody"}, "approval 'apr_of_somebody' ≠ None"),
    ({"tool": "mail"}, "tool 'mail' ≠ 'charge'"),
    ({"generation": 1}, "generation 1 ≠ 0"),
    ({"attempts": 0}, "attempts 0 ≠ 1"),
    ({"step_id": "look"}, "step 'look' ≠ 'charge'"),
]


@pytest.mark.parametrize(("altered", "said"), _TAMPERED, ids=[next(iter(altered)) for altered, _ in _TAMPERED])
def test_a_row_of_the_ledger_that_was_altered_is_found_where_its_call_was_made(
    sale: Recording, altered: dict[str, Any], said: str
) -> None:
    row = next(row for row in sale.effects if row["tool"] == "charge")
    made_at = next(
        one["seq"]
        for one in sale.steps
        if one["record"].get("key") == row["key"] and one["record"]["status"] == "succeeded"
    )
    row.update(altered)
    found = replay(sale, [made.sale()], policy=made.ALL).divergence
    assert found is not None
    assert (found.seq, found.cause) == (made_at, Cause.MISSING_RECORD)
    assert f"row {row['key']} is another than its step's record" in found.why
    assert said in found.why
    assert all(one.path.startswith("effects/") for one in found.differences)


def test_a_row_of_the_ledger_that_is_gone_or_too_many_is_found(sale: Recording) -> None:
    whole = list(sale.effects)
    sale.effects[:] = whole[1:]
    found = replay(sale, [made.sale()], policy=made.ALL).divergence
    assert found is not None
    assert (found.cause, found.why) == (
        Cause.MISSING_RECORD,
        f"the ledger has no row {whole[0]['key']}, under which charge was called",
    )
    sale.effects[:] = [*whole, {**whole[0], "key": "eff_strange", "step_id": "nobody"}]
    found = replay(sale, [made.sale()], policy=made.ALL).divergence
    assert found is not None
    assert found.cause is Cause.MISSING_RECORD
    assert "eff_strange for charge, and no step of the run speaks of it" in found.why


def test_an_undo_whose_effect_is_gone_is_missing_record(graph: GatepostGraph) -> None:
    graph.invoke({"goal": "undone_sale"}, _config("undone-gone"))
    recording = record(graph, "undone-gone")
    assert replay(recording, graph).identical
    for purpose in ("compensate", "run"):
        whole = list(recording.effects)
        recording.effects[:] = [row for row in whole if (row["step_id"], row["purpose"]) != ("pay", purpose)]
        found = replay(recording, graph).divergence
        assert found is not None
        assert found.cause is Cause.MISSING_RECORD, found
        recording.effects[:] = whole


@pytest.mark.parametrize("kind", [bool, float])
def test_what_is_equal_in_python_and_another_value_is_a_difference(build: Build, kind: type) -> None:
    def counting(given: type) -> Workflow:
        def count() -> Any:
            return 1

        count.__annotations__["return"] = given
        does = tool(effect="read")(count)
        plan = Plan(steps=(Step(id="count", tool="count"),))
        return Workflow(name="counting", goals=("count",), strategy=FixedPlan(plan), tools=(does,))

    graph, run = build([counting(int)]), f"counted-{kind.__name__}"
    assert graph.invoke({"goal": "count"}, _config(run))["steps"]["count"]["output"] == 1
    assert replay(run, graph).identical
    found = replay(record(graph, run), [counting(kind)]).divergence
    assert found is not None
    assert (found.cause, found.nodes) == (Cause.DATA_SHAPE, ("executor",))
    assert [one for one in found.differences if one.path == "steps/count/output"]
