"""Tries to get a fake past the gate that its tool does not get past, and to replace a tool by what cannot be called."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from gatepost import EffectContext, FixedPlan, Plan, Workflow, tool
from gatepost.nodes.catalog import Catalog
from gatepost.nodes.replacement import stand_in
from gatepost.nodes.tool import InvalidArguments, InvalidResult, ToolMistake

CONTEXT = EffectContext(
    idempotency_key="eff_1", run_id="r", step_id="s", tenant="local", now=datetime(2026, 1, 1, tzinfo=UTC), seed=1
)
ARGUMENTS: dict[str, Any] = {"customer": "ada", "cents": 7}


@tool(effect="write", on_doubt="retry")
def refund(customer: str, cents: int) -> None:
    raise AssertionError("the real provider was called")


@tool(effect="write", on_doubt="retry", timeout=timedelta(seconds=3), label="paid", compensate=refund, version="7")
def charge(ctx: EffectContext, customer: str, cents: int = 7) -> str:
    raise AssertionError("the real provider was called")


def alone(customer: str, cents: int) -> str:
    return f"{customer}:{cents}"


def with_context(ctx, /, customer, cents):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return f"{ctx.idempotency_key}:{customer}:{cents}"


async def later(ctx: EffectContext, **given: Any) -> str:
    return f"{ctx.idempotency_key}:{given['customer']}:{given['cents']}"


@pytest.mark.parametrize(
    ("fake", "result"),
    [
        pytest.param(alone, "ada:7", id="no context"),
        pytest.param(lambda **_: "fake", "fake", id="any arguments"),
        pytest.param(with_context, "eff_1:ada:7", id="with the context"),
        pytest.param(later, "eff_1:ada:7", id="async"),
        pytest.param(Mock(return_value="fake"), "fake", id="mock"),
    ],
)
def test_function_takes_over_the_declaration_and_is_called_in_the_place_of_the_tool(fake: Any, result: str) -> None:
    found = stand_in(charge, fake)
    for name in ("name", "effect", "on_doubt", "timeout", "retry", "label", "compensate", "version", "arguments"):
        assert getattr(found, name) == getattr(charge, name), name
    assert asyncio.run(found.call(CONTEXT, ARGUMENTS)) == result


def test_what_a_function_takes_and_gives_is_checked_as_the_tools_is() -> None:
    found = stand_in(charge, lambda **_: 7)
    with pytest.raises(InvalidArguments, match="cents: Input should be"):
        found.normalise({**ARGUMENTS, "cents": "many"})
    with pytest.raises(InvalidResult, match="tool 'charge' returned something else"):
        found.checked_result(asyncio.run(found.call(CONTEXT, ARGUMENTS)))


@pytest.mark.parametrize(
    ("fake", "said"),
    [
        pytest.param(lambda customer: "x", r"is declared as \(customer\), and is called by name", id="too few"),
        pytest.param(lambda customer, cents, more: "x", "Give it these parameters", id="too many"),
        pytest.param("charged", "is a str. Give a function or a tool", id="a result"),
        pytest.param(tool(effect="read")(alone), "effect='read' and 'charge' itself effect='write'", id="milder"),
    ],
)  # fmt: skip
def test_fake_that_would_be_judged_or_called_otherwise_is_refused(fake: Any, said: str) -> None:
    with pytest.raises(ToolMistake, match=said):
        stand_in(charge, fake)


@pytest.mark.parametrize("effect", ["write", "irreversible"])
def test_declared_fake_may_be_as_strict_or_stricter(effect: str) -> None:
    fake = tool(effect=effect)(alone)
    found = stand_in(charge, fake)
    assert (found.name, found.effect, found.function) == ("charge", effect, alone)


def catalog(replaced: Any) -> Catalog:
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=())), tools=(charge,))
    return Catalog([workflow], replaced=replaced)


def test_what_undoes_a_tool_can_be_replaced_as_well() -> None:
    undo = catalog({"refund": lambda **_: None}).tools("w")["charge"].compensate
    assert undo is not None
    assert (undo.name, asyncio.run(undo.call(CONTEXT, ARGUMENTS))) == ("refund", None)


def test_replacement_that_replaces_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(ToolMistake, match="no workflow has a tool chrage; there are charge, refund"):
        catalog({"chrage": alone})
    with pytest.raises(ToolMistake, match="the replaced tools are a list"):
        catalog([alone])
