"""Tools of LangChain, as functions that `@tool` can declare.

A LangChain tool says what it takes, and nothing about what it does to the world; that is declared
around it. Its own way of turning errors into answers is switched off: an error that comes back as
a text would be recorded as success.

Nothing of LangChain is imported for whoever has no such tool.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from gatepost.nodes.tool import ToolMistake

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

_TYPES: dict[str, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "array": list[Any], "object": dict[str, Any],
}  # fmt: skip


def is_langchain(target: object) -> bool:
    """Whether it is a tool of LangChain: whoever has made one has imported its class."""
    tools = sys.modules.get("langchain_core.tools")
    return tools is not None and isinstance(target, tools.BaseTool)


def as_function(base: BaseTool) -> Callable[..., Awaitable[Any]]:
    """An async function that runs it."""
    plain = base.model_copy(update={"handle_tool_error": False, "handle_validation_error": False})

    async def call(**given: Any) -> Any:
        return await plain.ainvoke(given, config={"callbacks": []})

    return call


def arguments_of(base: BaseTool) -> dict[str, Any]:
    """What it takes, as fields of a Pydantic model.

    Raises:
        ToolMistake: it needs something that no plan can give it.
    """
    schema = base.tool_call_schema
    if isinstance(schema, dict):
        return _of_json(schema)
    if not issubclass(schema, BaseModel):
        raise ToolMistake(f"tool {base.name!r}: its arguments are a model of Pydantic 1. Write one of Pydantic 2.")
    everything: Any = base.get_input_schema()
    if injected := sorted(set(everything.model_fields) - set(schema.model_fields)):
        raise ToolMistake(
            f"tool {base.name!r}: it needs {', '.join(injected)} injected, which only LangChain's own agents do. "
            "Write a function with @tool that calls it."
        )
    return {name: (field.annotation, field) for name, field in schema.model_fields.items()}


def _of_json(schema: dict[str, Any]) -> dict[str, Any]:
    """By JSON Schema, as tools of MCP have it: the names, and the types as far as they are simple."""
    needed = set(schema.get("required", ()))
    return {
        name: (_TYPES.get(str(said.get("type")), Any), ...) if name in needed else (_simple(said), said.get("default"))
        for name, said in schema.get("properties", {}).items()
    }


def _simple(said: dict[str, Any]) -> Any:
    kind = _TYPES.get(str(said.get("type")))
    return Any if kind is None else kind | None
