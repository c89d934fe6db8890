"""The policy and a step of a run: what is recorded, and what the sets in force here say to the same question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gatepost.nodes.policy_explain import Explanation, explain
from gatepost.service.policy_cases import question
from gatepost.state.errors import CallerMistake, NotFound
from gatepost.state.reference import Unresolvable
from gatepost.state.step import StepRecord

if TYPE_CHECKING:
    from gatepost.service.cli.desk import Desk


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """A step of a run."""

    explanation: Explanation
    """Of its question, asked anew."""
    recorded: dict[str, Any]
    """What was said when it was judged."""
    asked_under: str = ""
    """The version that a question would have by now."""

    @property
    def lines(self) -> list[str]:
        """What is recorded, for a person."""
        said = self.recorded
        lines = [f"recorded: {said['status']}" + (f" by {', '.join(said['policies'])}" if said["policies"] else "")]
        if said["approval"]:
            lines.append(f"asked in {said['approval']}: {'; '.join(said['reasons'])}")
        old, new = said["policy_version"], self.asked_under
        if old and old != new:
            lines.append(f"judged under version {old} (`gatepost policy show {old}`); what follows is version {new}")
        return lines


async def explained_step(desk: Desk, run_id: str, step_id: str) -> ExplainedStep:
    """Ask anew what was asked about a step, with its arguments and the time of its transition.

    Raises:
        NotFound: no such run or step.
        CallerMistake: its arguments are not known yet.
    """
    saver = desk.books
    row = await saver.runs.get(await saver.runs.find(run_id, desk.tenant), desk.tenant)
    desk.knows(row)
    state = await desk.graph.aget_state({"configurable": {"thread_id": row["run_id"]}}, context=desk.acting(None))
    version = int(state.values.get("plan_version", 0))
    board = await saver.history.board(row["run_id"], plan_version=version, run_input=row["input"])
    steps = {} if board.plan is None else board.plan.by_id
    if step_id not in steps:
        raise NotFound(f"run {row['run_id']} has no step {step_id!r}; it has {', '.join(steps) or 'no plan yet'}.")
    assert board.plan is not None
    step, record = steps[step_id], board.record(step_id)
    equipment = desk.graph.equipment
    tool = equipment.catalog.tool(row["workflow"], step.tool)
    approvals = await saver.approvals.list(desk.tenant, status=None, run_id=row["run_id"], limit=1000)
    asked = next((one for one in approvals if one["approval_id"] == record.approval), None)
    try:
        args = asked["args"] if asked and asked.get("args") and asked["type"] == "edit" else board.arguments(step)
    except Unresolvable as error:
        raise CallerMistake(f"the arguments of {step_id} are not known yet: {error}. Ask when they are.") from None
    asking = question(
        tool,
        row["workflow"],
        equipment.catalog,
        args,
        principal=row["requested_by"],
        tenant=row["tenant"],
        step=step_id,
        origin=board.plan.origin,
        now=datetime.fromisoformat(record.now) if record.now else datetime.now(UTC),
    )
    asking = replace(asking, spent=max(0, record.spent - asking.cost))
    layers = equipment.policy.layers(workflow=row["workflow"], tenant=row["tenant"])
    return ExplainedStep(explain(layers, asking), _recorded(record, asked), layers.asked_under)


def _recorded(record: StepRecord, asked: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was said about a step when it was judged; `asked` is the row of its question."""
    request = asked["request"] if asked else {}
    return {
        "status": record.status.value,
        "policies": list(record.policies or request.get("policies", ())),
        "approval": record.approval,
        "reasons": list(request.get("reasons", ())),
        "policy_version": request.get("policy_version", ""),
    }
