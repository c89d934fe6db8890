"""Routing: where the policy gate sends a run next, as a pure function of the state it left.

Invariant: the gate is the only router and the only join; a lone executor may go on to the next step
of its chain, and nowhere else. The order of the rules is the order of the file: work that may run
goes first, a person or a time is waited for last. For both the run pauses in front of the approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast

from langgraph.types import Send

from gatepost.state.channels import RunState, merge
from gatepost.state.status import StepStatus

Room: TypeAlias = Literal["planner", "executor", "approval", "compensator", "finalizer"]


def route(state: RunState) -> list[Send] | Room:
    """The next node, or one executor task for each step that the gate let run."""
    frontier = state.get("frontier") or {}
    if running := [entry for entry in frontier.values() if entry["status"] == StepStatus.RUNNING]:
        return [Send("executor", entry) for entry in running]
    ending = state.get("ending")
    waits = state.get("approvals") or any(entry["status"] == StepStatus.WAITING for entry in frontier.values())
    if waits and (ending or not state.get("planning")):
        return "approval"
    if ending:
        return "compensator" if ending.get("compensate") else "finalizer"
    return "planner"


def from_gate(state: RunState, update: Mapping[str, Any]) -> list[Send] | Room:
    """Where the gate leads, from the state that its update makes of the one it saw."""
    seen: Mapping[str, Any] = state
    merged = {name: merge(seen.get(name), update.get(name)) for name in ("frontier", "approvals")}
    return route(cast("RunState", {**seen, **update, **merged}))


def from_executor(_: Mapping[str, Any], update: Mapping[str, Any]) -> Send | Literal["policy_gate"]:
    """Where the executor leads: to the next step of a chain that was judged beforehand, or else to the gate."""
    for entry in (update.get("frontier") or {}).values():
        if entry is not None and entry["status"] == StepStatus.RUNNING and entry.get("alone"):
            return Send("executor", entry)
    return "policy_gate"
