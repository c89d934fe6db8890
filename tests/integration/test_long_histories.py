"""Tries to make the history of a long run cost the square of its length, and to show another past than there was."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import closing
from itertools import islice, pairwise
from typing import Any, cast

import psycopg
import pytest

from gatepost import FixedPlan, GatepostGraph, Plan, Policy, Step, Workflow, ref, tool
from gatepost.checkpointing import places
from gatepost.checkpointing.history import History
from gatepost.graph.rewind import Rewind
from gatepost.state.board import Board
from gatepost.state.checkpoints import CheckpointPolicy, Every
from gatepost.state.status import StepStatus
from gatepost.state.step import StepRecord

ALL = Policy('@id("all") permit (principal, action, resource);')
CONFIG: Any = {"configurable": {"thread_id": "long"}}
PAGE = 5
LONG = 30


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many step records each statement brought."""
    brought: list[int] = []
    step_rows, steps_back = History.step_rows, History.steps_back

    async def as_of(self: History, run_id: str, **asked: Any) -> Any:
        rows = await step_rows(self, run_id, **asked)
        brought.append(len(rows))
        return rows

    async def back(self: History, run_id: str, **asked: Any) -> Any:
        rows = await steps_back(self, run_id, **asked)
        brought.append(sum(row["record"] is not None for row in rows))
        return rows

    monkeypatch.setattr(History, "step_rows", as_of)
    monkeypatch.setattr(History, "steps_back", back)
    return brought


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the database, in small pages."""
    monkeypatch.setattr(places, "PAGE", PAGE)
    asked: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def noted(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        asked.append(str(query))
        return await execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", noted)
    return asked


@pytest.fixture
def ran(gatepost_graph: Callable[..., GatepostGraph]) -> Callable[[int], GatepostGraph]:
    def run(n: int) -> GatepostGraph:
        @tool(effect="read")
        def look(at: Any) -> int:
            return n

        steps = tuple(
            Step(id=f"s{i}", tool="look", args={"at": ref(f"s{i - 1}") if i else 0}, needs=(f"s{i - 1}",) if i else ())
            for i in range(n)
        )
        workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(look,))
        graph = gatepost_graph([workflow], policy=ALL)
        assert graph.invoke({"goal": "w"}, CONFIG)["status"] == "succeeded"
        return graph

    return run


def test_each_item_shows_what_get_state_shows_of_it(ran: Callable[[int], GatepostGraph]) -> None:
    graph = ran(6)
    items = list(graph.get_state_history(CONFIG))
    assert len(items) > 12
    for item in items:
        alone = graph.get_state(item.config)
        assert item.values == alone.values
        assert list(item.values.get("steps", ())) == list(alone.values.get("steps", ()))
    counts = [sum(step["status"] == "succeeded" for step in item.values.get("steps", {}).values()) for item in items]
    assert counts[0] == 6
    assert counts == sorted(counts, reverse=True)
    assert {step["status"] for step in items[-3].values["steps"].values()} <= {"pending", "running"}


def test_a_history_asks_once_for_the_steps_and_once_for_each_page(
    ran: Callable[[int], GatepostGraph], statements: list[str]
) -> None:
    graph = ran(12)
    statements.clear()
    items = sum(1 for _ in graph.get_state_history(CONFIG))
    assert items > 4 * PAGE
    pages = items // PAGE + 1
    assert len(statements) <= 2 * pages + 6
    assert sum("gatepost.step" in statement for statement in statements) <= 1 + pages
    assert sum("gatepost.plan" in statement for statement in statements) == 1


def test_who_stops_looking_has_not_read_the_rest(ran: Callable[[int], GatepostGraph], statements: list[str]) -> None:
    graph = ran(12)
    statements.clear()
    with closing(cast("Any", graph.get_state_history(CONFIG))) as history:
        seqs = [item.metadata["seq"] for item in islice(history, 3)]
    assert seqs == [seqs[0], seqs[0] - 1, seqs[0] - 2]
    pages = [statement for statement in statements if statement.rstrip().endswith("LIMIT %s")]
    assert len(pages) == 1


def test_a_page_reads_what_it_shows_and_no_other_past(ran: Callable[[int], GatepostGraph], records: list[int]) -> None:
    graph = ran(20)
    records.clear()
    shown = [item.values["steps"] for item in graph.get_state_history(CONFIG, limit=4)]
    as_of, back = records
    changes = sum(was[step] != now[step] for now, was in pairwise(shown) for step in now)
    assert as_of == 20
    assert 0 < changes <= back <= 2 * changes < 8


def test_items_are_plain_and_none_changes_with_another(ran: Callable[[int], GatepostGraph]) -> None:
    graph = ran(3)
    first, second = islice(graph.get_state_history(CONFIG), 2)
    kept = json.loads(json.dumps(second.values["steps"]))
    first.values["steps"]["s0"] = None
    first.values["steps"].popitem()
    assert type(second.values["steps"]) is dict
    assert second.values["steps"] == kept
    assert next(iter(graph.get_state_history(CONFIG))).values != first.values


@pytest.mark.parametrize("policy", ["at_boundaries", Every(items=3)])
def test_places_far_apart_are_shown_as_they_were(gatepost_graph: Any, policy: CheckpointPolicy) -> None:
    @tool(effect="read")
    def look(at: int) -> int:
        return at

    steps = tuple(Step(id=f"s{i}", tool="look", args={"at": i}, needs=(f"s{i - 1}",) if i else ()) for i in range(9))
    workflow = Workflow(
        name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(look,), checkpoints=policy
    )
    graph = gatepost_graph([workflow], policy=ALL)
    assert graph.invoke({"goal": "w"}, CONFIG)["status"] == "succeeded"
    items = list(graph.get_state_history(CONFIG))
    assert [item.values for item in items] == [graph.get_state(item.config).values for item in items]


@pytest.mark.parametrize("seed", range(4))
def test_going_back_through_any_places_shows_what_stood_there(owner: Any, shop: Any, seed: int) -> None:
    """Steps that come and go between two plans, in any order, looked at from anywhere to anywhere."""
    rng, run, bridge = random.Random(seed), f"any-{seed}", shop.graph.saver.bridge
    _written(owner, run, rng)
    history = shop.graph.saver.history

    async def shown(seqs: list[int]) -> None:
        rewind = Rewind(history, run)
        for page in (seqs[at : at + 4] for at in range(0, len(seqs), 4)):
            if rng.random() < 0.8:
                await rewind.reach(page)
            for seq in page:
                version = 1 + (seq > LONG // 2)
                channels = {"run_id": run, "plan_version": version}
                board: Board = await history.board(run, plan_version=version, run_input={}, seq=seq)
                found = await rewind.as_of(channels, seq=seq)
                assert found["steps"] == board.shown(), (seqs, seq)
                assert board.plan is not None
                assert found["plan"] == board.plan.plain()

    for _ in range(6):
        seqs = sorted(rng.sample(range(LONG + 1), rng.randint(1, 12)), reverse=True)
        bridge.run(shown(seqs))
        bridge.run(shown(rng.sample(seqs, len(seqs))))


def _written(owner: Any, run: str, rng: random.Random) -> None:
    """A run of two plans; in each transition some steps reach some status."""
    owner.change(
        "INSERT INTO gatepost.run (run_id, tenant, root_run_id, requested_by, goal, workflow, graph_version, input, "
        "fingerprint, status, seq) VALUES (%s, 'local', %s, 'alice', 'g', 'w', '1', '{}', 'f', 'running', %s)",
        *(run, run, LONG),
    )
    names = [f"s{i}" for i in range(6)]
    for version, ids in ((1, names[:4]), (2, names[2:])):
        plan = Plan(version=version, steps=tuple(Step(id=name, tool=f"t{version}") for name in ids))
        owner.change(
            "INSERT INTO gatepost.plan (run_id, version, seq, plan) VALUES (%s, %s, 1, %s)",
            *(run, version, json.dumps(plan.plain())),
        )
    for seq in range(2, LONG + 1):
        for name in rng.sample(names, rng.choice([0, 1, 1, 2])):
            status = rng.choice(list(StepStatus))
            record = StepRecord(step=name, tool="t1", status=status, reason=f"at {seq}")
            owner.change(
                "INSERT INTO gatepost.step (run_id, seq, step_id, status, record) VALUES (%s, %s, %s, %s, %s)",
                *(run, seq, name, status.value, json.dumps(record.plain())),
            )
