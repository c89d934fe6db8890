"""Tries to make a late step of a long run cost more than an early one. Bytes as they are, not as pages hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, LiteralString

import pytest

from gatepost import EffectContext, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, tool
from gatepost.state.checkpoints import CheckpointPolicy

ALL = Policy('@id("all") permit (principal, action, resource);')
SHORT, LONG = 60, 600
TABLES: dict[LiteralString, LiteralString] = {
    "gatepost.plan": "run_id",
    "gatepost.step": "run_id",
    "gatepost.transition": "run_id",
    "gatepost.effect": "run_id",
    "gatepost.position": "run_id",
    "public.checkpoints": "thread_id",
    "public.checkpoint_blobs": "thread_id",
    "public.checkpoint_writes": "thread_id",
}


@pytest.mark.parametrize("policy", ["after_each_step", "at_boundaries"])
def test_a_step_of_a_long_run_is_as_small_as_one_of_a_short_run(
    gatepost_graph: Callable[..., GatepostGraph], lone_owner: Any, policy: CheckpointPolicy
) -> None:
    sizes: dict[int, dict[str, float]] = {}
    for n in (SHORT, LONG):

        @tool(effect="write", on_doubt="ask")
        async def note(ctx: EffectContext, text: str) -> str:
            return text

        steps = tuple(
            Step(id=f"s{i:04}", tool="note", args={"text": f"{i:0200}"}, needs=(f"s{i - 1:04}",) if i else ())
            for i in range(n)
        )
        workflow = Workflow(
            name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(note,), checkpoints=policy
        )
        graph = gatepost_graph([workflow], policy=ALL)
        config: Any = {"configurable": {"thread_id": f"run-{n:04}"}}
        assert graph.invoke({"goal": "w"}, config)["status"] == "succeeded"
        sizes[n] = {
            table: lone_owner.rows(
                f"SELECT coalesce(sum(octet_length(t::text)), 0) AS n FROM {table} t WHERE {key} = %s",  # noqa: S608
                f"run-{n:04}",
            )[0]["n"]
            for table, key in TABLES.items()
        }
    for table, size in sizes[LONG].items():
        assert size / LONG <= 1.1 * sizes[SHORT][table] / SHORT, table
    assert sum(sizes[LONG].values()) / LONG < 8000
