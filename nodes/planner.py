"""The planner: asks the workflow's strategy for the next plan version, or for nothing more to do.

Invariant: a plan enters a run whole or not at all. It is well-formed (`state.plan`), names tools
that the workflow has, with arguments that they take as far as that can be known now, and leaves
what already happened as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.nodes.asking import Asking
from gatepost.nodes.demand import completed
from gatepost.nodes.lookalike import lookalike
from gatepost.nodes.situation import Response, Situation
from gatepost.nodes.tool import AnyTool, InvalidArguments
from gatepost.nodes.visit import Visit
from gatepost.nodes.workflow import Workflow, next_plan, origin_of
from gatepost.state.board import Board
from gatepost.state.canonical import digest_of
from gatepost.state.channels import STATE_SCHEMA, RunState
from gatepost.state.effect import EffectClass
from gatepost.state.errors import DatabaseUnavailable, GatepostError, InvalidPlan, LostRun
from gatepost.state.plan import Plan, plan_of
from gatepost.state.reference import references
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.values import printable

MAX_PLANS = 50
"""Plan versions of one run; a strategy that never stops asking is stopped here."""
_UNTOUCHED = frozenset({StepStatus.PENDING, StepStatus.BLOCKED, StepStatus.SKIPPED, StepStatus.CANCELLED})


async def planner(state: RunState, visit: Visit) -> dict[str, Any]:
    """One visit: a new plan version in force, or the news that there is none."""
    update = await _plan(state, visit)
    return update if "run_id" in state else {**_first(visit), **update}


def _first(visit: Visit) -> dict[str, Any]:
    """What a run's state holds from its first transition on, beside what the caller gave."""
    return {
        "schema_version": STATE_SCHEMA,
        "run_id": visit.session.run.run_id,
        "workflow": visit.session.run.workflow,
        "status": RunStatus.RUNNING.value,
        "plan_version": 0,
        "outcome": None,
    }


async def _plan(state: RunState, visit: Visit) -> dict[str, Any]:
    version = state.get("plan_version", 0) + 1
    if version > MAX_PLANS:
        return _give_up(visit, f"the planner made {MAX_PLANS} plans and wants another; stopped there")
    try:
        answer = await next_plan(visit.workflow.strategy, situation(state, visit))
        if answer is None:
            return {"planning": None, "signals": [{"kind": "exhausted"}]}
        plan = visit.equipment.fixed.get(visit.workflow.name) if version == 1 else None
        if plan is None:
            plan = plan_of(answer).model_copy(update={"version": version, "origin": origin_of(visit.workflow.strategy)})
            plan = fitted(plan, visit.workflow, visit.tools, visit.board)
    except (DatabaseUnavailable, LostRun):
        raise  # of what it asked through us; the run has not failed
    except GatepostError as error:
        return _give_up(visit, str(error))
    except Exception as error:  # noqa: BLE001 (a strategy may raise anything; it becomes state)
        return _give_up(visit, f"{type(error).__name__}: {error}")
    visit.session.stage_plan(visit.task, plan)
    return {"planning": None, "plan_version": version, "signals": [{"kind": "planned"}], "counters": {"plans": 1}}


def situation(state: RunState, visit: Visit) -> Situation:
    """What the strategy is told."""
    session, run, version = visit.session, visit.session.run, state.get("plan_version", 0) + 1
    return Situation(
        goal=state["goal"],
        input=state.get("input", {}),
        plan=visit.board.plan,
        steps=dict(visit.board.records),
        responses=tuple(Response(**said) for said in state.get("responses", [])),
        now=session.now,
        seed=int(digest_of(run.run_id, version, session.now.isoformat())[:12], 16),
        asking=Asking(visit, version),
    )


def fitted(plan: Plan, workflow: Workflow, tools: Mapping[str, AnyTool], board: Board) -> Plan:
    """A well-formed plan that fits, with what the workflow demands of its steps (`nodes.demand`).

    Raises:
        InvalidPlan: it does not fit, or does not meet a demand; with every reason.
    """
    plan, unmet = completed(plan, workflow, tools, board)
    if wrong := [*misfits(plan, tools, board), *unmet]:
        raise InvalidPlan(f"the plan does not fit this run: {'; '.join(wrong[:20])}. Correct it and plan again.")
    return plan


def misfits(plan: Plan, tools: Mapping[str, AnyTool], board: Board) -> list[str]:
    """Every reason why a well-formed plan does not fit."""
    return [reason for step in plan.steps for reason in _misfits(plan, step.id, tools, board)]


def _misfits(plan: Plan, step_id: str, tools: Mapping[str, AnyTool], board: Board) -> list[str]:
    step = plan.by_id[step_id]
    if step.tool not in tools:
        alike = f" ({found})" if (found := lookalike(step.tool, tools)) else ""
        return [f"step {step.id!r} names the tool {step.tool!r:.80}{alike}; there are {', '.join(sorted(tools))}"]
    if board.status(step.id) not in _UNTOUCHED:
        before = board.plan.by_id.get(step.id) if board.plan else None
        if before is not None and (before.tool, before.args) != (step.tool, step.args):
            return [f"step {step.id!r} already ran with other arguments; give the new one an id of its own"]
        return []
    if wrong := [fact for fact in step.relies_on if _is_no_read(plan.by_id[fact].tool, tools)]:
        return [f"step {step.id!r} relies on {wrong[0]!r}, which is no read and cannot be read again"]
    if any(references(dict(step.args))):
        return []
    try:
        tools[step.tool].normalise(step.args)
    except InvalidArguments as error:
        return [f"step {step.id!r}: {error}"]
    return []


def _is_no_read(tool: str, tools: Mapping[str, AnyTool]) -> bool:
    return tool in tools and tools[tool].effect is not EffectClass.READ


def _give_up(visit: Visit, reason: str) -> dict[str, Any]:
    undo = RunStatus.FAILED in visit.workflow.compensate_on
    reason = f"no plan: {printable(reason, limit=1000)}"
    ending = {"status": RunStatus.FAILED.value, "reason": reason, "compensate": undo}
    return {"planning": None, "ending": ending}
