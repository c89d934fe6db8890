"""The workflows whose way through the service is timed: one step each, which notes when it began."""

from __future__ import annotations

import time

from gatepost import FixedPlan, Plan, Step, Workflow, tool

ONE_STEP = FixedPlan(Plan(steps=(Step(id="work", tool="work"),)))
POLICY = """
@id("straight") permit (principal, action == Action::"run", resource) when { context.workflow == "straight" };
@id("anybody") permit (principal, action == Action::"decide", resource);
"""
"""The other workflow's step asks a person."""


@tool(effect="write", on_doubt="retry")
async def work() -> dict[str, float]:
    """Say when this began, by the clock that all processes of a machine share."""
    return {"began": time.monotonic()}


WORKFLOWS = [Workflow(name=name, goals=(name,), strategy=ONE_STEP, tools=(work,)) for name in ("straight", "asked")]
