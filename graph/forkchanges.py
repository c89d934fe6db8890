"""Changes to the state that a fork starts from: typed, and checked as anything that enters a run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import JsonValue, ValidationError

from gatepost.nodes.planner import fitted
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.workflow import Workflow
from gatepost.state.board import Board
from gatepost.state.errors import CallerMistake
from gatepost.state.plan import Plan, plan_of
from gatepost.state.reference import references
from gatepost.state.status import StepStatus
from gatepost.state.step import StepRecord

PATHS = "input.NAME, steps.STEP.args.NAME or steps.STEP.output"
_NOT_BEGUN = frozenset({StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.CANCELLED})


@dataclass(frozen=True)
class Changed:
    """How a fork stands before its first transition."""

    board: Board
    run_input: dict[str, JsonValue]
    plan_version: int
    changed: list[StepRecord] = field(default_factory=list)
    """Steps that stand otherwise than in the parent."""
    plan: Plan | None = None
    """A new version, where the plan was changed."""


def change(stands: Changed, changes: Mapping[str, Any], *, workflow: Workflow, tools: Mapping[str, AnyTool]) -> Changed:
    """Apply changes by path.

    Raises:
        CallerMistake: a path that is none, a step that has begun, a value that its type does not take.
    """
    for record in stands.changed:
        stands.board.take(record)
    for path, value in changes.items():
        match path.split(".", 3):
            case ["input", name]:
                run_input = workflow.checked_input({**stands.run_input, name: value})
                if name not in run_input:
                    has = ", ".join(run_input) or "no fields"
                    raise CallerMistake(f"the input of workflow {workflow.name!r} has no {name!r}; it has {has}.")
                stands = replace(stands, run_input=run_input)
            case ["steps", step, "args", name]:
                stands = _argument(stands, step, name, value, tools)
            case ["steps", step, "output", *rest]:
                stands = _output(stands, step, _within(stands.board, step, rest, value), tools)
            case _:
                raise CallerMistake(f"{path!r} is nothing that a fork can change. Write {PATHS}.")
    if stands.plan is not None:
        return replace(stands, plan=fitted(stands.plan, workflow, tools, stands.board))
    return stands


def _argument(stands: Changed, step_id: str, name: str, value: Any, tools: Mapping[str, AnyTool]) -> Changed:
    plan = stands.plan or stands.board.plan
    assert plan is not None
    if step_id not in plan.by_id:
        raise CallerMistake(f"the plan has no step {step_id!r}; it has {', '.join(plan.by_id)}.")
    if stands.board.status(step_id) not in _NOT_BEGUN:
        raise CallerMistake(
            f"step {step_id!r} had run by then ({stands.board.status(step_id)}); other arguments would change what "
            "happened. Fork from before it."
        )
    _taken(tools[plan.by_id[step_id].tool], name, value)
    steps = [
        step.model_copy(update={"args": {**step.args, name: value}}) if step.id == step_id else step
        for step in plan.steps
    ]
    plain = {**plan.plain(), "steps": [step.plain() for step in steps]}
    version = stands.plan_version if stands.plan else stands.plan_version + 1
    changed = plan_of({**plain, "version": version, "reason": "changed in a fork"})
    return replace(stands, plan=changed.model_copy(update={"origin": "person"}), plan_version=version)


def _taken(tool: AnyTool, name: str, value: Any) -> None:
    """Check one argument by itself: the others may be references, which only the gate can resolve."""
    try:
        tool.arguments.model_validate({name: value})
    except ValidationError as error:
        wrong = [item["msg"] for item in error.errors() if item["loc"][:1] == (name,)]
        if not wrong or (any(references(value)) and name in tool.arguments.model_fields):
            return
        takes = ", ".join(tool.arguments.model_fields) or "nothing"
        raise CallerMistake(f"tool {tool.name!r}, which takes {takes}: {name}: {'; '.join(wrong)}.") from None


def _output(stands: Changed, step_id: str, value: Any, tools: Mapping[str, AnyTool]) -> Changed:
    plan = stands.plan or stands.board.plan
    assert plan is not None
    if step_id not in plan.by_id:
        raise CallerMistake(f"the plan has no step {step_id!r}; it has {', '.join(plan.by_id)}.")
    status = stands.board.status(step_id)
    if status is not StepStatus.SUCCEEDED and status not in _NOT_BEGUN:
        raise CallerMistake(
            f"step {step_id!r} stood at {status}; only what succeeded or has not begun takes an output."
        )
    tool = tools[plan.by_id[step_id].tool]
    output = tool.checked_result(value)
    record = stands.board.record(step_id).model_copy(
        update={
            "status": StepStatus.SUCCEEDED,
            "output": output,
            "label": "set",
            "reason": "its output was set in a fork",
        }
    )
    stands.board.take(record)
    return replace(stands, changed=[*(one for one in stands.changed if one.step != step_id), record])


def _within(board: Board, step: str, rest: list[str], value: Any) -> Any:
    """The whole output with one field of it changed."""
    if not rest:
        return value
    known = board.records[step].output if step in board.records else None
    if not isinstance(known, dict):
        raise CallerMistake(f"the output of step {step!r} has no fields; set it as a whole: steps.{step}.output=…")
    return {**known, rest[0]: value}
