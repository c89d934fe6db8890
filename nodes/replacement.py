"""Replacements: what takes the place of a tool in a test.

Invariant: a replacement is judged as the tool itself is. A plain function takes over the whole
declaration (effect class, doubt, undo, types), so only what the world would do is replaced; a
declared tool may be stricter than the one it replaces, never milder, because the gate would let
through in a test what it stops in earnest.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gatepost.nodes.tool import AnyTool, Tool, ToolMistake
from gatepost.state.effect import EffectClass

Replacement: TypeAlias = AnyTool | Callable[..., Any]
"""A declared tool, or a function (sync or async) that is called with the tool's arguments by name."""

_STRICTNESS = (EffectClass.READ, EffectClass.WRITE, EffectClass.IRREVERSIBLE)


class Replacements:
    """What takes the place of which tools.

    Args:
        given: by the name of the tool.

    Raises:
        ToolMistake: it is no mapping of names.
    """

    def __init__(self, given: Mapping[str, Replacement] | None) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise ToolMistake(
                f'the replaced tools are a {type(given).__name__}. Write tools={{"charge": fake_charge}}.'
            )
        self._given = dict(given or {})
        self._seen: set[str] = set()

    def among(self, tools: Mapping[str, AnyTool]) -> dict[str, AnyTool]:
        """These tools and what undoes them, with those replaced that are to be.

        Raises:
            ToolMistake: one cannot take the place of its tool; says why.
        """
        return {name: self._with_undo(self._for(tool)) for name, tool in tools.items()}

    def check_used(self) -> None:
        """Check that each has taken a place.

        Raises:
            ToolMistake: one has not; lists the tools there are.
        """
        if unknown := sorted(map(str, self._given.keys() - self._seen)):
            known = ", ".join(sorted(self._seen)) or "none"
            raise ToolMistake(f"no workflow has a tool {', '.join(unknown)}; there are {known}.")

    def _with_undo(self, tool: AnyTool) -> AnyTool:
        if tool.compensate is None:
            return tool
        return dataclasses.replace(tool, compensate=self._for(tool.compensate))

    def _for(self, tool: AnyTool) -> AnyTool:
        self._seen.add(tool.name)
        return stand_in(tool, self._given[tool.name]) if tool.name in self._given else tool


def stand_in(tool: AnyTool, given: Replacement) -> AnyTool:
    """The tool that takes the place of another, under its name.

    Raises:
        ToolMistake: declared milder than the tool, called with other arguments, or not callable at all.
    """
    if isinstance(given, Tool):
        if _STRICTNESS.index(given.effect) < _STRICTNESS.index(tool.effect):
            raise ToolMistake(
                f"the replacement of {tool.name!r} is declared effect='{given.effect}' and {tool.name!r} itself "
                f"effect='{tool.effect}': the gate would judge another action than in earnest. Replace it by a plain "
                f"function, which takes over the declaration, or declare effect='{tool.effect}'."
            )
        # The same people are asked in a test as in earnest, on the same facts, unless the test says otherwise.
        gate, relies_on = given.gate or tool.gate, {**tool.relies_on, **given.relies_on}
        same = (given.name, given.gate, given.relies_on) == (tool.name, gate, relies_on)
        return given if same else dataclasses.replace(given, name=tool.name, gate=gate, relies_on=relies_on)
    if not callable(given):
        raise ToolMistake(f"the replacement of {tool.name!r} is a {type(given).__name__}. Give a function or a tool.")
    return dataclasses.replace(tool, function=given, takes_context=_takes_context(tool, given))


def _takes_context(tool: AnyTool, function: Callable[..., Any]) -> bool:
    """Whether it has a place for the `EffectContext` before the arguments.

    Raises:
        ToolMistake: it cannot be called with the arguments of the tool.
    """
    arguments = dict.fromkeys(tool.arguments.model_fields)
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins have none
        return False
    for before in ((), (None,)):
        try:
            signature.bind(*before, **arguments)
        except TypeError:
            continue
        return bool(before)
    names = ", ".join(arguments) or "no arguments"
    raise ToolMistake(
        f"the replacement of {tool.name!r} is declared as {signature}, and is called by name with {names}, "
        "perhaps after an EffectContext. Give it these parameters, or **others."
    )
