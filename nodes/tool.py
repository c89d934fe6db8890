"""Tools: typed Python callables with their behaviour declared, so that the executor knows what to do with doubt.

Invariant: a tool says what it does to the world, what it takes and what it gives; arguments and
results are checked both ways. How a tool is declared is in `nodes.decorator`.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from gatepost.checkpointing.pool import Connection
from gatepost.nodes.decimals import decimals
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.errors import CallerMistake
from gatepost.state.fact import Fact
from gatepost.state.failure import Reaction
from gatepost.state.gate import Gate
from gatepost.state.values import storable

P = ParamSpec("P")
R = TypeVar("R")


class Finding(BaseModel):
    """A result that also tells the run something: subclass it and add the result's own fields."""

    model_config = ConfigDict(frozen=True)

    needs_approval: str | None = None
    """Why whatever depends on this step needs a person."""
    replan: str | None = None
    """Why the plan should be made anew before anything else happens."""


class ToolMistake(CallerMistake):
    """A tool that is declared in a way that cannot work."""


class InvalidArguments(CallerMistake):
    """Arguments that a tool does not take."""


class InvalidResult(CallerMistake):
    """A result that is not what the tool declares."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call that failed in passing is made again, under the same key.

    Raises:
        ToolMistake: no attempts, or a pause that is no time.
    """

    attempts: int = 3
    """All of them, the first included."""
    first: timedelta = timedelta(seconds=0.5)
    """Before the second attempt; doubled each time, with jitter."""
    longest: timedelta = timedelta(seconds=8)

    def __post_init__(self) -> None:
        attempts: object = self.attempts
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise ToolMistake(f"Retry(attempts={attempts!r}): give a whole number, at least 1.")
        for name in ("first", "longest"):
            pause: object = getattr(self, name)
            if not isinstance(pause, timedelta) or pause < timedelta(0):
                raise ToolMistake(f"Retry({name}={pause!r}): give a timedelta, for example timedelta(seconds=2).")


@dataclass(frozen=True, slots=True)
class Undone:
    """The effect that an undo takes back, as the ledger has it."""

    key: str
    """The idempotency key it was made under."""
    arguments: Mapping[str, JsonValue]
    result: JsonValue
    """What the tool returned, as plain data."""


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
    undoes: Undone | None = None
    """In a call that undoes another: what it undoes."""
    connection: Connection | None = None
    """With `on_doubt="transaction"`: the transaction that commits with the result. Rows are dicts."""

    @property
    def random(self) -> random.Random:
        """Randomness that a replay repeats."""
        return random.Random(self.seed)


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
    settle: timedelta | None
    """How long after its timeout a request may still take effect; before that a look-up's "no" is not believed."""
    window: timedelta | None
    """How long the provider remembers a key; None means for ever."""
    compensate: Tool[..., Any] | None
    on_failure: Mapping[str, tuple[Reaction, ...]]
    """What is done about classes of failure, where that is not what the table says (`state.failure`)."""
    step_timeout: timedelta | None
    """Of all attempts together."""
    provider: str | None
    """Who is called: what all tools of one provider know of its bad times, they know together."""
    gate: Gate | None
    """Who must answer where the policy asks a person; a workflow may say otherwise."""
    cost: int | str
    """Of one call, in whole units of the deployment's choice; a text names the argument that holds it."""
    material: Callable[[Any, Any], bool] | Sequence[str] | Mapping[str, float] | None
    """Of a read: which differences between two readings matter to what relies on it; None: all."""
    relies_on: Mapping[str, Fact]
    """What its steps must rest on, whoever plans them: reads by the names of their tools."""
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

    def pinned(self, args: Mapping[str, JsonValue], planned: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Arguments exactly as they were approved or sent, if to an earlier version of the tool: nothing is filled in.

        Args:
            args: as they were.
            planned: as the plan says now.

        Raises:
            InvalidArguments: the tool does not take them any more, or the plan says others by now.
            InvalidValue: not storable.
        """
        self._validated(args)
        now = self.normalise(planned)
        if other := [name for name, value in args.items() if now.get(name) != value]:
            changed = ", ".join(sorted(other))
            raise InvalidArguments(
                f"tool {self.name!r}: by now {changed} would be other than it was approved or begun with. "
                "Nothing was called."
            )
        return dict(args)

    def cost_of(self, args: Mapping[str, JsonValue]) -> int:
        """What a call with these arguments costs; never less than nothing."""
        value = args.get(self.cost) if isinstance(self.cost, str) else self.cost
        return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0

    @property
    def undo(self) -> str | None:
        """The name of the tool that undoes it."""
        return self.compensate.name if self.compensate else None

    def undo_arguments(self, args: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The arguments of the undo: of the undone call's, those that it takes.

        Raises:
            InvalidArguments: the undo does not take their values.
            InvalidValue: not storable.
        """
        assert self.compensate is not None
        taken = self.compensate.arguments.model_fields
        return self.compensate.normalise({name: value for name, value in args.items() if name in taken})

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

    async def call(
        self, context: EffectContext, args: Mapping[str, JsonValue], *, within: timedelta | None = None
    ) -> Any:
        """Run the function with a timeout: an async one here, a sync one in a thread.

        Args:
            context: told to the function, if it takes one.
            args: plain data.
            within: the time that is left, where that is less than the declared timeout.

        Raises:
            TimeoutError: it took longer. A thread cannot be stopped; its result is ignored.
        """
        limit = self.timeout if within is None else min(within, self.timeout)
        return await self._run(self.function, context, args, takes_context=self.takes_context, limit=limit)

    async def look_up(self, context: EffectContext, args: Mapping[str, JsonValue]) -> Any:
        """Ask the provider whether the effect happened: its result, or None when it did not."""
        assert self.lookup is not None
        return await self._run(self.lookup, context, args, takes_context=True, limit=self.timeout)

    async def _run(
        self,
        function: Callable[..., Any],
        context: EffectContext,
        args: Mapping[str, JsonValue],
        *,
        takes_context: bool,
        limit: timedelta,
    ) -> Any:
        model = self._validated(args)
        given = {name: getattr(model, name) for name in type(model).model_fields}
        before = (context,) if takes_context else ()
        # As anyio.move_on_after, which finds out anew, twice a call, that this is asyncio.
        with anyio.CancelScope(deadline=asyncio.get_running_loop().time() + limit.total_seconds()) as scope:
            if inspect.iscoroutinefunction(function):
                return await function(*before, **given)
            return await anyio.to_thread.run_sync(lambda: function(*before, **given), abandon_on_cancel=True)
        assert scope.cancelled_caught
        raise TimeoutError(f"no answer within {limit.total_seconds():g} s")

    def _validated(self, args: Mapping[str, JsonValue]) -> BaseModel:
        try:
            return self.arguments.model_validate(dict(args))
        except ValidationError as error:
            raise InvalidArguments(f"tool {self.name!r} does not take these arguments: {_said(error)}") from None


def _plain(model: BaseModel, *, where: str) -> dict[str, JsonValue]:
    try:
        plain = to_jsonable_python(decimals(model.model_dump(mode="python")))
    except PydanticSerializationError as error:
        raise InvalidArguments(f"{where} is no data: {error}") from None
    storable(plain, where=where)
    result: dict[str, JsonValue] = plain
    return result


def _said(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'value'}: {item['msg']}" for item in error.errors())


AnyTool = Tool[..., Any]
