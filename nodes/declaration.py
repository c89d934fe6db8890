"""Declarations: what a workflow is made of, checked where it is written down.

Invariant: a `Workflow` that exists is made of the right things, so that a slip (a text where a tuple
of texts belongs, a plain function among the tools) is refused at its own line, and does not wedge a
run long afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from gatepost.nodes.tool import AnyTool, Tool, ToolMistake
from gatepost.state.effect import EffectClass
from gatepost.state.errors import InvalidValue
from gatepost.state.gate import Gate
from gatepost.state.plan import Plan
from gatepost.state.recovery import Mode
from gatepost.state.status import RunStatus
from gatepost.state.values import storable_text

UNDOABLE = (RunStatus.FAILED, RunStatus.REJECTED, RunStatus.STRANDED, RunStatus.CANCELLED)
"""Endings that may undo what succeeded before."""


def name_of(value: object) -> str:
    """The workflow's name.

    Raises:
        ToolMistake: no text, empty, or not storable.
    """
    return _text(value, where="the name of a workflow")


def goals_of(value: object, *, workflow: str) -> tuple[str, ...]:
    """The goals, each a text.

    Raises:
        ToolMistake: one text instead of several, or something that is no text.
    """
    if isinstance(value, str):
        raise ToolMistake(
            f"workflow {workflow!r}: goals={value!r:.80} is one text, and each of its letters would be a goal. "
            f"Write a tuple: goals=({value!r:.80},)."
        )
    goals = _several(value, f"workflow {workflow!r}: goals", "goals=('…',)")
    return tuple(_text(goal, where=f"workflow {workflow!r}: a goal") for goal in goals)


def check_strategy(value: object, *, workflow: str) -> None:
    """Check that it can be asked for a plan.

    Raises:
        ToolMistake: a plan, a class, or something without `plan(situation)`.
    """
    if isinstance(value, Plan):
        raise ToolMistake(f"workflow {workflow!r}: the strategy is a Plan. Wrap it: strategy=FixedPlan(plan).")
    if isinstance(value, type):
        raise ToolMistake(
            f"workflow {workflow!r}: the strategy is the class {value.__name__}, not one of its objects. "
            f"Make one: strategy={value.__name__}(…)."
        )
    if not callable(getattr(value, "plan", None)):
        raise ToolMistake(
            f"workflow {workflow!r}: the strategy is a {type(value).__name__} without plan(situation). "
            "Pass FixedPlan(plan), or an object with that method."
        )


def tools_of(value: object, *, workflow: str) -> tuple[AnyTool, ...]:
    """The tools, each declared.

    Raises:
        ToolMistake: one tool instead of several, or something that is no tool.
    """
    if isinstance(value, Tool):
        raise ToolMistake(f"workflow {workflow!r}: tools is one tool. Write a tuple: tools=({value.name},).")
    tools = _several(value, f"workflow {workflow!r}: tools", "tools=(charge,)")
    for tool in tools:
        if not isinstance(tool, Tool):
            raise ToolMistake(f"workflow {workflow!r}: {_undeclared(tool)}")
    return tools


def endings_of(value: object, *, workflow: str) -> frozenset[RunStatus]:
    """The endings that undo what succeeded before.

    Raises:
        ToolMistake: one instead of several, or no such ending.
    """
    example = "compensate_on=frozenset({RunStatus.FAILED})"
    if isinstance(value, str):
        raise ToolMistake(f"workflow {workflow!r}: compensate_on={str(value)!r} is one text. Write a set: {example}.")
    found = _several(value, f"workflow {workflow!r}: compensate_on", example)
    if wrong := [ending for ending in found if ending not in UNDOABLE]:
        raise ToolMistake(
            f"workflow {workflow!r}: compensate_on holds {wrong[0]!r:.80}, which undoes nothing; it may hold "
            f"{', '.join(map(str, UNDOABLE))}: {example}."
        )
    return frozenset(map(RunStatus, found))


def recovery_of(value: object, *, workflow: str) -> Mode | None:
    """What becomes of runs that workers gave up.

    Raises:
        ToolMistake: it is neither undone nor left.
    """
    if value is None:
        return None
    if not isinstance(value, str) or value not in (Mode.ROLLBACK, Mode.ABANDON):
        raise ToolMistake(
            f"workflow {workflow!r}: on_stranded={value!r:.40} would strand the run again. Write 'rollback' or "
            "'abandon', or leave it out: an operator says then (`gatepost run recover`)."
        )
    return Mode(value)


def check_demands(name: str, tools: Iterable[AnyTool], gates: Mapping[str, Gate]) -> None:
    """Check that what its tools and gates rely on can be met: each names a read that the workflow has.

    Raises:
        ToolMistake: one names something else.
    """
    known = {tool.name: tool for tool in tools}
    reads = sorted(tool.name for tool in known.values() if tool.effect is EffectClass.READ)
    said = [
        *((f"tool {tool.name!r}", tool.relies_on) for tool in known.values()),
        *((f"the gate of tool {tool.name!r}", tool.gate.facts) for tool in known.values() if tool.gate),
        *((f"gates[{of!r}]", gate.facts) for of, gate in gates.items()),
    ]
    for where, demands in said:
        for fact in (fact for fact in demands if fact not in reads):
            why = "is no read and cannot be read again" if fact in known else "is no tool of it"
            raise ToolMistake(
                f"workflow {name!r}: {where} relies on {fact!r:.80}, which {why}. Name the tool that reads it; its "
                f"reads are {', '.join(reads) or 'none'}."
            )


def check_input(value: object, *, workflow: str) -> None:
    """Check that it is the type of an input.

    Raises:
        ToolMistake: it is not.
    """
    if value is not None and not (isinstance(value, type) and issubclass(value, BaseModel)):
        raise ToolMistake(
            f"workflow {workflow!r}: input={value!r:.80} is no type of an input. "
            "Pass a class that is derived from pydantic.BaseModel, or leave it out for any plain data."
        )


def check_conclude(value: object, *, workflow: str) -> None:
    """Check that it can be called, and at once.

    Raises:
        ToolMistake: it is no function, or an async one.
    """
    if not callable(value) or inspect.iscoroutinefunction(value):
        kind = "an async function" if callable(value) else f"a {type(value).__name__}"
        raise ToolMistake(
            f"workflow {workflow!r}: conclude is {kind}. Pass a plain function of the Ending that returns a "
            "Conclusion; what has to be awaited belongs into a step."
        )


def _undeclared(tool: object) -> str:
    name = getattr(tool, "__name__", None)
    if inspect.isroutine(tool) and name:
        return (
            f"{name} is a plain function, so nobody knows what it does to the world. Declare it: "
            f'@tool(effect="read", …) above def {name}.'
        )
    return f"{tool!r:.80} among its tools is a {type(tool).__name__}. Declare a function with @tool and pass that."


def _several(value: object, what: str, example: str) -> tuple[Any, ...]:
    if not isinstance(value, Iterable) or isinstance(value, bytes | dict):
        raise ToolMistake(f"{what} is a {type(value).__name__}. Write several of them: {example}.")
    return tuple(value)


def _text(value: object, *, where: str) -> str:
    try:
        return storable_text(value, where=where)
    except InvalidValue as error:
        raise ToolMistake(str(error)) from None
