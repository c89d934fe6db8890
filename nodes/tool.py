"""Tools: typed Python callables with their behaviour declared, so that the executor knows what to do with doubt.

Invariant: a tool says what it does to the world, what it takes and what it gives; arguments and
results are checked both ways, and what is not declared is assumed to be the worst
(`irreversible`, and in doubt a person is asked).
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints, overload

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_jsonable_python

from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.errors import CallerMistake, InvalidValue
from gatepost.state.values import storable

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=StrEnum)

_DECIMAL_MAGNITUDE = 1000
"""Powers of ten; written out, a decimal beyond it would fill the memory."""


class Finding(BaseModel):
    """A result that also tells the run something: subclass it and add the result's own fields."""

    model_config = ConfigDict(frozen=True)

    needs_approval: str | None = None
    """Why whatever depends on this step needs a person."""
    replan: str | None = None
    """Why the plan should be made anew before anything else happens."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call that failed in passing is made again, under the same key."""

    attempts: int = 3
    first: timedelta = timedelta(seconds=0.5)
    """Before the second attempt; doubled each time, with jitter."""
    longest: timedelta = timedelta(seconds=8)


@dataclass(frozen=True, slots=True)
class EffectContext:
    """What a tool is told about the call it is part of."""

    idempotency_key: str
    """Send this to the provider; it is the same after any crash."""
    run_id: str
    step_id: str
    tenant: str
    now: datetime
    """Stored with the transition: the same when the step is replayed."""
    seed: int
    """As `now`."""
    attempt: int = 1

    @property
    def random(self) -> random.Random:
        """Randomness that a replay repeats."""
        return random.Random(self.seed)


class ToolMistake(CallerMistake):
    """A tool that is declared in a way that cannot work."""


class InvalidArguments(CallerMistake):
    """Arguments that a tool does not take."""


class InvalidResult(CallerMistake):
    """A result that is not what the tool declares."""


@dataclass(frozen=True, eq=False)
class Tool(Generic[P, R]):
    """A callable with its declared behaviour; calling it calls the function."""

    name: str
    function: Callable[P, R]
    effect: EffectClass
    on_doubt: OnDoubt
    version: str
    timeout: timedelta
    retry: Retry
    label: str | None
    """The field of the result that the log shows instead of `ok`."""
    lookup: Callable[..., Any] | None
    compensate: Tool[..., Any] | None
    description: str
    arguments: type[BaseModel]
    result: TypeAdapter[Any]
    takes_context: bool

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function, outside any protocol."""
        return self.function(*args, **kwargs)

    def schema(self) -> dict[str, JsonValue]:
        """JSON Schema of the arguments."""
        schema: dict[str, JsonValue] = self.arguments.model_json_schema()
        return schema

    def normalise(self, args: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Arguments as they will be judged, fingerprinted and sent: checked, defaults filled in, plain.

        Raises:
            InvalidArguments: missing, extra or of the wrong type; the message names each.
            InvalidValue: not storable.
        """
        return _plain(self._validated(args), where=f"an argument of {self.name}")

    def checked_result(self, value: object) -> JsonValue:
        """The result as plain data.

        Raises:
            InvalidResult: not what the tool declares.
            InvalidValue: not storable.
        """
        try:
            checked = self.result.validate_python(value)
        except ValidationError as error:
            raise InvalidResult(
                f"tool {self.name!r} returned something else than it declares: {_said(error)}"
            ) from None
        where = f"the result of {self.name}"
        try:
            # Looked at first, because the dump for JSON makes null of a NaN whose type nobody declared.
            python = self.result.dump_python(checked, warnings=False)
            storable(to_jsonable_python(python, bytes_mode="base64", fallback=str), where=where)
            return storable(self.result.dump_python(checked, mode="json", warnings=False), where=where)
        except PydanticSerializationError as error:
            raise InvalidResult(f"tool {self.name!r} returned what is no data: {error}") from None

    async def call(self, context: EffectContext, args: Mapping[str, JsonValue]) -> Any:
        """Run the function with a timeout: an async one here, a sync one in a thread.

        Raises:
            TimeoutError: it took longer than declared. A thread cannot be stopped; its result is ignored.
        """
        return await self._run(self.function, context, args, takes_context=self.takes_context)

    async def look_up(self, context: EffectContext, args: Mapping[str, JsonValue]) -> Any:
        """Ask the provider whether the effect happened: its result, or None when it did not."""
        assert self.lookup is not None
        return await self._run(self.lookup, context, args, takes_context=True)

    async def _run(
        self,
        function: Callable[..., Any],
        context: EffectContext,
        args: Mapping[str, JsonValue],
        *,
        takes_context: bool,
    ) -> Any:
        model = self._validated(args)
        given = {name: getattr(model, name) for name in type(model).model_fields}
        before = (context,) if takes_context else ()
        with anyio.fail_after(self.timeout.total_seconds()):
            if inspect.iscoroutinefunction(function):
                return await function(*before, **given)
            return await anyio.to_thread.run_sync(lambda: function(*before, **given), abandon_on_cancel=True)

    def _validated(self, args: Mapping[str, JsonValue]) -> BaseModel:
        try:
            return self.arguments.model_validate(dict(args))
        except ValidationError as error:
            raise InvalidArguments(f"tool {self.name!r} does not take these arguments: {_said(error)}") from None


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    effect: str = ...,
    on_doubt: str = ...,
    name: str | None = ...,
    version: str = ...,
    timeout: timedelta = ...,
    retry: Retry = ...,
    label: str | None = ...,
    lookup: Callable[..., Any] | None = ...,
    compensate: Tool[..., Any] | None = ...,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    effect: str = "irreversible",
    on_doubt: str = "ask",
    name: str | None = None,
    version: str = "1",
    timeout: timedelta = timedelta(seconds=30),
    retry: Retry = Retry(),
    label: str | None = None,
    lookup: Callable[..., Any] | None = None,
    compensate: Tool[..., Any] | None = None,
) -> Any:
    """Declare a function as a tool.

    Its first parameter may be an `EffectContext`; the others need type annotations, and so does
    what it returns. Sync and async functions work alike.

    Args:
        function: the function, when used as a bare `@tool`.
        effect: `read` (may be repeated), `write` (can be undone) or `irreversible`.
        on_doubt: how it is found out whether a call that we did not see the end of happened:
            `retry` (the provider dedupes on `ctx.idempotency_key`), `lookup` (ask `lookup`), `ask` (a person).
        name: how plans name it; the function's name.
        version: of its behaviour; recorded with every effect, never part of its identity.
        timeout: of one call.
        retry: of calls that failed in passing.
        label: the field of the result that the log shows.
        lookup: `(ctx, **arguments) -> result | None`.
        compensate: the tool that undoes it, called with the same arguments.

    Raises:
        ToolMistake: the declaration cannot work; says why.
    """

    def declare(target: Callable[P, R]) -> Tool[P, R]:
        return _declare(
            target,
            name=name or target.__name__,
            effect=_member(EffectClass, effect, of=target),
            on_doubt=_member(OnDoubt, on_doubt, of=target),
            version=version,
            timeout=timeout,
            retry=retry,
            label=label,
            lookup=lookup,
            compensate=compensate,
        )

    return declare if function is None else declare(function)


def _member(kind: type[E], word: str, *, of: Callable[..., Any]) -> E:
    if word not in set(kind):
        raise ToolMistake(f"tool {of.__name__!r}: {word!r} is none of {', '.join(map(repr, map(str, kind)))}.")
    return kind(word)


def _declare(function: Callable[P, R], **declared: Any) -> Tool[P, R]:
    name = declared["name"]
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    takes_context = bool(parameters) and hints.get(parameters[0].name) is EffectContext
    fields: dict[str, Any] = {}
    for parameter in parameters[1:] if takes_context else parameters:
        if parameter.name not in hints or parameter.kind not in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            raise ToolMistake(f"tool {name!r}: parameter {parameter.name!r} needs a name and a type annotation.")
        fields[parameter.name] = (
            hints[parameter.name],
            ... if parameter.default is parameter.empty else parameter.default,
        )
    if "return" not in hints:
        raise ToolMistake(f"tool {name!r}: say what it returns (a type annotation; None is one).")
    if declared["on_doubt"] is OnDoubt.LOOKUP and declared["lookup"] is None:
        raise ToolMistake(f"tool {name!r}: on_doubt='lookup' needs lookup=(a function).")
    if declared["on_doubt"] is OnDoubt.TRANSACTION:
        raise ToolMistake(f"tool {name!r}: on_doubt='transaction' is not supported yet; use 'lookup' or 'ask'.")
    model = create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid", frozen=True), **fields)
    return Tool(
        function=function,
        description=inspect.getdoc(function) or "",
        arguments=model,
        result=TypeAdapter(hints["return"]),
        takes_context=takes_context,
        **declared,
    )


def _plain(model: BaseModel, *, where: str) -> dict[str, JsonValue]:
    try:
        plain = to_jsonable_python(_decimals(model.model_dump(mode="python")))
    except PydanticSerializationError as error:
        raise InvalidArguments(f"{where} is no data: {error}") from None
    storable(plain, where=where)
    result: dict[str, JsonValue] = plain
    return result


def _decimals(value: Any) -> Any:
    """Equal decimals are one text: 1.50 and 1.5 must not be two fingerprints."""
    if isinstance(value, Decimal):
        return _decimal_text(value)
    if isinstance(value, dict):
        return {key: _decimals(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_decimals(member) for member in value]
    return value


def _decimal_text(value: Decimal) -> str:
    """Every digit: `Decimal.normalize()` would round an amount to 28 of them."""
    if value and abs(value.adjusted()) > _DECIMAL_MAGNITUDE:
        raise InvalidValue(f"the decimal {value!s:.40} is beyond 10^±{_DECIMAL_MAGNITUDE}. Send it as a text.")
    text = f"{value:f}" if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _said(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'value'}: {item['msg']}" for item in error.errors())


AnyTool = Tool[..., Any]
Lookup = Callable[..., Awaitable[Any] | Any]
