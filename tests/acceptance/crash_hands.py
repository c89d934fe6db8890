"""What an operator does to runs that are killed: one is rolled back, one has a step tried again, one is called off.

Each books a stall and a light with the provider of the crash matrix, and comes to a gate that it does not pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.acceptance.crash_workflows import found, send

from gatepost import (
    ApprovalRequest,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    NotDone,
    Plan,
    Retry,
    RunStatus,
    Step,
    Workflow,
    tool,
)
from gatepost.state.effect import key_of
from gatepost.state.errors import CallerMistake

POLICY = 'permit (principal, action, resource) when { !(context has effect) || context.effect != "irreversible" };'
ONCE = Retry(attempts=1)


@tool(effect="write", on_doubt="retry")
def give_back(ctx: EffectContext, what: str) -> str:
    """Give back what was booked."""
    return send(ctx, key=ctx.idempotency_key)


@tool(effect="write", on_doubt="retry", compensate=give_back)
def book(ctx: EffectContext, what: str) -> str:
    """Book something."""
    return send(ctx, key=ctx.idempotency_key)


@tool(effect="write", on_doubt="retry", retry=ONCE)
def open_up(ctx: EffectContext) -> str:
    """Open the gate; the first key does not turn."""
    if ctx.idempotency_key == key_of(tenant="local", root_run=ctx.run_id, step="gate"):
        raise NotDone("it is stuck")
    return send(ctx, key=ctx.idempotency_key)


@tool(effect="irreversible", on_doubt="retry")
def blow_up(ctx: EffectContext) -> str:
    """Blow the gate up, if a person says so."""
    return send(ctx, key=ctx.idempotency_key)


def rollback(graph: GatepostGraph, run: str) -> None:
    """Undo what was done, where that is still to be said."""
    with suppress(CallerMistake):
        graph.recover(run, "rollback", by="olga", reason="rain")


def retry(graph: GatepostGraph, run: str) -> None:
    """Try the gate again, where that is still to be said."""
    with suppress(CallerMistake):
        graph.retry_step(run, "gate", by="olga", reason="oiled")


def cancel(graph: GatepostGraph, run: str) -> None:
    """Call it off, where that is still to be said."""
    with suppress(CallerMistake):
        graph.cancel(run, by="olga", reason="rain")


def answer(asked: ApprovalRequest) -> Mapping[str, Any] | None:
    """Allow nothing; of what nobody knows, look into the provider's books."""
    if asked.kind == "action":
        return None
    assert asked.effect_key is not None
    receipt = found(asked.effect_key)
    return asked.did_not_happen(by="alice") if receipt is None else asked.happened(by="alice", result=receipt)


def _workflow(name: str, gate: str) -> Workflow:
    steps = (
        Step(id="stall", tool="book", args={"what": "stall"}),
        Step(id="light", tool="book", args={"what": "light"}, needs=("stall",)),
        Step(id="gate", tool=gate, needs=("light",)),
    )
    return Workflow(
        name=name,
        goals=(name,),
        strategy=FixedPlan(Plan(steps=steps)),
        tools=(book, open_up, blow_up),
        compensate_on=frozenset({RunStatus.CANCELLED}),
    )


WORKFLOWS = [_workflow("rollback", "open_up"), _workflow("retry", "open_up"), _workflow("cancel", "blow_up")]
