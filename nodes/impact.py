"""Impact: what a yes to a question would set going, so that whoever answers sees more than one call.

Pure: it follows from the plan, the board and the tools. Invariant: it describes and binds nothing. No digest covers it,
and nothing is decided by it, so it may be brought up to date without asking again.

An impact is a list of plain dicts in the order in which the effects could happen: the action that is asked about, then
every unfinished step that waits for it, directly or not. After a question about an undo come the undos that would
follow. Each has:

- `step`, `tool`, `effect`: which call, and its class. A `read` changes nothing; it is there because others wait for it.
- `reversible`: whether anything undoes it here; a read leaves nothing to undo.
- `undo`: the tool that would undo it, or None.
- `pivot`: it is irreversible and nothing undoes it. What came before it can be undone; the run as a whole no longer.
- `cost`: in whole units of the deployment's choice; None while it depends on what is not known yet.
- `conditional`: it may be left out, because it runs only under a condition.
- `waiting`: the steps that wait for it directly, at most ten; `waiting_more`: how many others, where there are any.
- `more`: on the last one, how many steps after it are left out, where any are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Any, TypeAlias

from pydantic import JsonValue

from gatepost.nodes.tool import AnyTool, InvalidArguments
from gatepost.state.approval import ApprovalRequest
from gatepost.state.board import Board
from gatepost.state.effect import EffectClass
from gatepost.state.errors import InvalidValue
from gatepost.state.plan import Step
from gatepost.state.reference import Unresolvable
from gatepost.state.status import STEP_SETTLED, StepStatus

SHOWN_EFFECTS = 20
SHOWN_NAMES = 10
_UNDOABLE = (StepStatus.SUCCEEDED, StepStatus.COMPENSATING)

Impact: TypeAlias = tuple[dict[str, JsonValue], ...]


def previewed(request: ApprovalRequest, board: Board, tools: Mapping[str, AnyTool]) -> ApprovalRequest:
    """The question with what a yes to it would set going, as far as that is known now."""
    asked = request.args if request.kind == "action" else None
    if request.purpose == "compensate":
        return request.model_copy(update={"impact": of_undo(board, tools, request.step, args=asked)})
    return request.model_copy(update={"impact": of_step(board, tools, request.step, tool=request.tool, args=asked)})


def of_step(
    board: Board, tools: Mapping[str, AnyTool], step: str, *, tool: str, args: Mapping[str, JsonValue] | None = None
) -> Impact:
    """What the call of a step would set going.

    Args:
        board: plan and steps as they stand.
        tools: by name.
        step: whose call it is.
        tool: that it calls; a later plan may have dropped the step.
        args: what it is called with, where that is settled; None: what the plan says.
    """
    after = list(_after(board, step))
    left_out = len(after) - (SHOWN_EFFECTS - 1)
    planned = board.plan.by_id.get(step) if board.plan else None
    first = _effect(board, tools.get(tool), tool, step, planned, args)
    effects = [first, *(_planned(board, tools, one) for one in after[: SHOWN_EFFECTS - 1])]
    return _capped(effects, left_out)


def of_undo(
    board: Board, tools: Mapping[str, AnyTool], step: str, *, args: Mapping[str, JsonValue] | None = None
) -> Impact:
    """What undoing a step would set going: its undo, then those of what was done before it."""
    undone = list(_undone(board, tools, step))
    left_out = len(undone) - SHOWN_EFFECTS
    shown = [
        {**_facts_of(undo, undo.name, cost=_cost(undo, args if one == step else None)), "step": one}
        for one, undo in undone[:SHOWN_EFFECTS]
    ]
    following = [one for one, _ in undone[1 : SHOWN_EFFECTS + 1]]
    effects = [
        {**effect, "conditional": False, "waiting": following[place : place + 1]} for place, effect in enumerate(shown)
    ]
    return _capped(effects, left_out)


def edited(impact: Impact, tool: AnyTool, args: Mapping[str, JsonValue]) -> Impact:
    """An impact once somebody has given the action other arguments."""
    return ({**impact[0], "cost": tool.cost_of(args)}, *impact[1:]) if impact else impact


def _planned(board: Board, tools: Mapping[str, AnyTool], step: Step) -> dict[str, Any]:
    return _effect(board, tools.get(step.tool), step.tool, step.id, step, None)


def _effect(
    board: Board,
    tool: AnyTool | None,
    name: str,
    step: str,
    planned: Step | None,
    args: Mapping[str, JsonValue] | None,
) -> dict[str, Any]:
    cost = None if tool is None else _cost(tool, args) if args is not None else _foreseen(board, tool, planned)
    waiting = [one.id for one in board.waiting_for(step) if board.status(one.id) not in STEP_SETTLED]
    more = len(waiting) - SHOWN_NAMES
    return {
        "step": step,
        **_facts_of(tool, name, cost=cost),
        "conditional": planned is not None and planned.when is not None and args is None,
        "waiting": waiting[:SHOWN_NAMES],
        **({"waiting_more": more} if more > 0 else {}),
    }


def _facts_of(tool: AnyTool | None, name: str, *, cost: int | None) -> dict[str, Any]:
    """What a tool declares; of one that is not here the worst is assumed."""
    effect = EffectClass.IRREVERSIBLE if tool is None else tool.effect
    undo = None if tool is None else tool.undo
    return {
        "tool": name,
        "effect": effect.value,
        "reversible": effect is EffectClass.READ or undo is not None,
        "undo": undo,
        "pivot": effect is EffectClass.IRREVERSIBLE and undo is None,
        "cost": cost,
    }


def _cost(tool: AnyTool, args: Mapping[str, JsonValue] | None) -> int | None:
    if args is None:
        return None if isinstance(tool.cost, str) else tool.cost
    return tool.cost_of(args)


def _foreseen(board: Board, tool: AnyTool, step: Step | None) -> int | None:
    """What a step will cost; None while the argument that says so is not known."""
    if isinstance(tool.cost, int) or step is None:
        return _cost(tool, None)
    if tool.cost in step.args:
        try:
            named = board.arguments(step.model_copy(update={"args": {tool.cost: step.args[tool.cost]}}))
            return tool.cost_of(named)
        except (Unresolvable, InvalidValue):
            return None
    try:
        return tool.cost_of(tool.normalise(board.arguments(step)))
    except (Unresolvable, InvalidArguments, InvalidValue):
        return None


def _after(board: Board, step: str) -> Iterator[Step]:
    """Unfinished steps that wait for it, directly or not: each after what it needs, otherwise in the plan's order."""
    reached = _reached(board, step)
    unmet = {name: sum(need in reached for need in one.needs) for name, one in reached.items()}
    due = [(board.place(name), name) for name, missing in unmet.items() if not missing]
    heapify(due)
    while due:
        _, name = heappop(due)
        yield reached[name]
        for one in board.waiting_for(name):
            unmet[one.id] = unmet.get(one.id, 0) - 1
            if unmet[one.id] == 0:
                heappush(due, (board.place(one.id), one.id))


def _reached(board: Board, step: str) -> dict[str, Step]:
    reached: dict[str, Step] = {}
    todo = [step]
    while todo:
        for one in board.waiting_for(todo.pop()):
            if one.id not in reached and board.status(one.id) not in STEP_SETTLED:
                reached[one.id] = one
                todo.append(one.id)
    return reached


def _undone(board: Board, tools: Mapping[str, AnyTool], step: str) -> Iterator[tuple[str, AnyTool]]:
    """The undo of the step and those after it, in the order in which the compensator goes through them."""
    mine = tools.get(board.record(step).tool)
    if mine is not None and mine.compensate is not None:
        yield step, mine.compensate
    for record in reversed(board.records.values()):
        tool = tools.get(record.tool)
        if record.step != step and record.status in _UNDOABLE and tool is not None and tool.compensate is not None:
            yield record.step, tool.compensate


def _capped(effects: list[dict[str, Any]], left_out: int) -> Impact:
    if left_out > 0:
        effects[-1] = {**effects[-1], "more": left_out}
    return tuple(effects)
