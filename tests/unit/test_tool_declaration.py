"""Tries to declare tools that cannot work, and to pass arguments and results past what a tool declares."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from gatepost import EffectContext, Finding, Retry, tool
from gatepost.nodes.tool import InvalidArguments, InvalidResult, ToolMistake
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.errors import InvalidValue


def untyped(name) -> str: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001
def silent(name: str): ...  # type: ignore[no-untyped-def]  # noqa: ANN201
def greedy(*names: str) -> str: ...  # type: ignore[empty-body]
def open_ended(**names: str) -> str: ...  # type: ignore[empty-body]
def positional(name: str, /) -> str: ...  # type: ignore[empty-body]
def plain(name: str) -> str:
    return name


class Nowhere: ...


def lost(name: "Elsewhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037
def shy(_name: str) -> None: ...
def strange(thing: Nowhere) -> None: ...
def odd() -> Nowhere: ...  # type: ignore[empty-body]
async def transacts(ctx: EffectContext) -> None: ...
def find(ctx: EffectContext, name: str) -> str | None: ...


@tool(effect="read")
def harmless(name: str) -> None: ...
@tool(effect="write")
def refund(name: str, cents: int) -> None: ...
@tool(effect="write")
def ship(ctx: EffectContext, name: str, note: str = "undone") -> None: ...


SECOND = timedelta(seconds=1)
LOOKUP: dict[str, Any] = {"on_doubt": "lookup", "lookup": find, "settle": SECOND}
RETRIED: dict[str, Any] = {"on_doubt": "retry"}
BROKEN: list[Any] = [
    pytest.param(untyped, {}, "'untyped': parameter 'name' needs a name and a type annotation", id="no annotation"),
    pytest.param(silent, {}, "'silent': say what it returns", id="no return annotation"),
    pytest.param(greedy, {}, "parameter 'names' needs", id="*args"),
    pytest.param(open_ended, {}, "parameter 'names' needs", id="**kwargs"),
    pytest.param(positional, {}, "parameter 'name' needs a name", id="without a name to call it by"),
    pytest.param(plain, {"on_doubt": "lookup"}, "on_doubt='lookup' needs lookup=", id="look-up without a look-up"),
    pytest.param(plain, {"on_doubt": "transaction"}, "is for async functions with an EffectContext", id="transaction"),
    pytest.param(
        transacts,
        {"on_doubt": "transaction", "effect": "read"},
        "functions with an EffectContext that have",
        id="SQL read",
    ),
    pytest.param(plain, {"effect": "harmless"}, "'harmless' is none of 'read', 'write', 'irreversible'", id="effect"),
    pytest.param(plain, {"effect": "wrtie"}, "'wrtie' is none of", id="effect with a slip"),
    pytest.param(plain, {"effect": ["write"]}, "['write'] is none of", id="effect that is no text"),
    pytest.param(plain, {"retry": 3}, "retry=3 is no Retry: Retry(attempts=3)", id="retry as a number"),
    pytest.param(plain, {"timeout": 30}, "timeout=30 is no length of time", id="timeout as a number"),
    pytest.param(plain, {"timeout": timedelta(0)}, "timeout=datetime.timedelta(0) is no length", id="no timeout"),
    pytest.param(plain, {"timeout": None}, "timeout=None is no length of time", id="without a timeout"),
    pytest.param(plain, {"label": 7}, "label=7 is no text", id="label"),
    pytest.param(plain, {"provider": 7}, "provider=7 is no text", id="provider"),
    pytest.param(plain, {"version": 2}, "version=2 is no text", id="version as a number"),
    pytest.param(plain, {"name": ""}, "no function with a name", id="no name"),
    pytest.param(Nowhere, {}, "no function with a name", id="a class"),
    pytest.param(lost, {}, "an annotation cannot be read", id="annotation from nowhere"),
    pytest.param(shy, {}, "'_name' starts with an underscore", id="argument that no plan names"),
    pytest.param(strange, {}, "its arguments cannot be checked", id="type that pydantic does not know"),
    pytest.param(odd, {}, "its result cannot be checked", id="result that pydantic does not know"),
    pytest.param(plain, LOOKUP | {"settle": None}, "needs settle=(a timedelta)", id="look-up without a settle time"),
    pytest.param(plain, LOOKUP | {"settle": 5}, "settle=5 is no length of time", id="settle as a number"),
    pytest.param(plain, LOOKUP | {"settle": -SECOND}, "is no length of time", id="settle before the call"),
    pytest.param(plain, LOOKUP | {"lookup": "find"}, "lookup='find' is no function", id="look-up as a text"),
    pytest.param(plain, LOOKUP | {"lookup": lambda ctx: None}, "lookup(ctx, name): got an unexpected", id="look-up"),
    pytest.param(plain, {"lookup": find}, "lookup= goes with on_doubt='lookup'; this is 'ask'", id="unused look-up"),
    pytest.param(plain, {"settle": SECOND}, "settle= goes with on_doubt='lookup'", id="unused settle"),
    pytest.param(plain, {"window": SECOND}, "window= goes with on_doubt='retry'; this is 'ask'", id="unused window"),
    pytest.param(plain, RETRIED | {"window": 24}, "window=24 is no length of time", id="window as a number"),
    pytest.param(plain, RETRIED | {"window": SECOND}, "is not longer than timeout=", id="window within a call"),
    pytest.param(plain, {"compensate": plain}, "compensate=plain is no tool", id="undo as a plain function"),
    pytest.param(plain, {"compensate": "undo"}, "compensate='undo' is no tool", id="undo as a text"),
    pytest.param(plain, {"compensate": harmless}, "its undo 'harmless' is a read", id="undo that does nothing"),
    pytest.param(plain, {"compensate": refund}, "'refund' needs cents, which 'plain' does not take", id="undo"),
    pytest.param(plain, {"compensate": ship, "effect": "read"}, "a read leaves nothing to undo", id="undo of a read"),
    pytest.param(
        plain, {"on_doubt": "guess"}, "'guess' is none of 'retry', 'lookup', 'transaction', 'ask'", id="doubt"
    ),
]


@pytest.mark.parametrize(("function", "declared", "said"), BROKEN)
def test_declaration_that_cannot_work_is_refused_when_it_is_made(
    function: Callable[..., Any], declared: dict[str, Any], said: str
) -> None:
    with pytest.raises(ToolMistake, match=r"^tool ") as refused:
        tool(**declared)(function)
    assert said in str(refused.value)


def test_what_is_not_declared_is_assumed_to_be_the_worst() -> None:
    bare = tool(plain)
    assert (bare.effect, bare.on_doubt) == (EffectClass.IRREVERSIBLE, OnDoubt.ASK)
    assert (bare.name, bare.version, bare.takes_context) == ("plain", "1", False)
    assert tool(name="other")(plain).name == "other"


def test_a_tool_is_still_the_function() -> None:
    assert tool(plain)("ada") == "ada"


@dataclass
class Place:
    city: str
    zip: str = "0"


class Colour(enum.StrEnum):
    RED = "red"


@tool(effect="write", on_doubt="retry")
def order(
    ctx: EffectContext,
    item: str,
    place: Place,
    on: date = date(2026, 1, 1),
    price: Decimal = Decimal("1.50"),
    colours: tuple[Colour, ...] = (Colour.RED,),
    *,
    urgent: bool = False,
) -> dict[str, Any]:
    """Order an item."""
    return {"ctx": ctx, "item": item, "place": place, "on": on, "price": price, "colours": colours, "urgent": urgent}


@tool(effect="read")
def second_context(name: str, ctx: str = "a mere text") -> str:
    return f"{name} {ctx}"


def test_context_is_told_by_its_type_and_comes_first() -> None:
    assert order.takes_context
    assert "ctx" not in order.arguments.model_fields
    assert not second_context.takes_context
    assert second_context.normalise({"name": "a"}) == {"name": "a", "ctx": "a mere text"}


def test_a_tool_describes_itself_to_people_and_models() -> None:
    schema = order.schema()
    assert order.description == "Order an item."
    assert schema["required"] == ["item", "place"]
    assert schema["additionalProperties"] is False


NORMAL: dict[str, Any] = {
    "item": "tea",
    "place": {"city": "Bern", "zip": "0"},
    "on": "2026-01-01",
    "price": "1.5",
    "colours": ["red"],
    "urgent": False,
}


def test_normalising_fills_in_defaults_and_leaves_plain_data() -> None:
    assert order.normalise({"item": "tea", "place": {"city": "Bern"}}) == NORMAL


def test_normalising_what_is_normal_changes_nothing() -> None:
    assert order.normalise(order.normalise({"item": "tea", "place": {"city": "Bern"}})) == NORMAL


@pytest.mark.parametrize(
    ("args", "said"),
    [
        pytest.param({}, "item: Field required; place: Field required", id="missing"),
        pytest.param({**NORMAL, "discount": 1}, "discount: Extra inputs are not permitted", id="extra"),
        pytest.param({**NORMAL, "ctx": {}}, "ctx: Extra inputs are not permitted", id="a context of one's own"),
        pytest.param({**NORMAL, "place": {"city": 7}}, "place.city: ", id="wrong type inside"),
        pytest.param({**NORMAL, "price": "much"}, "price: ", id="no number"),
        pytest.param({**NORMAL, "colours": ["blue"]}, "colours.0: Input should be 'red'", id="no such member"),
        pytest.param({**NORMAL, "item": None}, "item: ", id="null"),
    ],
)
def test_argument_that_the_tool_does_not_take_is_refused_by_name(args: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArguments) as refused:
        order.normalise(args)
    assert str(refused.value).startswith("tool 'order' does not take these arguments: ")
    assert said in str(refused.value)


def test_default_that_is_no_data_is_refused_when_it_would_be_judged() -> None:
    @tool(effect="read")
    def strange(thing: Any = object()) -> None: ...  # noqa: B008

    with pytest.raises(InvalidArguments, match="an argument of strange is no data"):
        strange.normalise({})


@pytest.mark.parametrize("item", ["a\x00", "\ud800"])
def test_argument_that_cannot_be_stored_is_refused(item: str) -> None:
    with pytest.raises((InvalidValue, InvalidArguments), match="order"):
        order.normalise({**NORMAL, "item": item})


class Receipt(BaseModel):
    number: int
    at: datetime
    total: Decimal


class Verdict(Finding):
    risk: str


@tool(effect="read")
def receipt() -> Receipt: ...  # type: ignore[empty-body]
@tool(effect="read")
def number() -> int: ...  # type: ignore[empty-body]
@tool(effect="read")
def nothing() -> None: ...
@tool(effect="read")
def anything() -> Any: ...
@tool(effect="read")
def maybe() -> int | None: ...
@tool(effect="read")
def screen() -> Verdict: ...  # type: ignore[empty-body]


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RESULTS: list[Any] = [
    pytest.param(
        receipt,
        Receipt(number=1, at=NOON, total=Decimal("1.50")),
        {"number": 1, "at": "2026-01-01T12:00:00Z", "total": "1.50"},
        id="model",
    ),
    pytest.param(number, "7", 7, id="coerced as declared"),
    pytest.param(nothing, None, None, id="none"),
    pytest.param(maybe, None, None, id="optional"),
    pytest.param(anything, {"a": [1]}, {"a": [1]}, id="anything plain"),
    pytest.param(anything, {"b": {2: (1, b"x")}}, {"b": {"2": [1, "x"]}}, id="anything that JSON can say"),
    pytest.param(
        screen,
        Verdict(risk="high", needs_approval="x"),
        {"risk": "high", "needs_approval": "x", "replan": None},
        id="finding",
    ),
]


@pytest.mark.parametrize(("declared", "value", "stored"), RESULTS)
def test_result_becomes_plain_data(declared: Any, value: object, stored: object) -> None:
    assert declared.checked_result(value) == stored


@pytest.mark.parametrize(
    ("declared", "value", "error", "said"),
    [
        pytest.param(
            number, "seven", InvalidResult, "tool 'number' returned something else than it declares", id="type"
        ),
        pytest.param(receipt, {"number": 1}, InvalidResult, "at: Field required", id="missing field"),
        pytest.param(nothing, 1, InvalidResult, "something else", id="something for None"),
        pytest.param(anything, "\x00", InvalidValue, "the result of anything contains a NUL", id="NUL"),
        pytest.param(anything, float("inf"), InvalidValue, "JSON does not know", id="Infinity"),
        pytest.param(anything, 2**70, InvalidValue, "beyond 2^53-1", id="big integer"),
        pytest.param(anything, {"a": [float("nan")]}, InvalidValue, "'/a/0' is nan", id="NaN inside"),
        pytest.param(anything, object(), InvalidResult, "tool 'anything' returned what is no data", id="no data"),
        pytest.param(anything, "\ud800", InvalidValue, "surrogate", id="surrogate"),
    ],
)
def test_result_that_is_not_what_was_declared_is_refused(
    declared: Any, value: object, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        declared.checked_result(value)
    assert said in str(refused.value)


def test_randomness_repeats_when_a_step_is_replayed() -> None:
    context = EffectContext(idempotency_key="eff_1", run_id="r", step_id="s", tenant="local", now=NOON, seed=7)
    assert context.random.random() == context.random.random()
    assert context.attempt == 1


@pytest.mark.parametrize(
    "given",
    [{"attempts": 0}, {"attempts": True}, {"attempts": 2.0}, {"first": 1}, {"longest": -SECOND}],
    ids=lambda given: str(next(iter(given))),
)
def test_retry_that_cannot_work_is_refused_when_it_is_made(given: dict[str, Any]) -> None:
    with pytest.raises(ToolMistake, match=rf"^Retry\({next(iter(given))}="):
        Retry(**given)


def test_undo_gets_those_of_the_arguments_that_it_takes() -> None:
    @tool(effect="write", compensate=ship)
    def sell(name: str, price: Decimal) -> str: ...  # type: ignore[empty-body]

    assert sell.undo == "ship"
    assert sell.undo_arguments(sell.normalise({"name": "tea", "price": 1})) == {"name": "tea", "note": "undone"}


def test_retry_has_an_end() -> None:
    assert Retry() == Retry(attempts=3, first=timedelta(seconds=0.5), longest=timedelta(seconds=8))
