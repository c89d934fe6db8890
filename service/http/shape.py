"""What goes in and out, as types: the OpenAPI description follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gatepost.checkpointing.answers import request_in
from gatepost.checkpointing.history import utc
from gatepost.service.http.sent import Given
from gatepost.state.approval import DECISION_TYPES, DecisionType


class Shown(BaseModel):
    """What a caller is told."""

    model_config = ConfigDict(extra="allow")


class Start(Given):
    """A run to be started."""

    goal: str = Field(description="What is to be done; GET /v1/workflows lists the goals.", max_length=4000)
    input: dict[str, JsonValue] = Field(default_factory=dict)
    priority: int = Field(default=0, ge=-1000, le=1000, description="Workers take the highest first.")


class Answer(Given):
    """An answer to an approval. Who answers is the key's principal."""

    type: Literal[DECISION_TYPES]  # type: ignore[valid-type]
    comment: str = Field(default="", max_length=10_000, description="For `respond`: what is to be done first.")
    args: dict[str, JsonValue] | None = Field(default=None, description="For `edit`: all arguments, as they should be.")
    on_behalf_of: str = Field(default="", max_length=200, description="Who delegated to the caller, to count as them.")
    digest: str | None = Field(default=None, description="Of what was looked at: another one is refused.")


class Reason(Given):
    """Why; it is on record with the caller's name."""

    reason: str = Field(default="", max_length=2000)


class Comment(Given):
    """What is to be said."""

    text: str = Field(min_length=1, max_length=10_000)


class Run(Shown):
    """A run, and who moves it next."""

    id: str
    goal: str
    workflow: str
    status: str
    reason: str
    requested_by: str
    transitions: int
    created_at: str
    updated_at: str
    finished_at: str | None
    mover: str | None = Field(description="Who moves it next: owner, queue, timer, approval, event, operator, nobody.")


class RunInFull(Run):
    """A run in full."""

    why: str = Field(description="Who moves it next, in a sentence.")
    input: dict[str, JsonValue]
    steps: list[dict[str, JsonValue]] = Field(description="The 500 that moved last.")
    approvals: list[str] = Field(description="The ids of what it asks now, 50 at most.")
    artifacts: list[dict[str, JsonValue]] = Field(description="The first 200; `…/artifacts` has them all.")


class RunPage(Shown):
    """A page of runs."""

    runs: list[Run]
    next: str | None = Field(description="Pass it as `after` for the next page.")


class Approval(Shown):
    """What a person is asked, and what was answered."""

    id: str
    run: str
    step: str
    status: str
    kind: str
    tool: str
    args: dict[str, JsonValue]
    effect: str
    digest: str
    description: str
    reasons: list[str]
    policies: list[str]
    allowed: list[DecisionType]
    asked_of: str = Field(description="Whom it is asked of, in words; empty: whoever the policy lets.")
    needed: int = Field(description="So many different people have to say yes.")
    args_schema: dict[str, JsonValue]
    goal: str
    requested_by: str
    fork_effects: str | None = Field(description="Of a fork; `reuse` and `dry-run`: a yes calls nothing.")
    opened_at: str
    decide_by: str | None
    act_by: str | None
    decision: dict[str, JsonValue] | None


class ApprovalInFull(Approval):
    """An approval with everything that was said to it."""

    life: list[dict[str, JsonValue]] = Field(description="Answers, comments and what happened to it, in order.")


class Decided(Shown):
    """What is recorded."""

    approval: str
    type: DecisionType
    by: str
    run: str
    step: str
    repeated: bool = Field(description="The same answer was recorded before.")


class Commented(Shown):
    """What is recorded."""

    approval: str
    by: str
    text: str


class ApprovalPage(Shown):
    """A page of approvals, oldest first."""

    approvals: list[Approval] = Field(description="As many as were asked for, or fewer with a megabyte together.")
    next: str | None = Field(description="Pass it as `after` for the next page; null: there is none.")


class HistoryPage(Shown):
    """A page of transitions, in order."""

    transitions: list[dict[str, JsonValue]]
    next: int | None = Field(description="Pass it as `after` for the next page.")


class Moved(Shown):
    """Who moves a run next."""

    run: str
    kind: str = Field(description="owner, queue, timer, approval, event, operator, nobody; or ended.")
    sentence: str
    command: list[str] = Field(description="What helps, at a terminal.")


class Ordered(Shown):
    """What became of an order."""

    run: str
    status: str
    obeyed: bool = Field(description="False: the run's owner was told, and obeys at its next superstep.")
    next: str


def run_plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Overview.runs`."""
    return {
        "id": row["run_id"],
        "goal": row["goal"],
        "workflow": row["workflow"],
        "status": row["status"],
        "reason": row["reason"],
        "requested_by": row["requested_by"],
        "transitions": row["seq"],
        "created_at": utc(row["created_at"]),
        "updated_at": utc(row["updated_at"]),
        "finished_at": utc(row["finished_at"]) if row["finished_at"] else None,
        "mover": row.get("mover", row.get("kind")),
    }


def approval_plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Overview.approvals`."""
    asked = request_in(row)
    return {
        **asked.model_dump(mode="json", exclude={"schema_version", "status"}),
        "status": row["status"],
        "description": asked.describe(),
        "asked_of": asked.asked,
        "needed": asked.terms.needed(asked.level),
        "goal": row["goal"],
        "fork_effects": row["fork_effects"],
        "opened_at": utc(row["opened_at"]),
        "decide_by": utc(row["decide_by"]) if row["decide_by"] else None,
        "act_by": utc(row["act_by"]) if row.get("act_by") else None,
        "decision": decision_plain(row),
    }


def decision_plain(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer in a row, if there is one."""
    if row["principal"] is None:
        return None
    return {
        "type": row["type"],
        "by": row["principal"],
        "comment": row["comment"],
        "args": row["args"],
        "on_behalf_of": row["on_behalf_of"],
        "channel": row["channel"],
        "authenticated": row["authenticated"],
        "at": utc(row["decided_at"]),
    }
