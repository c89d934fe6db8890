"""The decorator `@tool`, and everything about a tool that can be known to be wrong before it ever runs.

Invariant: a declaration that cannot work is refused where it is written, never in the middle of a
run; what is not declared is assumed to be the worst (`irreversible`, and in doubt a person is asked).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

from pydantic import BaseModel

from gatepost.nodes.cost import check_cost
from gatepost.nodes.facts import check_material
from gatepost.nodes.langchain import is_langchain
from gatepost.nodes.reaction import OnFailure, on_failure_of
from gatepost.nodes.signature import arguments_model, of_langchain, result_type, signature_of
from gatepost.nodes.tool import AnyTool, Retry, Tool, ToolMistake
from gatepost.state.effect import EffectClass, OnDoubt
from gatepost.state.fact import Fact, Material, facts_of
from gatepost.state.gate import Gate

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=StrEnum)

_RETRY = Retry()
_AS_THE_TABLE_SAYS: OnFailure = MappingProxyType({})
_ON_NOTHING: Mapping[str, Fact | timedelta] = MappingProxyType({})


class Declaring(Protocol):
    """What `@tool(…)` gives: it makes a tool of what it is put on."""

    @overload
    def __call__(self, function: BaseTool, /) -> AnyTool: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(function: BaseTool, /) -> AnyTool: ...
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
    settle: timedelta | None = ...,
    window: timedelta | None = ...,
    compensate: Tool[..., Any] | None = ...,
    on_failure: OnFailure = ...,
    step_timeout: timedelta | None = ...,
    provider: str | None = ...,
    gate: Gate | None = ...,
    cost: int | str = ...,
    material: Material | None = ...,
    relies_on: Mapping[str, Fact | timedelta] = ...,
) -> Declaring: ...
def tool(
    function: Callable[..., Any] | BaseTool | None = None,
    /,
    *,
    effect: str = "irreversible",
    on_doubt: str = "ask",
    name: str | None = None,
    version: str = "1",
    timeout: timedelta = timedelta(seconds=30),
    retry: Retry = _RETRY,
    label: str | None = None,
    lookup: Callable[..., Any] | None = None,
    settle: timedelta | None = None,
    window: timedelta | None = None,
    compensate: Tool[..., Any] | None = None,
    on_failure: OnFailure = _AS_THE_TABLE_SAYS,
    step_timeout: timedelta | None = None,
    provider: str | None = None,
    gate: Gate | None = None,
    cost: int | str = 0,
    material: Material | None = None,
    relies_on: Mapping[str, Fact | timedelta] = _ON_NOTHING,
) -> Any:
    """Declare a function as a tool.

    Its first parameter may be an `EffectContext`; the others need type annotations, and so does
    what it returns. Sync and async functions work alike; a tool of LangChain is declared by `tool(effect=…)(theirs)`.

    Args:
        function: the function, when used as a bare `@tool`.
        effect: `read` (may be repeated), `write` (can be undone) or `irreversible`.
        on_doubt: how it is found out whether a call that we did not see the end of happened:
            `retry` (the provider dedupes on `ctx.idempotency_key`), `lookup` (ask `lookup`), `ask` (a person),
            `transaction` (the effect is SQL on `ctx.connection`, in our database, and commits with its own result).
        name: how plans name it; the function's name.
        version: of its behaviour; recorded with every effect, never part of its identity.
        timeout: of one call.
        retry: of calls that failed in passing.
        label: the field of the result that the log shows.
        lookup: `(ctx, **arguments) -> result | None`, for `on_doubt="lookup"`.
        settle: with `lookup`: how long after the timeout a request may still arrive and take effect. A look-up
            that finds nothing is believed only then; a request that arrives later still is made twice.
        window: with `on_doubt="retry"`: how long the provider remembers a key, from its first use.
            After it a person is asked. None: for ever.
        compensate: the tool that undoes it. It gets those of the arguments that it takes, by name, and
            `ctx.undoes`: key, arguments and result of what it undoes.
        on_failure: what is done about a class of failure: `retry`, `park`, `replan`, `compensate`, `escalate` or
            `fail`, or several in turn: `{"auth": "escalate", "bug": ("retry", "fail")}`.
        step_timeout: of all attempts together, from the first; none begins after it.
        provider: who is called, by any name. When it fails several times in a row, or asks for fewer calls, all
            workers leave it alone for a while, and then let one call through to see.
        gate: who must answer for it where the policy asks a person, how many and until when.
        cost: of one call, in whole units that all tools share (cents, tokens), or the name of the argument (a whole
            number) that holds it. Policies see it, and what the run has spent.
        material: of a read that steps rely on: which differences matter when it is read again: JSON pointers into the
            result (`["/price"]`), pointers with tolerances (`{"/price": 0.5}`), or `(was, now) -> bool`; None: all.
        relies_on: reads, by the names of their tools, that its steps must rest on, and how old they may be when it is
            called: `{"quote": timedelta(days=1)}`, or `{"quote": Fact(timedelta(days=1), material=["/price"])}`.
            A plan in which such a reading leads to the step is completed; another one is refused.

    Raises:
        ToolMistake: the declaration cannot work; says why.
    """

    def declare(target: Any) -> Any:
        called = target.name if is_langchain(target) else getattr(target, "__name__", "")
        return _declare(
            target,
            name=name if name is not None else called,
            effect=effect,
            on_doubt=on_doubt,
            version=version,
            timeout=timeout,
            retry=retry,
            label=label,
            lookup=lookup,
            settle=settle,
            window=window,
            compensate=compensate,
            on_failure=on_failure,
            step_timeout=step_timeout,
            provider=provider,
            gate=gate,
            cost=cost,
            material=material,
            relies_on=relies_on,
        )

    return declare if function is None else declare(function)


def _declare(target: Any, **declared: Any) -> AnyTool:
    name: object = declared["name"]
    if not (inspect.isroutine(target) or is_langchain(target)) or not isinstance(name, str) or not name:
        raise ToolMistake(f"tool {name!r}: {_named(target)} is no function with a name.")
    declared["effect"] = _member(EffectClass, declared["effect"], of=name)
    declared["on_doubt"] = _member(OnDoubt, declared["on_doubt"], of=name)
    _check_kinds(name, declared)
    declared["on_failure"] = on_failure_of(declared["on_failure"], where=f"tool {name!r}")
    signature = of_langchain(cast("BaseTool", target)) if is_langchain(target) else signature_of(target, name)
    arguments = arguments_model(name, signature.fields)
    does = declared["effect"] is not EffectClass.READ
    transacts = does and signature.takes_context and inspect.iscoroutinefunction(signature.function)
    _check_doubt(name, {**declared, "transacts": transacts}, arguments)
    _check_undo(name, declared, arguments)
    check_cost(name, declared["cost"], arguments)
    check_material(name, declared["effect"], declared["material"])
    declared["relies_on"] = facts_of(declared["relies_on"], where=f"tool {name!r}")
    return Tool(
        function=signature.function,
        description=signature.description,
        arguments=arguments,
        result=result_type(name, signature.returns),
        takes_context=signature.takes_context,
        **declared,
    )


def _member(kind: type[E], word: object, *, of: str) -> E:
    if not isinstance(word, str) or word not in set(kind):
        raise ToolMistake(f"tool {of!r}: {word!r} is none of {', '.join(map(repr, map(str, kind)))}.")
    return kind(word)


def _check_kinds(name: str, declared: dict[str, Any]) -> None:
    """Each setting is of its kind: a number of seconds is no time, a number of attempts no `Retry`."""
    for setting in ("timeout", "settle", "window", "step_timeout"):
        value = declared[setting]
        if value is None and setting != "timeout":
            continue
        shortest = timedelta(0) if setting == "settle" else timedelta(microseconds=1)
        if not isinstance(value, timedelta) or value < shortest:
            raise ToolMistake(f"tool {name!r}: {setting}={value!r} is no length of time: timedelta(seconds=30).")
    if not isinstance(declared["retry"], Retry):
        raise ToolMistake(f"tool {name!r}: retry={declared['retry']!r} is no Retry: Retry(attempts=3).")
    if declared["gate"] is not None and not isinstance(declared["gate"], Gate):
        raise ToolMistake(f"tool {name!r}: gate={declared['gate']!r:.80} is no Gate: Gate(roles=('finance',)).")
    for setting in ("version", "label", "provider"):
        if not isinstance(declared[setting], str) and not (setting != "version" and declared[setting] is None):
            raise ToolMistake(f"tool {name!r}: {setting}={declared[setting]!r} is no text.")


def _check_doubt(name: str, declared: dict[str, Any], arguments: type[BaseModel]) -> None:
    on_doubt, lookup = declared["on_doubt"], declared["lookup"]
    if on_doubt is OnDoubt.TRANSACTION and not declared["transacts"]:
        raise ToolMistake(
            f"tool {name!r}: on_doubt='transaction' is for async functions with an EffectContext that have an effect: "
            "they do it on ctx.connection, which commits with their result."
        )
    for setting, goes_with in (("lookup", OnDoubt.LOOKUP), ("settle", OnDoubt.LOOKUP), ("window", OnDoubt.RETRY)):
        if declared[setting] is not None and on_doubt is not goes_with:
            raise ToolMistake(
                f"tool {name!r}: {setting}= goes with on_doubt={str(goes_with)!r}; this is {str(on_doubt)!r}."
            )
    if declared["window"] is not None and declared["window"] <= declared["timeout"]:
        raise ToolMistake(f"tool {name!r}: window= is not longer than timeout=, so no call could ever be repeated.")
    if on_doubt is not OnDoubt.LOOKUP:
        return
    if lookup is None:
        raise ToolMistake(f"tool {name!r}: on_doubt='lookup' needs lookup=(a function).")
    if declared["settle"] is None:
        raise ToolMistake(
            f"tool {name!r}: on_doubt='lookup' needs settle=(a timedelta): how long after its timeout a request may "
            "still take effect. Before that, a look-up that finds nothing proves nothing."
        )
    _check_lookup(name, lookup, arguments)


def _check_lookup(name: str, lookup: object, arguments: type[BaseModel]) -> None:
    if not callable(lookup):
        raise ToolMistake(f"tool {name!r}: lookup={lookup!r:.80} is no function.")
    given = dict.fromkeys(arguments.model_fields)
    try:
        inspect.signature(lookup).bind(None, **given)
    except TypeError as error:
        shown = ", ".join(["ctx", *given])
        raise ToolMistake(f"tool {name!r}: its look-up is called as lookup({shown}): {error}.") from None


def _check_undo(name: str, declared: dict[str, Any], arguments: type[BaseModel]) -> None:
    undo = declared["compensate"]
    if undo is None:
        return
    if declared["effect"] is EffectClass.READ:
        raise ToolMistake(f"tool {name!r}: a read leaves nothing to undo; leave compensate= out.")
    if not isinstance(undo, Tool):
        raise ToolMistake(f"tool {name!r}: compensate={_named(undo)} is no tool. Declare it with @tool first.")
    if undo.effect is EffectClass.READ:
        raise ToolMistake(f"tool {name!r}: its undo {undo.name!r} is a read, and undoes nothing.")
    needed = {field for field, info in undo.arguments.model_fields.items() if info.is_required()}
    if missing := sorted(needed - set(arguments.model_fields)):
        raise ToolMistake(
            f"tool {name!r}: its undo {undo.name!r} needs {', '.join(missing)}, which {name!r} does not take. An undo "
            "gets the arguments of what it undoes, by name; ctx.undoes has the rest, the result included."
        )


def _named(thing: object) -> str:
    return str(getattr(thing, "__name__", None) or f"{thing!r:.80}")
