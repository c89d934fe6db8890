"""The joined view: what readers see is a whole run, plan and steps included, as of one checkpoint.

The channels carry the frontier and references; this joins in the rows that were true then. A
channel never holds what is built here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot
from pydantic import JsonValue

from gatepost.state.approval import ApprovalRequest
from gatepost.state.board import Board
from gatepost.state.status import RunStatus

_STOPPED = frozenset({RunStatus.CANCELLED, RunStatus.HELD, RunStatus.STRANDED})


def is_run_state(values: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether these are the channels of a run, and not something a caller cut out of them."""
    return isinstance(values, Mapping) and "run_id" in values and "plan_version" in values


def joined(values: Mapping[str, Any], board: Board) -> dict[str, Any]:
    """The channels with plan, steps and typed approvals."""
    return put_together(values, board.shown_plan(), board.shown())


def put_together(
    values: Mapping[str, Any], plan: dict[str, JsonValue] | None, steps: dict[str, dict[str, JsonValue]]
) -> dict[str, Any]:
    """As `joined`, of what is plain already."""
    requests = [ApprovalRequest.model_validate(data) for data in (values.get("approvals") or {}).values()]
    return {
        **values,
        "plan": plan,
        "steps": steps,
        "approvals": requests,
        "approval": requests[0] if requests else None,
    }


def as_ordered(snapshot: StateSnapshot, row: Mapping[str, Any]) -> StateSnapshot:
    """A run that an operator or a mover stopped stands as its row says; its graph was not asked."""
    status = row.get("status")
    if status not in _STOPPED or not is_run_state(snapshot.values):
        return snapshot
    if status == RunStatus.CANCELLED:
        over = {"status": status, "approvals": [], "approval": None}
        return snapshot._replace(values={**snapshot.values, **over}, next=(), tasks=(), interrupts=())
    return snapshot._replace(values={**snapshot.values, "status": status})


def nothing(config: RunnableConfig) -> StateSnapshot:
    """What LangGraph gives for a thread that it does not know."""
    return StateSnapshot(
        values={},
        next=(),
        config=config,
        metadata=None,
        created_at=None,
        parent_config=None,
        tasks=(),
        interrupts=(),
    )


def seq_of(snapshot: StateSnapshot) -> int | None:
    """The transition that wrote a checkpoint."""
    found = (snapshot.metadata or {}).get("seq")
    return found if isinstance(found, int) else None
