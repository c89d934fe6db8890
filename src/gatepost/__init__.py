"""Gatepost: a durable LangGraph agent graph on Postgres, for agents that do things that matter."""

from __future__ import annotations

from importlib.metadata import version

from gatepost.checkpointing.open import Checkpointer, open_checkpointer
from gatepost.checkpointing.runs import Lease
from gatepost.graph.build import build_graph
from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.graph.difference import Change, difference
from gatepost.nodes.policy import Policy
from gatepost.nodes.tool import EffectContext, Finding, Retry, Tool, tool
from gatepost.nodes.workflow import Conclusion, Ending, FixedPlan, Response, Situation, Strategy, Workflow
from gatepost.state.approval import ApprovalRequest, Decision
from gatepost.state.artifact import Artifact
from gatepost.state.plan import Condition, Plan, Step
from gatepost.state.reference import ref
from gatepost.state.status import RunStatus, StepStatus

__version__ = version("gatepost")

__all__ = [
    "ApprovalRequest",
    "Artifact",
    "Change",
    "Checkpointer",
    "Conclusion",
    "Condition",
    "Decision",
    "EffectContext",
    "Ending",
    "Finding",
    "FixedPlan",
    "GatepostGraph",
    "Lease",
    "Plan",
    "Policy",
    "Response",
    "Retry",
    "RunContext",
    "RunStatus",
    "Situation",
    "Step",
    "StepStatus",
    "Strategy",
    "Tool",
    "Workflow",
    "__version__",
    "build_graph",
    "difference",
    "open_checkpointer",
    "ref",
    "tool",
]
