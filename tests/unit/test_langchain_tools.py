"""Tries to have a tool of LangChain run undeclared, called with what it does not take, its error taken as a result."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from langchain_core.tools import InjectedToolArg, StructuredTool, ToolException
from langchain_core.tools import tool as theirs
from pydantic import BaseModel, Field

from gatepost import EffectContext, Tool, tool
from gatepost.nodes.tool import InvalidArguments, ToolMistake
from gatepost.state.effect import EffectClass, OnDoubt

CONTEXT = EffectContext(
    idempotency_key="eff_1", run_id="r", step_id="s", tenant="local", now=datetime(2026, 1, 1, tzinfo=UTC), seed=1
)


class Place(BaseModel):
    city: str


@theirs
def ship(to: Place, pieces: Annotated[int, Field(ge=1)] = 1) -> str:
    """Ship something."""
    return f"{pieces} to {to.city}"


@theirs
async def aship(to: Place, pieces: int = 1) -> str:
    """Ship something."""
    return f"{pieces} to {to.city}"


def call(declared: Tool[..., Any], **args: Any) -> Any:
    return asyncio.run(declared.call(CONTEXT, declared.normalise(args)))


@pytest.mark.parametrize("base", [ship, aship], ids=["sync", "async"])
def test_tool_of_langchain_is_called_with_what_it_takes(base: Any) -> None:
    declared = tool(effect="write")(base)
    assert (declared.name, declared.description, declared.takes_context) == (base.name, "Ship something.", False)
    assert declared.normalise({"to": {"city": "Bern"}}) == {"to": {"city": "Bern"}, "pieces": 1}
    assert call(declared, to={"city": "Bern"}, pieces=2) == "2 to Bern"


def test_what_is_not_declared_is_assumed_to_be_the_worst() -> None:
    bare = tool(ship)
    assert (bare.effect, bare.on_doubt) == (EffectClass.IRREVERSIBLE, OnDoubt.ASK)
    assert tool(name="send")(ship).name == "send"


@pytest.mark.parametrize("args", [{}, {"to": {}}, {"to": {"city": "x"}, "pieces": 0}, {"to": {"city": "x"}, "by": "x"}])
def test_its_arguments_are_checked_before_it_is_asked_about(args: dict[str, Any]) -> None:
    with pytest.raises(InvalidArguments, match="tool 'ship' does not take these arguments"):
        tool(ship).normalise(args)


def test_its_error_is_an_error() -> None:
    """By itself it would be given back as a text."""

    def fail(why: str) -> str:
        raise ToolException(why)

    quiet = StructuredTool.from_function(fail, name="fail", description="Fail.", handle_tool_error=True)
    assert quiet.invoke({"why": "no credit"}) == "no credit"
    with pytest.raises(ToolException, match="no credit"):
        call(tool(quiet), why="no credit")
    assert quiet.handle_tool_error is True


def test_tool_that_is_described_by_json_schema_is_checked_as_far_as_that_goes() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}, "required": ["q"]}
    declared = tool(StructuredTool(name="find", description="Find.", args_schema=schema, func=lambda **given: given))
    assert call(declared, q="tea") == {"q": "tea", "n": None}
    refused: list[Any] = [{}, {"q": 7}, {"q": "tea", "n": "many"}, {"q": "tea", "x": 1}]
    for wrong in refused:
        with pytest.raises(InvalidArguments):
            declared.normalise(wrong)


def test_tool_that_needs_something_injected_is_refused_when_it_is_declared() -> None:
    @theirs
    def greet(name: str, user: Annotated[str, InjectedToolArg]) -> str:
        """Greet."""
        return f"{user} greets {name}"

    with pytest.raises(ToolMistake, match="tool 'greet': it needs user injected"):
        tool(effect="read")(greet)
