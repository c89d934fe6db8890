"""Gatepost: a durable LangGraph agent graph on Postgres, for agents that do things that matter.

Names are imported when they are first used: LangGraph takes most of a second to import, and
`gatepost --help` must not wait for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gatepost.checkpointing.forks import Fork
    from gatepost.checkpointing.open import Checkpointer, open_checkpointer
    from gatepost.checkpointing.runs import Lease
    from gatepost.graph.build import build_graph
    from gatepost.graph.compiled import GatepostGraph
    from gatepost.graph.context import RunContext
    from gatepost.graph.difference import Change, difference
    from gatepost.graph.fork import afork, fork
    from gatepost.graph.timetravel import areplay, record, replay
    from gatepost.graph.tool_node import ToolFailed, tool_node
    from gatepost.nodes.decorator import tool
    from gatepost.nodes.failure import NotDone
    from gatepost.nodes.policy import Policy
    from gatepost.nodes.situation import Response, Situation
    from gatepost.nodes.tool import EffectContext, Finding, Retry, Tool, Undone
    from gatepost.nodes.workflow import Conclusion, Ending, FixedPlan, Strategy, Workflow
    from gatepost.state.approval import ApprovalRequest, Decision
    from gatepost.state.artifact import Artifact
    from gatepost.state.checkpoints import Every
    from gatepost.state.fact import Fact
    from gatepost.state.gate import Gate
    from gatepost.state.plan import Condition, Plan, Step
    from gatepost.state.recording import Recording
    from gatepost.state.reference import ref
    from gatepost.state.report import Cause, Report
    from gatepost.state.status import RunStatus, StepStatus

    __version__: str

__all__ = [
    "ApprovalRequest",
    "Artifact",
    "Cause",
    "Change",
    "Checkpointer",
    "Conclusion",
    "Condition",
    "Decision",
    "EffectContext",
    "Ending",
    "Every",
    "Fact",
    "Finding",
    "FixedPlan",
    "Fork",
    "Gate",
    "GatepostGraph",
    "Lease",
    "NotDone",
    "Plan",
    "Policy",
    "Recording",
    "Report",
    "Response",
    "Retry",
    "RunContext",
    "RunStatus",
    "Situation",
    "Step",
    "StepStatus",
    "Strategy",
    "Tool",
    "ToolFailed",
    "Undone",
    "Workflow",
    "__version__",
    "afork",
    "areplay",
    "build_graph",
    "difference",
    "fork",
    "open_checkpointer",
    "record",
    "ref",
    "replay",
    "tool",
    "tool_node",
]

_HOMES = {
    "checkpointing.forks": ("Fork",),
    "checkpointing.open": ("Checkpointer", "open_checkpointer"),
    "checkpointing.runs": ("Lease",),
    "graph.build": ("build_graph",),
    "graph.compiled": ("GatepostGraph",),
    "graph.context": ("RunContext",),
    "graph.difference": ("Change", "difference"),
    "graph.fork": ("afork", "fork"),
    "graph.timetravel": ("areplay", "record", "replay"),
    "graph.tool_node": ("ToolFailed", "tool_node"),
    "nodes.decorator": ("tool",),
    "nodes.failure": ("NotDone",),
    "nodes.policy": ("Policy",),
    "nodes.situation": ("Response", "Situation"),
    "nodes.tool": ("EffectContext", "Finding", "Retry", "Tool", "Undone"),
    "nodes.workflow": ("Conclusion", "Ending", "FixedPlan", "Strategy", "Workflow"),
    "state.approval": ("ApprovalRequest", "Decision"),
    "state.artifact": ("Artifact",),
    "state.checkpoints": ("Every",),
    "state.fact": ("Fact",),
    "state.gate": ("Gate",),
    "state.plan": ("Condition", "Plan", "Step"),
    "state.recording": ("Recording",),
    "state.reference": ("ref",),
    "state.report": ("Cause", "Report"),
    "state.status": ("RunStatus", "StepStatus"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("gatepost")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"gatepost.{home}"), name)
    raise AttributeError(f"module 'gatepost' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
