"""Tries to make a provider's wish for a long wait hold a run's lease, and to act as somebody who is no context."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gatepost import FixedPlan, Plan, RunContext, Step, Workflow, tool
from gatepost.graph.context import who_acts
from gatepost.nodes.attempts import LONGEST_PAUSE_SECONDS
from gatepost.state.errors import InvalidValue
from gatepost.testing.plugin import GraphFactory


def test_a_wait_longer_than_a_lease_should_be_held_fails_the_step(gatepost_graph: GraphFactory) -> None:
    called = []

    @tool(effect="read")
    def ask_provider() -> str:
        called.append("once")
        asked = {"Retry-After": str(int(LONGEST_PAUSE_SECONDS) + 1)}
        answer = httpx.Response(429, headers=asked, request=httpx.Request("GET", "http://provider.test/"))
        answer.raise_for_status()
        return "never"

    plan = Plan(steps=(Step(id="ask", tool="ask_provider"),))
    graph = gatepost_graph([Workflow(name="w", goals=("ask",), strategy=FixedPlan(plan), tools=(ask_provider,))])
    result = graph.invoke({"goal": "ask"})
    assert called == ["once"]
    assert result["status"] == "failed"
    assert result["steps"]["ask"]["failure"]["kind"] == "throttled"


@pytest.mark.parametrize("given", [None, RunContext(), {}, {"tenant": "local"}])
def test_a_context_may_be_left_out_or_be_a_dict(given: Any) -> None:
    assert who_acts(given) == RunContext()


@pytest.mark.parametrize("given", ["alice", {"tenant": "local", "admin": True}, {"tenant": ""}, 7])
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(InvalidValue):
        who_acts(given)
