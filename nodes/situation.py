"""Situations: what a strategy plans from, and how it asks a model so that the answer can be replayed."""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from pydantic import JsonValue

from gatepost.state.plan import Plan
from gatepost.state.step import StepRecord

Model: TypeAlias = Callable[[JsonValue], JsonValue | Awaitable[JsonValue]]
"""Answers a prompt, sync or async: plain data to plain data."""


class Recorder(Protocol):
    """Who remembers what models said."""

    async def ask(self, prompt: JsonValue, model: Model) -> JsonValue:
        """The answer on record, or the model's, recorded."""
        ...


class Unrecorded:
    """Asks every time: a situation that a test made up."""

    async def ask(self, prompt: JsonValue, model: Model) -> JsonValue:
        """The model's answer."""
        return await answer_of(model, prompt)


@dataclass(frozen=True, slots=True)
class Response:
    """What made a new plan necessary: a person's text or a step's finding."""

    source: str
    """`approval` or `step`."""
    who: str
    """The principal, or the step."""
    text: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What a strategy plans from. Read-only."""

    goal: str
    input: Mapping[str, JsonValue]
    plan: Plan | None
    """The version in force; None at the start."""
    steps: Mapping[str, StepRecord]
    """The latest record of each step that has one."""
    responses: tuple[Response, ...]
    """All of the run so far, oldest first."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """Stored with the transition: the same when the run is replayed. A clock that is read directly is not."""
    seed: int = 0
    """As `now`."""
    asking: Recorder = field(default_factory=Unrecorded, repr=False, compare=False)
    """Behind `ask`."""

    @property
    def random(self) -> random.Random:
        """Randomness that a replay repeats."""
        return random.Random(self.seed)

    async def ask(self, prompt: JsonValue, model: Model) -> JsonValue:
        """Ask a model, once: the answer is recorded before anything follows from it.

        A process that dies after the answer does not pay for it again, and a replay takes it from the record:
        `await situation.ask({"task": "plan", "goal": situation.goal}, call_the_model)`.

        Args:
            prompt: plain data that says everything the answer depends on, the model's name included.
            model: asked only where no answer to this prompt is on record; takes the prompt, gives plain data.
        """
        return await self.asking.ask(prompt, model)


async def answer_of(model: Model, prompt: JsonValue) -> JsonValue:
    """Ask a model, sync or async."""
    answer = model(prompt)
    return await answer if inspect.isawaitable(answer) else answer
