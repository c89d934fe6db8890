"""What was undone and what was not, in two lines, for a run in which something was to be undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gatepost.state.status import StepStatus


def undoing(steps: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The lines; none where nothing was to be undone."""
    undone = [step["step"] for step in steps if step["status"] == StepStatus.COMPENSATED]
    stuck = [step for step in steps if step["status"] == StepStatus.COMPENSATION_FAILED]
    if undone:
        yield f"undone   {', '.join(undone)}"
    if stuck:
        yield f"not undone {', '.join(_why(step) for step in stuck)}"


def _why(step: dict[str, Any]) -> str:
    return f"{step['step']} ({step['reason']})" if step.get("reason") else step["step"]
