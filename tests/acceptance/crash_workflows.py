"""What the crash matrix kills: a charge that a person approves, a check that fails, and the refund that undoes the
charge. Four times, with four kinds of tool. Imported by processes of their own; the provider is told by environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from gatepost import ApprovalRequest, EffectContext, FixedPlan, NotDone, Plan, RunStatus, Step, Tool, Workflow, tool
from gatepost.state.crash import here

URL = "CRASH_PROVIDER"
"""The environment variable with the provider's URL."""
SETTLE = timedelta(seconds=5)
LATER = timedelta(seconds=60)
"""When the runs are gone on with: late enough for a look-up to be believed."""
CLIENT = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
"""Made once, in the process that all others are forks of; it keeps no connection that two of them could share."""


def send(ctx: EffectContext, *, key: str | None) -> str:
    """Ask the provider to act; the instants of the call are those of the process that makes it."""
    here("provider.before")
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = CLIENT.post(f"{os.environ[URL]}/act", params={"ref": ctx.idempotency_key}, headers=headers)
    here("provider.after")
    return str(answer.raise_for_status().json()["receipt"])


def find(ctx: EffectContext, cents: int) -> str | None:
    """What the provider knows under the key."""
    return found(ctx.idempotency_key)


def found(reference: str) -> str | None:
    """What the provider knows under a reference."""
    answer = CLIENT.get(f"{os.environ[URL]}/found", params={"ref": reference})
    return None if answer.status_code == httpx.codes.NOT_FOUND else str(answer.json()["receipt"])


def keyed(ctx: EffectContext, cents: int) -> str:
    """Under a key that the provider dedupes on."""
    return send(ctx, key=ctx.idempotency_key)


def blind(ctx: EffectContext, cents: int) -> str:
    """With nothing that a provider could dedupe on."""
    return send(ctx, key=None)


async def booked(ctx: EffectContext, cents: int) -> str:
    """As a row of our own database."""
    assert ctx.connection is not None
    here("provider.before")
    await ctx.connection.execute("INSERT INTO public.booked VALUES (%s)", [ctx.idempotency_key])
    here("provider.after")
    return ctx.idempotency_key


KINDS: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "retry": (keyed, {"on_doubt": "retry"}),
    "lookup": (blind, {"on_doubt": "lookup", "lookup": find, "settle": SETTLE}),
    "transaction": (booked, {"on_doubt": "transaction"}),
    "ask": (blind, {"on_doubt": "ask"}),
}


@tool(effect="read")
def check() -> str:
    """Find out, too late, that it should not have been charged."""
    raise NotDone("the order was cancelled meanwhile")


def answer(asked: ApprovalRequest) -> Mapping[str, Any]:
    """Approve what may run; of what nobody knows, look into the provider's books."""
    if asked.kind == "action":
        return asked.approve(by="alice")
    assert asked.effect_key is not None
    receipt = found(asked.effect_key)
    return asked.did_not_happen(by="alice") if receipt is None else asked.happened(by="alice", result=receipt)


def _workflow(kind: str) -> Workflow:
    function, declared = KINDS[kind]
    refund: Tool[..., Any] = tool(effect="write", name="refund", **declared)(function)
    charge: Tool[..., Any] = tool(effect="write", name="charge", compensate=refund, **declared)(function)
    steps = (Step(id="charge", tool="charge", args={"cents": 4200}), Step(id="check", tool="check", needs=("charge",)))
    return Workflow(
        name=kind,
        goals=(kind,),
        strategy=FixedPlan(Plan(steps=steps)),
        tools=(charge, check),
        compensate_on=frozenset({RunStatus.FAILED}),
    )


WORKFLOWS = [_workflow(kind) for kind in KINDS]
