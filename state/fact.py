"""Facts that are demanded: which reading an action must rest on, how old that may be, and what matters about it.

Invariant: a demand is declared in code, on a tool or a gate, and never in a plan: a model writes plans. A plan may ask
for more than is demanded, never for less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from gatepost.state.errors import CallerMistake

Material: TypeAlias = Callable[[Any, Any], bool] | Sequence[str] | Mapping[str, float]
"""Which differences between two readings matter: pointers, pointers with tolerances, or `(was, now) -> bool`."""
_EXAMPLE = "relies_on={'quote': timedelta(days=1)}"


class InvalidFact(CallerMistake):
    """A demand that nothing could meet, or that says something else than it seems to."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What an action demands of a reading that it rests on.

        @tool(effect="write", relies_on={"quote": Fact(within=timedelta(days=1), material={"/price": 0.5})})

    Raises:
        InvalidFact: no time, or nothing that could matter.
    """

    within: timedelta
    """How old the reading may be when the action's call is made."""
    material: Material | None = None
    """Which differences matter to this action, in place of what the read's tool says; None: what that says."""

    def __post_init__(self) -> None:
        within: object = self.within
        if not isinstance(within, timedelta) or within <= timedelta(0):
            raise InvalidFact(f"Fact(within={within!r}): give more than no time, for example timedelta(days=1).")
        if problem := wrong_with(self.material):
            raise InvalidFact(f"Fact: {problem}")


def facts_of(value: object, *, where: str) -> dict[str, Fact]:
    """Demands as they were declared, by the name of the tool that reads.

    Raises:
        InvalidFact: no mapping of names to times or facts.
    """
    if not isinstance(value, Mapping):
        raise InvalidFact(f"{where}: relies_on={value!r:.80}: name what reads it, and how old it may be: {_EXAMPLE}.")
    return {_name(name, where): _fact(name, fact, where) for name, fact in value.items()}


def wrong_with(material: object) -> str | None:
    """Why a declaration of what matters cannot work; None: it can."""
    if material is None or callable(material):
        return None
    if isinstance(material, str) or not isinstance(material, Sequence | Mapping):
        return f"material={material!r:.80} is no list of pointers: material=['/price']."
    if wrong := [place for place in material if not isinstance(place, str) or (place and not place.startswith("/"))]:
        return f"material: {wrong[0]!r:.80} is no JSON pointer; write '/price'."
    return None


def _name(name: object, where: str) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidFact(f"{where}: relies_on names {name!r:.80}, which is no tool: {_EXAMPLE}.")
    return name


def _fact(name: object, fact: object, where: str) -> Fact:
    if isinstance(fact, Fact):
        return fact
    try:
        return Fact(within=fact)  # type: ignore[arg-type]
    except InvalidFact:
        raise InvalidFact(
            f"{where}: relies_on[{name!r:.80}] is {fact!r:.80}: say how old it may be ({_EXAMPLE}), or "
            "Fact(within=timedelta(days=1), material=['/price'])."
        ) from None
