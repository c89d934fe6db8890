"""Workflows: what a goal means here: who plans it, with which tools, and what it leaves behind.

A strategy is asked for the next plan version whenever there is none, a person answered with text,
a step called for it, or a segment ended; it answers with a plan or with None for "nothing more".
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, JsonValue, PydanticUserError, TypeAdapter, ValidationError

from gatepost.nodes import declaration
from gatepost.nodes.cost import check_budget
from gatepost.nodes.lookalike import refuse_lookalikes
from gatepost.nodes.policy import Policy
from gatepost.nodes.policy_sets import set_of
from gatepost.nodes.reaction import OnFailure, on_failure_of
from gatepost.nodes.situation import Situation
from gatepost.nodes.tool import AnyTool, ToolMistake
from gatepost.state.artifact import Artifact
from gatepost.state.checkpoints import CheckpointPolicy, checked
from gatepost.state.errors import InvalidValue
from gatepost.state.form import takes_of
from gatepost.state.gate import Gate, gates_of
from gatepost.state.plan import Origin, Plan, origin_word
from gatepost.state.recovery import Mode
from gatepost.state.status import RunStatus
from gatepost.state.step import StepRecord
from gatepost.state.values import storable


class Strategy(Protocol):
    """Who plans.

    Who wrote its plans is what it says itself, once for all: `origin = "file"` or `"person"`. Of one that does not
    say, they count as a model's, whatever is written in them.

    One that never makes another plan says so with `takes_responses = False`: then nobody is offered to
    answer an approval with a text for the planner.
    """

    def plan(self, situation: Situation) -> Plan | None | Awaitable[Plan | None]:
        """The next plan version (its number is set by the planner), or None for nothing more to do."""
        ...


@dataclass(frozen=True, slots=True)
class FixedPlan:
    """The strategy that always has the same plan. Whether that fits the tools is checked by `build_graph`.

    Raises:
        ToolMistake: it is given something else than a plan.
    """

    steps: Plan
    takes_responses: ClassVar[bool] = False
    origin: ClassVar[Origin] = "file"

    def __post_init__(self) -> None:
        """Refuse what is no plan."""
        if not isinstance(self.steps, Plan):
            raise ToolMistake(
                f"FixedPlan takes a Plan, not a {type(self.steps).__name__}: FixedPlan(Plan(steps=(Step(…), …)))."
            )

    def plan(self, situation: Situation) -> Plan | None:
        """The plan, until it is in force."""
        return self.steps if situation.plan is None else None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends, for the workflow to conclude from. Read-only."""

    run_id: str
    goal: str
    input: Mapping[str, JsonValue]
    status: RunStatus
    reason: str
    plan: Plan | None
    steps: Mapping[str, StepRecord]
    approvals: tuple[Mapping[str, Any], ...]
    """Decided approvals, oldest first: request and decision as plain data."""
    policy_version: str
    spent: int = 0
    """What its calls cost together, in the units of their tools; docs/policy.md has the rule."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """Stored with the transition: the same when the run is replayed. A clock that is read directly is not."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a run says at its end."""

    outcome: Mapping[str, JsonValue] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True)
class Workflow:
    """What one goal means.

    Raises:
        ToolMistake: a part of it is something else than it must be; says which, and how to write it.
    """

    name: str
    goals: tuple[str, ...]
    """The sentences that mean it; case and spaces do not matter."""
    strategy: Strategy
    tools: tuple[AnyTool, ...]
    description: str = ""
    input: type[BaseModel] | None = None
    """The input's type; None takes any plain data."""
    conclude: Callable[[Ending], Conclusion] = lambda _: Conclusion()
    """Pure: what the end means. Called once, by the finalizer."""
    compensate_on: frozenset[RunStatus] = frozenset()
    """Endings (`FAILED`, `REJECTED`, `STRANDED`, `CANCELLED`) that undo what succeeded before."""
    on_stranded: Mode | Literal["rollback", "abandon"] | None = None
    """What becomes of a run that ended one worker after another until they gave it up. None: an operator says."""
    version: str = "1"
    on_failure: OnFailure = field(default_factory=dict)
    """What is done about a class of failure of any tool, or of one (`charge.auth`), in place of what else is said."""
    checkpoints: CheckpointPolicy = "after_each_step"
    """Which places of a run are kept to look at and to fork from: after each step, `"at_boundaries"` (it waits or
    ends), `Every(items=…)` or `Every(interval=…)`, `"never"`. A killed run goes on where it was with each of them."""
    gates: Mapping[str, Gate] = field(default_factory=dict)
    """Who must answer where the policy asks a person, by step or tool; in place of what the tool itself declares."""
    policy: Policy | Path | str | None = None
    """Its own set beside the deployment's: a file, or Cedar's text. It takes away; only `@widens("why")` adds."""
    budget: int | None = None
    """What one run may spend, in the units of the tools' `cost`. Policies see it; by default reads within it run."""

    def __post_init__(self) -> None:
        """Check every part; any iterable of goals, tools and endings will do."""
        name = declaration.name_of(self.name)
        declaration.check_strategy(self.strategy, workflow=name)
        declaration.check_input(self.input, workflow=name)
        declaration.check_conclude(self.conclude, workflow=name)
        checked(self.checkpoints)
        check_budget(name, self.budget)
        if self.policy is not None:
            object.__setattr__(self, "policy", set_of(self.policy, whose=f"workflow {name}"))
        object.__setattr__(self, "goals", declaration.goals_of(self.goals, workflow=name))
        object.__setattr__(self, "tools", declaration.tools_of(self.tools, workflow=name))
        object.__setattr__(self, "compensate_on", declaration.endings_of(self.compensate_on, workflow=name))
        object.__setattr__(self, "on_stranded", declaration.recovery_of(self.on_stranded, workflow=name))
        refuse_lookalikes([tool.name for tool in self.tools], workflow=name)
        known = [tool.name for tool in self.tools] + [tool.undo for tool in self.tools if tool.undo]
        said = on_failure_of(self.on_failure, where=f"workflow {name!r}", tools=known)
        object.__setattr__(self, "on_failure", said)
        object.__setattr__(self, "gates", gates_of(self.gates, workflow=name, tools=known, steps=self._fixed_steps()))
        declaration.check_demands(name, self.tools, self.gates)

    def gate(self, step: str | None, tool: AnyTool) -> Gate:
        """Who must answer for a step: as declared for it, else for its tool, else by the tool itself.

        What a step is called counts only where the plan is fixed: a model that plans must not choose its gate.
        """
        own = self.gates.get(step) if step is not None and step in self.gates and step in self._fixed_steps() else None
        return own or self.gates.get(tool.name) or tool.gate or Gate()

    @property
    def gates_text(self) -> str:
        """Who must answer for what, as JSON; empty where the workflow and its tools leave that to the policy."""
        tools = (*self.tools, *(tool.compensate for tool in self.tools if tool.compensate))
        declared = {**{tool.name: tool.gate for tool in tools if tool.gate}, **self.gates}
        said = {name: terms for name, gate in sorted(declared.items()) if (terms := gate.terms().plain())}
        return json.dumps(said, ensure_ascii=False, indent=2) if said else ""

    def _fixed_steps(self) -> Mapping[str, str]:
        """The tool of each step, where nobody plans."""
        planned = self.strategy.steps.steps if isinstance(self.strategy, FixedPlan) else ()
        return {step.id: step.tool for step in planned}

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of what a run is started with; empty where that is any data, or of types that no schema tells."""
        try:
            return {} if self.input is None else self.input.model_json_schema()
        except PydanticUserError:
            return {}

    def checked_input(self, value: object) -> dict[str, JsonValue]:
        """The run's input as plain data, defaults filled in.

        Raises:
            InvalidValue: not what the workflow takes, or not storable.
        """
        storable(value, where="the input")
        try:
            if self.input is not None:
                return self.input.model_validate(value).model_dump(mode="json")
            return TypeAdapter(dict[str, JsonValue]).validate_python(value)
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'input'}: {item['msg']}" for item in error.errors())
            takes = f". It takes {takes_of(schema)}." if (schema := self.input_schema) else ""
            raise InvalidValue(f"the input of workflow {self.name!r} cannot be used: {said}{takes}") from None


async def next_plan(strategy: Strategy, situation: Situation) -> Plan | None:
    """Ask a strategy, sync or async."""
    answer = strategy.plan(situation)
    return await answer if inspect.isawaitable(answer) else answer


def origin_of(strategy: Strategy) -> Origin:
    """Who writes the plans of a strategy. Nothing inside a plan says so, for a model may have written it.

    Raises:
        InvalidValue: the strategy says something else than it may.
    """
    said: object = getattr(strategy, "origin", "model")
    return origin_word(said if isinstance(said, str) else repr(said))


def takes_responses(strategy: Strategy) -> bool:
    """Whether a person's text can lead to another plan."""
    return bool(getattr(strategy, "takes_responses", True))
