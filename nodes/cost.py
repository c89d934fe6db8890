"""What a call costs, as its tool declares it, and what a run may spend, as its workflow does."""

from __future__ import annotations

from pydantic import BaseModel

from gatepost.nodes.tool import ToolMistake


def check_cost(tool: str, cost: object, arguments: type[BaseModel]) -> None:
    """Check that a tool's cost is known before every call.

    Raises:
        ToolMistake: neither a whole number that is not negative, nor the name of an argument that is one.
    """
    if isinstance(cost, int) and not isinstance(cost, bool) and cost >= 0:
        return
    field = arguments.model_fields.get(cost) if isinstance(cost, str) else None
    if field is None or field.annotation is not int:
        raise ToolMistake(
            f"tool {tool!r}: cost={cost!r:.80} is neither a whole number of units (0 or more) nor the name of an "
            "argument that is an int."
        )


def check_budget(workflow: str, budget: object) -> None:
    """Check a workflow's budget.

    Raises:
        ToolMistake: it is no whole number of units.
    """
    if budget is not None and (not isinstance(budget, int) or isinstance(budget, bool) or budget < 0):
        raise ToolMistake(
            f"workflow {workflow!r}: budget={budget!r:.80}. Give a whole number of units, or leave it out."
        )
