"""Signatures: what a function takes and gives, as a tool checks it both ways.

Invariant: what cannot be checked is refused where the tool is declared.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, create_model

from gatepost.nodes.langchain import arguments_of, as_function
from gatepost.nodes.tool import EffectContext, ToolMistake

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives."""

    function: Callable[..., Any]
    description: str
    fields: dict[str, Any]
    returns: Any
    takes_context: bool


def of_langchain(base: BaseTool) -> Signature:
    """What a tool of LangChain takes and gives."""
    return Signature(as_function(base), base.description, arguments_of(base), Any, takes_context=False)


def signature_of(function: Callable[..., Any], name: str) -> Signature:
    """What a function takes and gives, by its annotations.

    Raises:
        ToolMistake: one is missing or cannot be read.
    """
    hints = _hints(function, name)
    parameters = list(inspect.signature(function).parameters.values())
    takes_context = bool(parameters) and hints.get(parameters[0].name) is EffectContext
    if "return" not in hints:
        raise ToolMistake(f"tool {name!r}: say what it returns (a type annotation; None is one).")
    fields = _fields(name, hints, parameters[1:] if takes_context else parameters)
    return Signature(function, inspect.getdoc(function) or "", fields, hints["return"], takes_context=takes_context)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolMistake(f"tool {name!r}: an annotation cannot be read: {error}. Import it at run time.") from None


def _fields(name: str, hints: dict[str, Any], parameters: list[inspect.Parameter]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for parameter in parameters:
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if parameter.name not in hints or not named:
            raise ToolMistake(f"tool {name!r}: parameter {parameter.name!r} needs a name and a type annotation.")
        if parameter.name.startswith("_"):
            raise ToolMistake(
                f"tool {name!r}: parameter {parameter.name!r} starts with an underscore; no plan names it."
            )
        fields[parameter.name] = (
            hints[parameter.name],
            ... if parameter.default is parameter.empty else parameter.default,
        )
    return fields


def arguments_model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    """By what arguments are checked.

    Raises:
        ToolMistake: nothing can.
    """
    try:
        return create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid", frozen=True), **fields)
    except (PydanticUserError, NameError) as error:
        raise ToolMistake(f"tool {name!r}: its arguments cannot be checked: {_first_line(error)}.") from None


def result_type(name: str, hint: Any) -> TypeAdapter[Any]:
    """By what a result is checked.

    Raises:
        ToolMistake: nothing can.
    """
    try:
        return TypeAdapter(hint)
    except PydanticUserError as error:
        raise ToolMistake(f"tool {name!r}: its result cannot be checked: {_first_line(error)}.") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
