"""Tries to make a fork act without being told to, to move its parent, and to get past the gate by a fork."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.types import Command
from tests.golden import workflows as made
from tests.integration.conftest import Owner, Shop

from gatepost import (
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Retry,
    Situation,
    Step,
    Tool,
    Workflow,
    fork,
    replay,
    tool,
)
from gatepost.checkpointing.forks import Forks
from gatepost.state.errors import CallerMistake, RunExists

Build = Callable[..., GatepostGraph]
TABLES = ("run", "step", "transition", "plan", "approval", "effect", "artifact", "entry", "intervention", "position")


_MODES: tuple[Any, ...] = ("reuse", "fire")


def _rows(owner: Owner, run: str) -> dict[str, Any]:
    """Every byte that is kept of a run."""
    ours = {
        name: owner.rows(f"SELECT t::text AS row FROM gatepost.{name} t WHERE run_id = %s ORDER BY 1", run)  # noqa: S608
        for name in TABLES
    }
    theirs = {
        name: owner.rows(f"SELECT t::text AS row FROM {name} t WHERE thread_id = %s ORDER BY 1", run)  # noqa: S608
        for name in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
    }
    run_row = owner.rows(
        "SELECT (to_jsonb(t) - 'lease_expires_at')::text AS row FROM gatepost.run t WHERE run_id = %s", run
    )
    return {**ours, **theirs, "run": run_row}  # a live run's own heart goes on beating


def _at(owner: Owner, run: str, node: str) -> int:
    """The first transition after which a node runs."""
    statement = "SELECT min(seq) AS seq FROM gatepost.transition WHERE run_id = %s AND %s = ANY(next)"
    return int(owner.rows(statement, run, node)[0]["seq"])


def _one_step(name: str, does: Tool[..., Any]) -> Workflow:
    plan = Plan(steps=(Step(id=does.name, tool=does.name),))
    return Workflow(name=name, goals=(name,), strategy=FixedPlan(plan), tools=(does,))


@pytest.fixture
def sold(shop: Shop) -> Shop:
    """A shop with one finished sale, and nothing in its till any more."""
    shop.answer(shop.open().approve(by="alice"))
    assert shop.sold() == ["ada:100"]
    shop.booked.clear()
    shop.looked.clear()
    return shop


@pytest.mark.parametrize("effects", ["reuse", "dry-run"])
def test_a_fork_of_a_finished_sale_charges_nothing(sold: Shop, owner: Owner, effects: Any) -> None:
    parent = sold.run()
    before = _rows(owner, parent)
    forked = fork(sold.graph, parent, at=3, effects=effects)
    asked = sold.graph.invoke(None, forked.config)["approval"]
    result = sold.graph.invoke(Command(resume=asked.approve(by="bob")), forked.config)
    assert (result["status"], result["steps"]["charge"]["output"]) == ("succeeded", "charged")
    assert result["steps"]["charge"]["reason"].startswith(f"inherited from run {parent}")
    assert (sold.booked, sold.looked) == ([], [])
    assert _rows(owner, parent) == before
    row = owner.run(forked.run_id)
    assert (row["parent_run_id"], row["parent_seq"], row["fork_effects"]) == (parent, 3, effects)
    assert owner.effects(forked.run_id) == []
    assert [one.cause.kind for one in sold.graph.history(forked.config)][:2] == ["start", "owner"]
    assert replay(forked.run_id, sold.graph).identical


def test_a_fork_that_fires_asks_anew_and_uses_keys_of_its_own(sold: Shop, owner: Owner) -> None:
    parent = sold.run()
    before = _rows(owner, parent)
    (key,) = [row["key"] for row in owner.effects(parent)]
    forked = fork(sold.graph, parent, at=3, effects="fire")
    asked = sold.graph.invoke(None, forked.config)["approval"]
    assert asked is not None
    assert sold.booked == []
    sold.graph.invoke(Command(resume=asked.approve(by="bob")), forked.config)
    assert sold.sold() == ["ada:100"]
    assert sold.booked[0][0] != key
    assert _rows(owner, parent) == before
    assert replay(forked.run_id, sold.graph).identical


def test_a_fork_that_fires_asks_even_where_the_policy_does_not(build: Build) -> None:
    graph = build(made.WORKFLOWS, policy=made.ALL)
    graph.invoke({"goal": "sell"}, {"configurable": {"thread_id": "unattended"}})
    made.CALLED.clear()
    forked = fork(graph, "unattended", at=3, effects="fire")
    result = graph.invoke(None, forked.config)
    assert result["approval"].step == "charge"
    assert made.CALLED == ["look"]


@pytest.mark.parametrize("effects", ["reuse", "dry-run"])
def test_other_arguments_are_not_called_with_in_a_fork(build: Build, effects: Any) -> None:
    graph = build(made.WORKFLOWS, policy=made.ALL)
    run = f"others-{effects}"
    graph.invoke({"goal": "sell"}, {"configurable": {"thread_id": run}})
    made.CALLED.clear()
    forked = fork(graph, run, at=3, changes={"input.cents": 70}, effects=effects)
    result = graph.invoke(None, forked.config)
    assert result["input"] == {"customer": "ada", "cents": 70}
    charge = result["steps"]["charge"]
    if effects == "reuse":
        assert (charge["status"], result["status"]) == ("failed", "failed")
        assert "not called in this fork" in charge["reason"]
    else:
        assert (charge["status"], charge["output"]) == ("succeeded", {"cents": 100})
        assert charge["reason"].startswith("dry run")
    assert made.CALLED == []


def test_a_failed_run_is_finished_from_before_the_mistake(build: Build, owner: Owner) -> None:
    graph = build(made.WORKFLOWS, policy=made.ALL)
    graph.invoke({"goal": "lost_sale"}, {"configurable": {"thread_id": "lost"}})
    made.CALLED.clear()
    paid = _at(owner, "lost", "policy_gate")
    forked = fork(graph, "lost", at=paid, changes={"steps.write.args.customer": "ada"}, effects="fire")
    result = graph.invoke(None, forked.config)
    while (asked := result["approval"]) is not None:
        result = graph.invoke(Command(resume=asked.approve(by="bob")), forked.config)
    assert result["status"] == "succeeded"
    assert made.CALLED[-1] == "mail"


def test_outputs_can_be_said_and_are_checked(sold: Shop, owner: Owner) -> None:
    at = _at(owner, sold.run(), "approval")
    forked = fork(sold.graph, sold.run(), at=at, changes={"steps.look.output": {"name": "eve"}})
    assert sold.graph.invoke(None, forked.config)["approval"].args["customer"] == "eve"
    refused: list[tuple[dict[str, Any], str]] = [
        ({"steps.look.output": 7}, "returned something else"),
        ({"steps.look.args.name": "eve"}, "had run by then"),
        ({"steps.nobody.args.name": "eve"}, "no step 'nobody'"),
        ({"steps.charge.args.cents": {"$ref": "nobody#/x"}}, "nobody"),
        ({"steps.charge.args.cents": "many"}, "which takes customer, cents: cents: Input should be a valid integer"),
        ({"steps.charge.args.tip": 1}, "which takes customer, cents: tip: Extra inputs"),
        ({"goal": "buy"}, "nothing that a fork can change"),
    ]
    for changes, said in refused:
        with pytest.raises(CallerMistake, match=said):
            fork(sold.graph, sold.run(), at=at, changes=changes)


def test_a_blocked_run_stays_as_it_is(shop: Shop, owner: Owner) -> None:
    asked = shop.open()
    before = _rows(owner, shop.run())
    forked = fork(shop.graph, shop.run(), at=_at(owner, shop.run(), "approval"), effects="fire")
    other = shop.graph.invoke(None, forked.config)["approval"]
    assert other.id != asked.id
    assert other.digest != asked.digest
    shop.graph.invoke(Command(resume=other.reject(by="bob")), forked.config)
    assert _rows(owner, shop.run()) == before
    assert shop.booked == []
    shop.answer(asked.approve(by="alice"))
    assert shop.sold() == ["ada:100"]


def test_a_live_run_stays_as_it_is(build: Build, owner: Owner) -> None:
    """Forked by a tool of the run itself, in the middle of its call."""
    seen: list[Any] = []

    @tool(effect="write", on_doubt="retry")
    def slow(ctx: EffectContext) -> str:
        before = _rows(owner, ctx.run_id)
        if not seen:
            seen.append(None)
            forked = fork(graph, ctx.run_id, at=3)
            result = graph.invoke(None, forked.config)
            seen.extend([result["status"], result["steps"]["slow"]["reason"], _rows(owner, ctx.run_id) == before])
        return "done"

    flow = Workflow(
        name="slow", goals=("slow",), strategy=FixedPlan(Plan(steps=(Step(id="slow", tool="slow"),))), tools=(slow,)
    )
    graph = build([flow], policy=made.ALL)
    assert graph.invoke({"goal": "slow"}, {"configurable": {"thread_id": "live"}})["status"] == "succeeded"
    assert (seen[1], seen[3]) == ("failed", True)
    assert "has never succeeded" in seen[2]


def test_a_parked_run_stays_as_it_is_and_its_doubt_is_not_called_again(build: Build, owner: Owner) -> None:
    calls: list[str] = []

    @tool(effect="write", on_doubt="retry", retry=Retry(first=timedelta(hours=1), longest=timedelta(hours=1)))
    def push(ctx: EffectContext) -> str:
        calls.append(ctx.idempotency_key)
        raise TimeoutError

    flow = _one_step("park", push)
    graph = build([flow], policy=made.ALL)
    assert graph.invoke({"goal": "park"}, {"configurable": {"thread_id": "parked"}})["status"] == "waiting"
    before = _rows(owner, "parked")
    for effects in _MODES:
        forked = fork(graph, "parked", at=_at(owner, "parked", "approval"), effects=effects)
        result = graph.invoke(None, forked.config)
        if result["approval"] is not None:
            result = graph.invoke(Command(resume=result["approval"].approve(by="bob")), forked.config)
        assert result["status"] == "failed"
    assert len(calls) == 1
    assert _rows(owner, "parked") == before


def test_where_no_run_can_go_on_no_fork_begins(sold: Shop, owner: Owner) -> None:
    run = sold.run()
    last = owner.run(run)["seq"]
    for at, said in [
        (last, "settled how"),
        (1, "no plan yet"),
        (999, "is no transition"),
        ("nowhere", "is no transition"),
    ]:
        with pytest.raises(CallerMistake, match=said):
            fork(sold.graph, run, at=at)
    with pytest.raises(CallerMistake, match="none of reuse"):
        fork(sold.graph, run, at=3, effects="burn")  # type: ignore[arg-type]
    with pytest.raises(RunExists):
        fork(sold.graph, run, at=3, run_id=run)
    counts = owner.rows("SELECT count(*) AS n FROM gatepost.run WHERE parent_run_id = %s", run)
    assert counts[0]["n"] == 0


def test_an_id_that_is_taken_is_left_alone_whatever_it_belongs_to(sold: Shop, owner: Owner) -> None:
    from_stock = {"configurable": {"thread_id": f"{sold.name}-thread", "checkpoint_ns": ""}}
    owner.change(
        "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint) VALUES (%s, '', 'c', '{}')",
        from_stock["configurable"]["thread_id"],
    )
    owner.change(
        "INSERT INTO gatepost.run (run_id, tenant, root_run_id, requested_by, goal, workflow, graph_version, input, "
        "fingerprint) SELECT %s, 'other', 'x', requested_by, goal, workflow, graph_version, input, fingerprint "
        "FROM gatepost.run WHERE run_id = %s",
        f"{sold.name}-queued",
        sold.run(),
    )
    threads = owner.rows("SELECT count(*) AS n FROM checkpoints")
    for taken in (sold.run(), f"{sold.name}-queued", f"{sold.name}-thread"):
        before = _rows(owner, taken)
        with pytest.raises(RunExists, match="belongs to another run"):
            fork(sold.graph, sold.run(), at=3, run_id=taken)
        assert _rows(owner, taken) == before
    assert owner.rows("SELECT count(*) AS n FROM checkpoints") == threads


def test_two_forks_of_one_id_are_one_fork_and_leave_nothing_else(
    sold: Shop, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: Any) -> bool:
        return False

    monkeypatch.setattr(Forks, "taken", nobody)  # both looked before either had written
    threads = owner.rows("SELECT count(DISTINCT thread_id) AS n FROM checkpoints")[0]["n"]
    made = fork(sold.graph, sold.run(), at=3, run_id=f"{sold.name}-twin")
    before = _rows(owner, made.run_id)
    with pytest.raises(RunExists):
        fork(sold.graph, sold.run(), at=4, run_id=made.run_id)
    assert _rows(owner, made.run_id) == before
    assert owner.rows("SELECT count(DISTINCT thread_id) AS n FROM checkpoints")[0]["n"] == threads + 1


def test_an_input_that_the_workflow_does_not_have_is_refused(build: Build) -> None:
    graph = build(made.WORKFLOWS, policy=made.ALL)
    graph.invoke({"goal": "sell"}, {"configurable": {"thread_id": "typed-input"}})
    with pytest.raises(CallerMistake, match="has no 'nobody'; it has customer, cents"):
        fork(graph, "typed-input", at=3, changes={"input.nobody": 1})


@pytest.mark.parametrize("effects", ["reuse", "dry-run", "fire"])
def test_a_fork_does_not_undo_what_its_parent_did(build: Build, owner: Owner, effects: Any) -> None:
    graph = build(made.WORKFLOWS, policy=made.ALL)
    run = f"undone-{effects}"
    assert graph.invoke({"goal": "undone_sale"}, {"configurable": {"thread_id": run}})["status"] == "compensated"
    before = _rows(owner, run)
    made.CALLED.clear()
    statement = (
        "SELECT max(seq) AS seq FROM gatepost.step WHERE run_id = %s AND step_id = 'pay' AND status = 'succeeded'"
    )
    forked = fork(graph, run, at=int(owner.rows(statement, run)[0]["seq"]), effects=effects)
    result = graph.invoke(None, forked.config)
    while (asked := result["approval"]) is not None:
        result = graph.invoke(Command(resume=asked.approve(by="bob")), forked.config)
    assert "refund" not in made.CALLED
    assert result["steps"]["pay"]["status"] == "compensation_failed"
    assert f"would undo what run {run} did" in result["steps"]["pay"]["reason"]
    assert _rows(owner, run) == before
    assert replay(forked.run_id, graph).identical


def test_a_fork_that_fires_undoes_what_it_did_itself(build: Build, owner: Owner) -> None:
    graph = build(made.WORKFLOWS, policy=made.ALL)
    graph.invoke({"goal": "undone_sale"}, {"configurable": {"thread_id": "own-undo"}})
    made.CALLED.clear()
    forked = fork(graph, "own-undo", at=3, effects="fire")
    result = graph.invoke(None, forked.config)
    while (asked := result["approval"]) is not None:
        result = graph.invoke(Command(resume=asked.approve(by="bob")), forked.config)
    assert result["status"] == "compensated"
    assert made.CALLED.count("refund") == 1
    assert replay(forked.run_id, graph).identical


def test_a_result_of_a_dry_run_is_not_passed_on_as_one_that_was_got(build: Build) -> None:
    graph = build(made.WORKFLOWS, policy=made.ALL)
    graph.invoke({"goal": "sell"}, {"configurable": {"thread_id": "first"}})
    made.CALLED.clear()
    dry = fork(graph, "first", at=3, changes={"input.cents": 70}, effects="dry-run")
    graph.invoke(None, dry.config)
    for effects, status in (("reuse", "failed"), ("dry-run", "succeeded")):
        again = fork(graph, dry.run_id, at=3, changes={"input.cents": 70}, effects=effects)  # type: ignore[arg-type]
        charge = graph.invoke(None, again.config)["steps"]["charge"]
        assert charge["status"] == status
        assert not charge["reason"].startswith("inherited")
    assert made.CALLED == []


class _Advised:
    """A planner that asks a model before each of two segments; what it asks names the customer."""

    async def plan(self, situation: Situation) -> Plan | None:
        """One look for each answer."""
        version = 0 if situation.plan is None else len(situation.plan.steps)
        if version == 2:
            return None
        word: Any = await situation.ask({"segment": version, "of": situation.input.get("customer")}, made.answer)
        steps = situation.plan.steps if situation.plan else ()
        step = Step(id=f"look_{version}", tool=word["tools"][0], args={"customer": "ada"})
        return Plan(steps=(*steps, step), final=False)


def test_a_model_is_asked_in_a_fork_only_where_it_fires(build: Build) -> None:
    flow = Workflow(name="advised", goals=("advise",), strategy=_Advised(), tools=(made.look, made.charge))
    graph = build([flow], policy=made.ALL)
    given = {"goal": "advise", "input": {"customer": "ada"}}
    first = graph.invoke(given, {"configurable": {"thread_id": "advised"}})
    assert first["status"] == "succeeded", first["outcome"]
    made.CALLED.clear()
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ("reuse", {}, "succeeded"),
        ("reuse", {"input.customer": "bob"}, "failed"),
        ("dry-run", {"input.customer": "bob"}, "succeeded"),
    ]
    for effects, changes, status in cases:
        forked = fork(graph, "advised", at=3, changes=changes, effects=effects)
        result = graph.invoke(None, forked.config)
        assert (result["status"], made.CALLED) == (status, []), effects
        assert (status == "succeeded") or "not asked in this fork" in result["outcome"]["reason"]
        assert replay(forked.run_id, graph).identical
    forked = fork(graph, "advised", at=3, changes={"input.customer": "bob"}, effects="fire")
    assert graph.invoke(None, forked.config)["status"] == "succeeded"
    assert made.CALLED.count("model") == 1
