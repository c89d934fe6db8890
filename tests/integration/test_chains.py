"""Tries to make a chain that was judged beforehand run what nobody judged, or miss what happened meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from gatepost import EffectContext, Finding, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, ref, tool

ALL = Policy('@id("all") permit (principal, action, resource);')
ASK_FOR_9 = Policy(
    '@id("rest") permit (principal, action == Action::"run", resource) unless { context.args.n == 9 };\n'
    '@id("anybody") permit (principal, action == Action::"decide", resource);'
)


class Line:
    """Steps that note the order in which they came."""

    def __init__(self, build: Callable[..., GatepostGraph], *steps: Step, policy: Policy = ALL) -> None:
        self.came: list[int] = []

        @tool(effect="write", on_doubt="retry")
        def note(ctx: EffectContext, n: int) -> int:
            self.came.append(n)
            return n

        @tool(effect="read")
        def worry(n: int) -> Finding:
            self.came.append(n)
            return Finding(needs_approval="somebody should look")

        @tool(effect="read")
        def fail(n: int) -> int:
            raise ValueError(f"no {n}")

        workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(note, worry, fail))
        self.graph = build([workflow], policy=policy)

    def run(self) -> dict[str, Any]:
        result: dict[str, Any] = self.graph.invoke({"goal": "w"}, {"configurable": {"thread_id": "run"}})
        return result


def chain(count: int, **tools: str) -> list[Step]:
    return [
        Step(id=f"s{n}", tool=tools.get(f"s{n}", "note"), args={"n": n}, needs=(f"s{n - 1}",) if n else ())
        for n in range(count)
    ]


def nodes(owner: Any) -> list[str]:
    found = owner.rows("SELECT nodes FROM gatepost.transition WHERE run_id = 'run' ORDER BY seq")
    return ["+".join(row["nodes"]) for row in found]


def test_a_chain_goes_back_to_the_gate_once_in_seventeen_steps(gatepost_graph: Any, lone_owner: Any) -> None:
    line = Line(gatepost_graph, *chain(40))
    assert line.run()["status"] == "succeeded"
    assert line.came == list(range(40))
    visited = nodes(lone_owner)
    assert visited.count("executor") == 40
    assert visited.count("policy_gate") == 4  # three that judge, and the one that ends it


def test_a_step_judged_beforehand_costs_two_commits(gatepost_graph: Any, lone_owner: Any) -> None:
    """The intent before the call; the result, with the transition and the checkpoint, after it."""
    Line(gatepost_graph, *chain(17)).run()
    (found,) = lone_owner.rows(
        """
        SELECT count(*) AS steps, count(DISTINCT t.xmin::text) AS commits, count(DISTINCT c.xmin::text) AS checkpoints
        FROM gatepost.transition t JOIN checkpoints c USING (checkpoint_id)
        WHERE t.nodes = ARRAY['executor']
        """
    )
    assert found == {"steps": 17, "commits": 17, "checkpoints": 17}
    assert lone_owner.rows("SELECT count(*) AS n FROM checkpoint_writes") == [{"n": 0}]
    assert lone_owner.rows("SELECT count(*) AS n FROM gatepost.effect WHERE attempts = 1") == [{"n": 17}]


def test_a_finding_stops_the_chain_for_a_person(gatepost_graph: Any, lone_owner: Any) -> None:
    line = Line(gatepost_graph, *chain(5, s1="worry"))
    result = line.run()
    assert (result["status"], line.came) == ("blocked", [0, 1])
    assert result["approval"].step == "s2"
    assert {step: record["status"] for step, record in result["steps"].items()} == {
        "s0": "succeeded", "s1": "succeeded", "s2": "blocked", "s3": "pending", "s4": "pending",
    }  # fmt: skip


def test_a_failure_stops_the_chain(gatepost_graph: Any) -> None:
    line = Line(gatepost_graph, *chain(5, s2="fail"))
    result = line.run()
    assert (result["status"], line.came) == ("failed", [0, 1])
    assert {record["status"] for step, record in result["steps"].items() if step > "s2"} == {"pending"}


def test_a_step_that_the_policy_asks_about_is_asked_about_in_the_gate(gatepost_graph: Any, lone_owner: Any) -> None:
    line = Line(gatepost_graph, *chain(12), policy=ASK_FOR_9)
    result = line.run()
    assert (result["status"], line.came) == ("blocked", list(range(9)))
    assert result["approval"].step == "s9"
    assert nodes(lone_owner).count("policy_gate") == 2


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [*chain(1), *(Step(id=x, tool="note", args={"n": 1}, needs=("s0",)) for x in "ab")], id="two at once"
        ),
        pytest.param([*chain(1), Step(id="a", tool="note", args={"n": ref("s0")})], id="arguments not known yet"),
    ],
)
def test_what_is_not_certain_goes_through_the_gate(gatepost_graph: Any, lone_owner: Any, steps: list[Step]) -> None:
    Line(gatepost_graph, *steps).run()
    visited = nodes(lone_owner)
    assert ("executor", "executor") not in pairwise(visited)


def test_a_diamond_joins_in_the_gate(gatepost_graph: Any, lone_owner: Any) -> None:
    arms = [Step(id=x, tool="note", args={"n": n}, needs=("s0",)) for n, x in enumerate("ab", 1)]
    tail = [
        Step(id="c", tool="note", args={"n": 3}, needs=("a", "b")),
        Step(id="d", tool="note", args={"n": 4}, needs=("c",)),
    ]
    line = Line(gatepost_graph, *chain(1), *arms, *tail)
    assert line.run()["status"] == "succeeded"
    assert (line.came[0], sorted(line.came[1:3]), line.came[3:]) == (0, [1, 2], [3, 4])
    assert "executor+executor" in nodes(lone_owner)
    assert nodes(lone_owner)[-4:] == ["executor", "executor", "policy_gate", "finalizer"]


def test_a_step_late_in_a_long_run_is_no_larger_than_an_early_one(gatepost_graph: Any, lone_owner: Any) -> None:
    Line(gatepost_graph, *chain(170)).run()
    thirds = lone_owner.rows(
        """
        SELECT width_bucket(t.seq, 0, max(t.seq) OVER () + 1, 3) AS third,
               pg_column_size(t) + pg_column_size(c) + coalesce(s.bytes, 0) + coalesce(b.bytes, 0) AS bytes
        FROM gatepost.transition t JOIN checkpoints c USING (checkpoint_id)
        LEFT JOIN LATERAL (
            SELECT sum(pg_column_size(s)) AS bytes FROM gatepost.step s WHERE (s.run_id, s.seq) = (t.run_id, t.seq)
        ) s ON true
        LEFT JOIN LATERAL (
            SELECT sum(pg_column_size(b)) AS bytes FROM checkpoint_blobs b
            WHERE c.checkpoint -> 'channel_versions' ->> b.channel = b.version
        ) b ON true
        """
    )
    mean = {
        third: sum(row["bytes"] for row in thirds if row["third"] == third)
        / sum(row["third"] == third for row in thirds)
        for third in (2, 3)
    }
    assert mean[3] < mean[2] * 1.02
