"""Tables of cases: what a policy is meant to say, in a file, so that a change of it is seen before it is in force.

A table is TOML or JSON. Each case is a question and the answer that is expected; the tool's effect
class and cost come from the tool, as they do in a run.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from gatepost.nodes.catalog import Catalog
from gatepost.nodes.policy import Verdict
from gatepost.nodes.policy_question import Question
from gatepost.nodes.policy_sets import PolicySets
from gatepost.nodes.tool import AnyTool, InvalidArguments
from gatepost.state.errors import CallerMistake, InvalidValue
from gatepost.state.plan import Origin

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""Monday; the time of a case that names none."""


class Case(BaseModel):
    """One question and its answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    workflow: str = ""
    """Needed where several are known."""
    tenant: str = "local"
    principal: str = "somebody"
    """Who asked for the run."""
    tool: str
    step: str = ""
    args: dict[str, JsonValue] = Field(default_factory=dict)
    origin: Origin = "file"
    purpose: Literal["run", "compensate"] = "run"
    spent: int = 0
    time: datetime = NOON
    decider: str = ""
    """Given: the question is whether this person may answer the approval; expected is `may` or `may not`."""
    roles: tuple[str, ...] = ()
    expect: Literal["run", "ask", "forbid", "may", "may not"]
    policies: tuple[str, ...] | None = None
    """Given: exactly these decided."""

    @model_validator(mode="after")
    def _answers_its_question(self) -> Case:
        if bool(self.decider) != self.expect.startswith("may"):
            raise ValueError(
                'a case with a decider expects "may" or "may not"; one without expects "run", "ask" or "forbid"'
            )
        return self


class Table(BaseModel):
    """A file of cases."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: str = ""
    """The deployment's set, as a path beside the table; else that of the command."""
    case: tuple[Case, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went."""

    name: str
    passed: bool
    expected: str
    found: str
    policies: tuple[str, ...]
    reasons: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def read_table(path: Path) -> Table:
    """A table of cases.

    Raises:
        CallerMistake: it cannot be read; says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return Table.model_validate(json.loads(text) if path.suffix == ".json" else tomllib.loads(text))
    except (OSError, UnicodeDecodeError) as error:
        raise CallerMistake(f"the cases {path} cannot be read ({error}).") from None
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise CallerMistake(
            f"the cases {path} cannot be used: {said}. `gatepost policy test --help` has one."
        ) from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise CallerMistake(
            f"the cases {path} are no {kind}: {error}. `gatepost policy test --help` has one."
        ) from None


def outcomes(cases: Iterable[Case], sets: PolicySets, catalog: Catalog) -> list[Outcome]:
    """How every case goes."""
    return [_outcome(case, sets, catalog) for case in cases]


def _outcome(case: Case, sets: PolicySets, catalog: Catalog) -> Outcome:
    try:
        tool = tool_called(case.tool, catalog, workflow=case.workflow)
        found, policies, reasons = _decided(case, sets, *tool) if case.decider else _judged(case, sets, catalog, *tool)
    except (CallerMistake, InvalidArguments, InvalidValue) as error:
        found, policies, reasons = "error", (), (str(error),)
    expected = (
        case.expect if case.policies is None else f"{case.expect} by {', '.join(sorted(case.policies)) or 'none'}"
    )
    passed = found == case.expect and (case.policies is None or sorted(case.policies) == sorted(policies))
    name = case.name or f"{case.tool} {json.dumps(case.args, ensure_ascii=False)}"
    shown = found if case.policies is None else f"{found} by {', '.join(policies) or 'none'}"
    return Outcome(name, passed, expected, shown, policies, reasons)


def _judged(
    case: Case, sets: PolicySets, catalog: Catalog, workflow: str, tool: AnyTool
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    asked = question(
        tool, workflow, catalog, case.args, principal=case.principal, tenant=case.tenant, step=case.step,
        origin=case.origin, purpose=case.purpose, spent=case.spent, now=case.time,
    )  # fmt: skip
    said = sets.judge(asked)
    return said.verdict.value, said.policies, said.reasons


def _decided(
    case: Case, sets: PolicySets, workflow: str, tool: AnyTool
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    said = sets.may_decide(
        principal=case.decider,
        requester=case.principal,
        tenant=case.tenant,
        workflow=workflow,
        step=case.step or tool.name,
        tool=tool.name,
        effect=str(tool.effect),
        roles=case.roles,
    )
    return "may" if said.verdict is Verdict.RUN else "may not", said.policies, said.reasons


def question(
    tool: AnyTool,
    workflow: str,
    catalog: Catalog,
    args: dict[str, JsonValue],
    *,
    principal: str,
    tenant: str = "local",
    step: str = "",
    origin: str = "file",
    purpose: str = "run",
    spent: int = 0,
    now: datetime = NOON,
) -> Question:
    """What a run would ask, of a tool with these arguments.

    Raises:
        InvalidArguments: the tool does not take them.
    """
    plain = tool.normalise(args)
    moment = now if now.tzinfo else now.replace(tzinfo=UTC)
    return Question(
        principal=principal,
        tenant=tenant,
        workflow=workflow,
        step=step or tool.name,
        tool=tool.name,
        effect=str(tool.effect),
        args=plain,
        origin=origin,
        purpose=purpose,
        cost=tool.cost_of(plain),
        spent=spent,
        budget=catalog.named(workflow).budget,
        now=moment.astimezone(UTC),
    )


def tool_called(name: str, catalog: Catalog, *, workflow: str = "") -> tuple[str, AnyTool]:
    """A tool, and the workflow that has it.

    Raises:
        CallerMistake: none has it, or several have.
    """
    if workflow and workflow not in catalog.workflows:
        raise CallerMistake(f"there is no workflow {workflow!r}; there are {', '.join(sorted(catalog.workflows))}.")
    found: list[tuple[str, AnyTool]] = []
    for known in [workflow] if workflow else sorted(catalog.workflows):
        tools = dict(catalog.tools(known))
        undos = {tool.compensate.name: tool.compensate for tool in tools.values() if tool.compensate}
        if (tool := {**undos, **tools}.get(name)) is not None:
            found.append((known, tool))
    if len(found) == 1:
        return found[0]
    if found:
        raise CallerMistake(f"several workflows have a tool {name!r}: {', '.join(one for one, _ in found)}. Name one.")
    known_tools = sorted({one for flow in catalog.workflows for one in catalog.tools(flow)})
    raise CallerMistake(f"no workflow has a tool {name!r}; there are {', '.join(known_tools) or 'none'}.")
