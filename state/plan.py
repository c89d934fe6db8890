"""Plans: a versioned DAG of steps, validated once when it enters.

Invariant: a `Plan` that exists is well-formed (ids unique, needs known, no cycle), so whoever
holds one never asks again. Whether it fits the tools and what already happened is asked where
it enters a run (`nodes.planner`). Stored as plain data with its schema version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, TypeAlias, cast, get_args

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from gatepost.state.errors import InvalidPlan, InvalidValue, UnknownVersion
from gatepost.state.ids import is_step_id
from gatepost.state.record import Record
from gatepost.state.reference import RUN_INPUT, parse_ref, references
from gatepost.state.values import storable

Origin: TypeAlias = Literal["file", "person", "model"]

PLAN_SCHEMA = 1
MAX_STEPS = 20_000
PLAN_SCALE = 32
"""A plan may hold this many times what one value may; the arguments of each step keep to the limit of one."""


def origin_word(word: str) -> Origin:
    """Who wrote a plan, as a word that somebody typed.

    Raises:
        InvalidValue: it is none of the words.
    """
    if word not in get_args(Origin):
        raise InvalidValue(f"{word!r:.80} is no origin of a plan; it is one of {', '.join(get_args(Origin))}.")
    return cast("Origin", word)


class Condition(Record):
    """Runs its step only when the value at `ref` compares so; otherwise the step is skipped."""

    ref: str
    """`<step id>#<JSON pointer>`, as in `Ref`."""
    op: Literal["equals", "differs", "in", "present"] = "equals"
    value: JsonValue = None


class Step(Record):
    """One step: which tool, with which arguments, after which steps."""

    id: str
    """Unique in the run for ever, across plan versions."""
    tool: str
    args: dict[str, JsonValue] = Field(default_factory=dict)
    """May hold `{"$ref": "<step id>#<JSON pointer>"}` anywhere: the output of an earlier step."""
    needs: tuple[str, ...] = ()
    """Steps that must have succeeded before; steps referred to in `args`, `when` and `relies_on` are added."""
    when: Condition | None = None
    relies_on: dict[str, timedelta] = Field(default_factory=dict)
    """Reads whose outputs must not be older than so long (seconds, or ISO 8601: `P1D`) when the step's call is made;
    older ones are read again first. They are added to `needs`."""

    @field_validator("relies_on")
    @classmethod
    def _of_some_age(cls, value: dict[str, timedelta]) -> dict[str, timedelta]:
        for fact, allowed in value.items():
            if allowed <= timedelta(0):
                raise ValueError(f"{fact!r} may be {allowed} old: give more than no time, in seconds or as 'PT5M'")
            if fact == RUN_INPUT:
                raise ValueError(f"{RUN_INPUT!r} is what the run was started with; it cannot be read again")
        return value

    @field_validator("id")
    @classmethod
    def _id_travels(cls, value: str) -> str:
        if not is_step_id(value) or value == RUN_INPUT:
            raise ValueError(
                f"step id {value!r:.80}: use 1 to 64 lower-case letters, digits and _, starting with a letter "
                f"({RUN_INPUT!r} is reserved)"
            )
        return value

    @model_validator(mode="after")
    def _needs_what_it_refers_to(self) -> Step:
        refs = [*references(self.args), *([self.when.ref] if self.when else [])]
        wanted = dict.fromkeys(
            [*self.needs, *self.relies_on, *(step for step, _ in map(parse_ref, refs) if step != RUN_INPUT)]
        )
        object.__setattr__(self, "needs", tuple(wanted))
        return self


class Plan(Record):
    """A version of the plan of one run."""

    schema_version: Literal[1] = 1
    version: int = 1
    steps: tuple[Step, ...]
    final: bool = True
    """False: when all steps are done, the strategy is asked again (a state machine's next segment)."""
    origin: Origin = "file"
    """Who wrote it. A policy may look at it; the planner sets it from what the strategy says of itself."""
    reason: str = ""
    """Why this version exists ("more documents asked for by alice")."""

    @model_validator(mode="after")
    def _well_formed(self) -> Plan:
        if len(self.steps) > MAX_STEPS:
            raise ValueError(f"the plan has {len(self.steps)} steps; at most {MAX_STEPS} are allowed")
        known: set[str] = set()
        for step in self.steps:
            if step.id in known:
                raise ValueError(f"step id {step.id!r} is used twice")
            known.add(step.id)
        for step in self.steps:
            if missing := [need for need in step.needs if need not in known]:
                raise ValueError(
                    f"step {step.id!r} needs {', '.join(map(repr, missing))}, which the plan does not have"
                )
        if self._in_order():
            return self
        try:
            TopologicalSorter({step.id: step.needs for step in self.steps}).prepare()
        except CycleError as error:
            raise ValueError(f"steps need each other in a circle: {' → '.join(error.args[1])}") from None
        return self

    def _in_order(self) -> bool:
        """Whether each step comes after those it needs, as most plans are written: there is no circle then."""
        before: set[str] = set()
        for step in self.steps:
            if not before.issuperset(step.needs):
                return False
            before.add(step.id)
        return True

    @cached_property
    def by_id(self) -> Mapping[str, Step]:
        """The steps by id."""
        return {step.id: step for step in self.steps}


def plan_of(data: object) -> Plan:
    """Validate plain data into a `Plan`.

    Raises:
        InvalidPlan: with every reason, readable.
        InvalidValue: a value in it cannot be stored.
        UnknownVersion: written under another schema version.
    """
    if isinstance(data, Plan):
        storable(data.model_dump(mode="json"), where="the plan", scale=PLAN_SCALE)
        return data
    if isinstance(data, dict):
        readable(data)
    storable(data, where="the plan", scale=PLAN_SCALE)
    try:
        return Plan.model_validate(data)
    except ValidationError as error:
        reasons = "; ".join(_reason(item) for item in error.errors())
        raise InvalidPlan(f"the plan cannot be used: {reasons}. Correct it and plan again.") from None


def readable(data: dict[str, Any]) -> dict[str, Any]:
    """The plain data of a plan, if it was written under a schema version that this release reads.

    Raises:
        UnknownVersion: it was not.
    """
    if data.get("schema_version", PLAN_SCHEMA) != PLAN_SCHEMA:
        raise UnknownVersion(
            f"the plan has schema_version {data.get('schema_version')!r}; this release reads {PLAN_SCHEMA}. "
            "Finish the run with the release that wrote it, or upgrade Gatepost."
        )
    return data


def _reason(item: Mapping[str, object]) -> str:
    place = ".".join(str(part) for part in item["loc"])  # type: ignore[attr-defined]
    return f"{place}: {item['msg']}" if place else str(item["msg"])
