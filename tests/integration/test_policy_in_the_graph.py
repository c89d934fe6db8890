"""Tries to run a step that the policy does not let run: forbidden, unjudgeable, found risky by an earlier step, or
said by the plan itself to be harmless.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gatepost import EffectContext, Finding, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, ref, tool
from gatepost.nodes.policy import InvalidPolicy

READS = '@id("reads") permit (principal, action == Action::"run", resource) when { context.effect == "read" };'
DECIDE = '@id("decide") permit (principal, action == Action::"decide", resource);'
ALL = '@id("all") permit (principal, action, resource);'


def _never(name: str, condition: str) -> str:
    head = f'@id("{name}") forbid (principal, action == Action::"run", resource)'
    return f'{head} when {{ context.tool == "send" && {condition} }};'


class Desk:
    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.sent: list[str] = []
        self._build = build

        @tool(effect="write", on_doubt="retry")
        def send(ctx: EffectContext, to: str, cents: int = 1) -> str:
            self.sent.append(f"{to}:{cents}")
            return to

        @tool(effect="read")
        def screen(name: str) -> Finding:
            return Finding(needs_approval=f"{name} is on a list") if name == "eve" else Finding()

        @tool
        def undeclared(what: str) -> str:
            self.sent.append(what)
            return what

        self.tools = (send, screen, undeclared)

    def run(self, policy: str, *steps: Step, config: Any) -> tuple[GatepostGraph, dict[str, Any]]:
        workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=self.tools)
        graph = self._build([workflow], policy=Policy(policy))
        return graph, graph.invoke({"goal": "w"}, config)


@pytest.fixture
def desk(build: Callable[..., GatepostGraph]) -> Desk:
    return Desk(build)


def _send(step: str = "send", **args: Any) -> Step:
    return Step(id=step, tool="send", args=args)


def test_what_is_permitted_runs_unattended_and_says_by_which_policy(desk: Desk, shop: Any) -> None:
    _, result = desk.run(ALL, _send(to="ada"), config=shop.config())
    assert (result["status"], desk.sent) == ("succeeded", ["ada:1"])
    assert result["steps"]["send"]["policies"] == ["all"]


def test_what_is_forbidden_never_runs_and_asks_nobody(desk: Desk, shop: Any, owner: Any) -> None:
    forbid = _never("no-eve", 'context.args.to == "eve"')
    _, result = desk.run(ALL + forbid, _send(to="eve"), config=shop.config())
    assert (result["status"], desk.sent, result["approvals"]) == ("failed", [], [])
    assert "no-eve" in result["outcome"]["reason"]
    assert owner.effects(shop.run()) == []


def test_a_policy_that_cannot_be_evaluated_asks(desk: Desk, shop: Any) -> None:
    """In Cedar a forbid that cannot be evaluated does not fire: that must not let the step run."""
    forbid = _never("limit", "context.args.cents * 9223372036854775807 > 5")
    _, result = desk.run(ALL + forbid, _send(to="ada", cents=2), config=shop.config())
    assert (result["status"], desk.sent) == ("blocked", [])
    assert "limit" in result["approval"].reasons[0]


def test_what_nothing_permits_is_asked_about(desk: Desk, shop: Any) -> None:
    _, result = desk.run(READS + DECIDE, _send(to="ada"), config=shop.config())
    assert (result["status"], desk.sent) == ("blocked", [])


def test_an_undeclared_tool_is_taken_for_irreversible(desk: Desk, shop: Any) -> None:
    step = Step(id="a", tool="undeclared", args={"what": "x"})
    _, result = desk.run(READS + DECIDE, step, config=shop.config())
    assert (result["approval"].effect, desk.sent) == ("irreversible", [])


@pytest.mark.parametrize(("name", "status"), [("ada", "succeeded"), ("eve", "blocked")])
def test_a_finding_demands_a_person_for_what_depends_on_it(desk: Desk, shop: Any, name: str, status: str) -> None:
    steps = (
        Step(id="screen", tool="screen", args={"name": name}),
        Step(id="send", tool="send", args={"to": name}, needs=("screen",)),
        _send("other", to="bob"),
    )
    _, result = desk.run(ALL, *steps, config=shop.config())
    assert result["status"] == status
    assert "bob:1" in desk.sent
    if name == "eve":
        assert desk.sent == ["bob:1"]
        assert result["approval"].reasons == ("screen: eve is on a list",)


def test_the_policy_judges_the_arguments_as_they_will_be_sent(desk: Desk, shop: Any) -> None:
    """Defaults filled in, references resolved: not what the plan happens to spell out."""
    forbid = _never("small", "context.args.cents < 5")
    _, result = desk.run(ALL + forbid, _send(to="ada"), config=shop.config())
    assert result["status"] == "failed"
    assert "small" in result["outcome"]["reason"]
    steps = (_send("a", to="ada", cents=7), Step(id="b", tool="send", args={"to": ref("a"), "cents": 7}))
    forbid = _never("no-ada", 'context.args.to == "ada" && resource == Step::"b"')
    _, result = desk.run(ALL + forbid, *steps, config=shop.config("r2"))
    assert "no-ada" in result["outcome"]["reason"]
    assert desk.sent == ["ada:7"]


def test_a_plan_cannot_declare_its_own_risk(build: Callable[..., GatepostGraph], shop: Any) -> None:
    for extra in ("approved", "risk", "effect", "approver", "tenant", "policy", "key"):

        class Sly:
            def plan(self, _: Any, /, extra: str = extra) -> Any:
                return {"steps": [{"id": "charge", "tool": "charge", "args": {}, extra: "low"}]}

        strategy: Any = Sly()
        graph = build([Workflow(name="w", goals=("w",), strategy=strategy, tools=shop.tools)])
        result = graph.invoke({"goal": "w"}, shop.config(extra))
        assert result["status"] == "failed"
        assert extra in result["outcome"]["reason"]
    assert shop.booked == []


def test_a_broken_policy_is_refused_before_anything_runs(desk: Desk, shop: Any, owner: Any) -> None:
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        desk.run("permit (principal, action", _send(to="ada"), config=shop.config())
    assert owner.rows("SELECT FROM gatepost.run WHERE run_id = %s", shop.run()) == []


def test_an_empty_policy_lets_nothing_run_and_nobody_decide(desk: Desk, shop: Any) -> None:
    graph, result = desk.run("", _send(to="ada"), config=shop.config())
    shop.graph = graph
    with pytest.raises(Exception, match="may not decide"):
        shop.answer(result["approval"].approve(by="alice"))
    assert desk.sent == []
