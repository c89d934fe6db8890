"""Scripted people: a run driven to its end with its approvals answered from a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from gatepost.graph.compiled import GatepostGraph
from gatepost.state.approval import ApprovalRequest

Answer = Callable[[ApprovalRequest], Mapping[str, Any]]
"""Answers one approval: `lambda asked: asked.approve(by="alice")`."""


class Unscripted(AssertionError):
    """The run asked more than the script answers, or less."""


def approve(by: str = "alice", comment: str = "") -> Answer:
    """Approve as asked."""
    return lambda asked: asked.approve(by=by, comment=comment)


def reject(by: str = "alice", comment: str = "") -> Answer:
    """Reject."""
    return lambda asked: asked.reject(by=by, comment=comment)


def edit(by: str = "alice", **changes: Any) -> Answer:
    """Approve with other arguments."""
    return lambda asked: asked.edit(by=by, **changes)


def respond(text: str, by: str = "alice") -> Answer:
    """Ask for something else first."""
    return lambda asked: asked.respond(text, by=by)


def finish(
    graph: GatepostGraph, given: Mapping[str, Any] | None, config: RunnableConfig, *, answers: Iterable[Answer] = ()
) -> dict[str, Any]:
    """Run to the end, answering each approval by the next entry of the script.

    Returns:
        What `invoke` returned last.

    Raises:
        Unscripted: the script was too short or too long; says what is asked, or how the run ended and why.
    """
    script = list(answers)
    result: dict[str, Any] = graph.invoke(given, config)
    while (asked := result.get("approval")) is not None:
        if not script:
            raise Unscripted(f"the script has no answer to: {asked.describe()} Its arguments: {asked.args}")
        result = graph.invoke(Command(resume=script.pop(0)(asked)), config)
    if script:
        raise Unscripted(f"{len(script)} of the answers were not asked for; the run {_end(result)}")
    return result


def _end(result: Mapping[str, Any]) -> str:
    """How it ended, and why: a script that is too long mostly means that a step failed before anybody was asked."""
    reason = (result.get("outcome") or {}).get("reason")
    return f"ended as {result['status']}" + (f": {reason}" if reason else "")
