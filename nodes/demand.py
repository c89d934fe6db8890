"""Demands: what a tool or a gate wants its steps to rest on, whoever plans them.

Pure. Invariant: a plan in force meets every demand. Where the plan says what the demanded reading is, it is completed;
where it does not, it is refused with what is missing, because nobody can know which reading was meant.

What a step rests on is found by going back from it over reads: the nearest step that calls the demanded tool, on every
way. A step that did something ends the way: what was read before that was about that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from gatepost.nodes.tool import AnyTool
from gatepost.nodes.workflow import Workflow
from gatepost.state.board import Board
from gatepost.state.effect import EffectClass
from gatepost.state.fact import Fact, Material
from gatepost.state.plan import Plan, Step
from gatepost.state.status import STEP_SETTLED, StepStatus


def demands_of(workflow: Workflow, step: Step, tool: AnyTool) -> list[tuple[str, Fact]]:
    """What a step must rest on: as its tool demands, and as its gate does."""
    return [*tool.relies_on.items(), *workflow.gate(step.id, tool).facts.items()]


def completed(plan: Plan, workflow: Workflow, tools: Mapping[str, AnyTool], board: Board) -> tuple[Plan, list[str]]:
    """The plan with every demand in it, and what is missing where it cannot be met. What has begun is left as it is."""
    changed: dict[str, Step] = {}
    wrong: list[str] = []
    for step in plan.steps:
        tool = tools.get(step.tool)
        if tool is None or board.status(step.id) not in (StepStatus.PENDING, StepStatus.BLOCKED):
            continue
        wanted = dict(step.relies_on)
        for name, fact in demands_of(workflow, step, tool):
            found = _nearest(plan, step, name, tools)
            if not found:
                wrong.append(_missing(plan, step, name, fact.within))
            wanted |= {one: min(fact.within, wanted.get(one, fact.within)) for one in found}
        if wanted != step.relies_on:
            needs = tuple(dict.fromkeys([*step.needs, *wanted]))
            changed[step.id] = step.model_copy(update={"relies_on": wanted, "needs": needs})
    if not changed or wrong:
        return plan, wrong
    steps = tuple(changed.get(step.id, step) for step in plan.steps)
    return Plan(version=plan.version, steps=steps, final=plan.final, origin=plan.origin, reason=plan.reason), wrong


def lacking(step: Step, demands: Sequence[tuple[str, Fact]], board: Board) -> str | None:
    """Why a step may not run although its turn has come: a reading that is demanded of it was left out."""
    for name, _ in demands:
        for fact in step.relies_on:
            if board.step(fact).tool == name and board.status(fact) is StepStatus.SKIPPED:
                return f"it may only rest on a reading of {name!r}, and step {fact!r} was skipped"
    return None


def materials(
    board: Board, workflow: Workflow, tools: Mapping[str, AnyTool], fact: str, *, of: Step | None = None
) -> list[Material | None]:
    """What matters about a fact to the unfinished steps that rely on it, or to one of them.

    Each says so itself, by what is demanded for it; where nothing is, the read's tool does.
    """
    read = board.step(fact).tool
    own = tools[read].material if read in tools else None
    steps = [of] if of else [one for one in board.waiting_for(fact) if board.status(one.id) not in STEP_SETTLED]
    found: list[Material | None] = []
    for step in steps:
        if fact in step.relies_on and step.tool in tools:
            declared = [said for name, said in demands_of(workflow, step, tools[step.tool]) if name == read]
            found += [own if said.material is None else said.material for said in declared] or [own]
    return found or [own]


def _nearest(plan: Plan, step: Step, name: str, tools: Mapping[str, AnyTool]) -> list[str]:
    found: dict[str, None] = {}
    seen, todo = set[str](), [*step.needs]
    while todo:
        if (one := todo.pop()) in seen:
            continue
        seen.add(one)
        before = plan.by_id[one]
        if before.tool == name:
            found[one] = None
        elif before.tool in tools and tools[before.tool].effect is EffectClass.READ:
            todo += before.needs
    return [one for one in plan.by_id if one in found] if found else []


def _missing(plan: Plan, step: Step, name: str, within: timedelta) -> str:
    readings = [one.id for one in plan.steps if one.tool == name and one.id != step.id]
    fix = (
        f"let it need the one of {', '.join(readings[:5])} that it rests on"
        if readings
        else f"add a step that calls {name!r}, and let {step.id!r} need it"
    )
    return (
        f"step {step.id!r} calls {step.tool!r}, which may only rest on a reading of {name!r} that is at most "
        f"{str(within).removesuffix(', 0:00:00')} old, and none leads to it: {fix}"
    )
