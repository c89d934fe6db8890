"""Tries to make a run forget: with few checkpoints, or none, nothing may be repeated and no answer lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command

from gatepost import EffectContext, Every, FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, tool
from gatepost.checkpointing.saver import GatepostSaver
from gatepost.state.checkpoints import CheckpointPolicy
from gatepost.state.errors import DatabaseUnavailable

ASKS_FOR_PAY = Policy(
    '@id("rest") permit (principal, action == Action::"run", resource) unless { context.tool == "pay" };\n'
    '@id("anybody") permit (principal, action == Action::"decide", resource);'
)
STEPS = 6
POLICIES: tuple[CheckpointPolicy, ...] = (
    "after_each_step", "at_boundaries", Every(items=3), Every(interval=timedelta(hours=1)), "never",
)  # fmt: skip


class Chain:
    """Steps one after another, the last of which a person is asked about."""

    def __init__(self, build: Callable[..., GatepostGraph], policy: CheckpointPolicy) -> None:
        self.called: list[str] = []

        @tool(effect="read")
        def look(n: int) -> int:
            self.called.append(f"look {n}")
            return n

        @tool(effect="write", on_doubt="ask")
        def note(ctx: EffectContext, n: int) -> int:
            self.called.append(f"note {n}")
            return n

        @tool(effect="write", on_doubt="ask")
        def pay(ctx: EffectContext) -> str:
            self.called.append("pay")
            return "paid"

        chain = [
            Step(id=f"s{n}", tool="note" if n % 2 else "look", args={"n": n}, needs=(f"s{n - 1}",) if n else ())
            for n in range(STEPS)
        ]
        plan = Plan(steps=(*chain, Step(id="pay", tool="pay", needs=(f"s{STEPS - 1}",))))
        self.graph = build(
            [Workflow(name="w", goals=("w",), strategy=FixedPlan(plan), tools=(look, note, pay), checkpoints=policy)],
            policy=ASKS_FOR_PAY,
        )

    def go_on(self, config: Any) -> dict[str, Any]:
        snapshot = self.graph.get_state(config)
        asked = snapshot.values.get("approval") if snapshot.values else None
        result: dict[str, Any] = self.graph.invoke(
            Command(resume=asked.approve(by="alice")) if asked else {"goal": "w"}, config
        )
        return result


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_run_cut_off_anywhere_repeats_nothing(
    gatepost_graph: Any, lone_owner: Any, monkeypatch: pytest.MonkeyPatch, policy: CheckpointPolicy
) -> None:
    """`note` and `pay` would leave a doubt behind if they were called again, and a read is made once as well."""
    put = GatepostSaver.aput
    for n in range(1, 17):
        puts = 0

        async def dies(saver: GatepostSaver, *args: Any, n: int = n) -> Any:
            nonlocal puts
            puts += 1
            stored = await put(saver, *args)
            if puts == n:
                raise DatabaseUnavailable("gone")
            return stored

        chain, run = Chain(gatepost_graph, policy), f"run-{n}"
        config: Any = {"configurable": {"thread_id": run}}
        with monkeypatch.context() as patch, suppress(DatabaseUnavailable):
            patch.setattr(GatepostSaver, "aput", dies)
            for _ in range(2):
                chain.go_on(config)
        result: dict[str, Any] = {}
        while result.get("status") != "succeeded":
            result = chain.go_on(config)
        assert sorted(chain.called) == sorted(["pay", *(f"{'note' if k % 2 else 'look'} {k}" for k in range(STEPS))]), (
            f"cut off after superstep {n}"
        )
        assert {effect["state"] for effect in lone_owner.effects(run)} == {"succeeded"}
        seqs = [found["seq"] for found in lone_owner.rows("SELECT seq FROM gatepost.transition WHERE run_id = %s", run)]
        assert sorted(seqs) == list(range(1, len(seqs) + 1))


def kept(owner: Any, run: str) -> list[int]:
    found = owner.rows(
        "SELECT (metadata ->> 'seq')::int AS seq FROM checkpoints WHERE thread_id = %s ORDER BY checkpoint_id", run
    )
    return [row["seq"] for row in found]


def test_each_policy_keeps_what_it_says(gatepost_graph: Any, lone_owner: Any) -> None:
    for number, policy in enumerate(POLICIES):
        chain, run = Chain(gatepost_graph, policy), f"run-{number}"
        config: Any = {"configurable": {"thread_id": run}}
        while chain.go_on(config)["status"] != "succeeded":
            continue
        transitions = lone_owner.rows(
            "SELECT seq, next, status::text, checkpoint_id FROM gatepost.transition WHERE run_id = %s ORDER BY seq", run
        )
        boundaries = [row["seq"] for row in transitions if row["next"] in ([], ["approval"])]
        every = [row["seq"] for row in transitions]
        found = kept(lone_owner, run)
        assert found == [row["seq"] for row in transitions if row["checkpoint_id"]]
        if policy == "after_each_step":
            assert found == every
        elif policy == "never":
            assert found == []
        else:
            assert set(boundaries) <= set(found) < set(every)
            assert (len(found) == len(boundaries)) == (policy != Every(items=3))
        snapshot = chain.graph.get_state(config)
        assert snapshot.values["status"] == "succeeded"
        assert snapshot.next == ()
        listed = [dict(found.metadata or {})["seq"] for found in chain.graph.get_state_history(config)]
        assert listed == sorted({*found, every[-1]}, reverse=True)


@pytest.mark.parametrize("policy", ["at_boundaries", "never"])
def test_a_place_without_a_checkpoint_can_be_copied_and_deleted(
    gatepost_graph: Any, lone_owner: Any, checkpointer: Any, policy: CheckpointPolicy
) -> None:
    chain, config = Chain(gatepost_graph, policy), {"configurable": {"thread_id": "run"}}
    chain.go_on(config)
    checkpointer.copy_thread("run", "copy")
    here, there = (checkpointer.get_tuple({"configurable": {"thread_id": name}}) for name in ("run", "copy"))
    assert here.checkpoint == there.checkpoint
    assert checkpointer.get_tuple(here.config).checkpoint == here.checkpoint
    checkpointer.delete_thread("run")
    assert checkpointer.get_tuple({"configurable": {"thread_id": "run"}}) is None
    assert lone_owner.rows("SELECT FROM gatepost.position") == []


def test_a_policy_that_changes_between_two_entries_loses_no_channel(gatepost_graph: Any) -> None:
    """Values that changed while no checkpoint was kept are written with the first one that is."""
    config: Any = {"configurable": {"thread_id": "run"}}
    Chain(gatepost_graph, "never").go_on(config)
    chain = Chain(gatepost_graph, "after_each_step")
    assert chain.go_on(config)["status"] == "succeeded"
    assert [found.values["goal"] for found in chain.graph.get_state_history(config)] == ["w"] * 5
    assert all(found.values["counters"]["succeeded"] >= STEPS for found in chain.graph.get_state_history(config))


def test_a_policy_is_checked_where_it_is_written() -> None:
    for wrong in ("sometimes", None, 3, True):
        with pytest.raises(Exception, match="after_each_step"):
            Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=())), tools=(), checkpoints=wrong)  # type: ignore[arg-type]
    wrongs: list[dict[str, Any]] = [{}, {"items": 0}, {"interval": timedelta(0)}]
    for limits in wrongs:
        with pytest.raises(Exception, match="at least one"):
            Every(**limits)
