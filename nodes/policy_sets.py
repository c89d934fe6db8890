"""Sets of policies: that of the deployment, of a workflow, of a tenant, and how they judge together.

Invariant: a narrower set only ever takes away, unless it says otherwise. A forbid of any set holds. A
step runs unattended only when every set that permits anything permits it; the one way around is a
permit that is annotated `@widens("why")`, which lifts what wider sets leave to a person, never what
they forbid. From wide to narrow: the deployment, the workflow, the tenant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from gatepost.nodes.policy import InvalidPolicy, Judgement, Policy, combined, decided
from gatepost.nodes.policy_check import require_sound
from gatepost.nodes.policy_question import Question
from gatepost.nodes.policy_schema import schemas_of
from gatepost.nodes.tool import AnyTool

TenantPolicies: TypeAlias = "Mapping[str, Policy | str | Path] | Path | str | None"
"""By the tenant's name, or a folder of files `TENANT.cedar`."""


@dataclass(frozen=True)
class Layers:
    """The sets that judge the runs of one workflow and tenant, the widest first."""

    layers: tuple[tuple[str, Policy], ...]
    """Each with the name that its policies are called by; the deployment's are called by their own."""
    gates: str = ""
    """Who must answer where they ask, as the workflow declares it; empty: whoever the policies let."""

    @cached_property
    def version(self) -> str:
        """Changes when the text of any of them does."""
        if len(self.layers) == 1:
            return self.layers[0][1].version
        said = "\n".join(f"{layer} {policy.version}" for layer, policy in self.layers)
        return _short_hash(said)

    @cached_property
    def asked_under(self) -> str:
        """The version that stands on a question: changes with the policies, and with the gates that say who answers."""
        return self.version if not self.gates else _short_hash(f"{self.version}\n{self.gates}")

    @cached_property
    def timed(self) -> bool:
        """Whether a policy of any of them looks at the time."""
        return any(policy.timed for _, policy in self.layers)

    def plain(self) -> list[dict[str, str]]:
        """The texts, to be shown later beside a judgement that was made under them."""
        return [
            {"layer": layer or "deployment", "name": policy.name, "version": policy.version, "text": policy.text}
            for layer, policy in self.layers
        ]

    def versions(self) -> dict[str, list[dict[str, str]]]:
        """What is kept to be shown, by version: the policies that judge, and with the gates what asks."""
        if not self.gates:
            return {self.version: self.plain()}
        declared = {"name": "Workflow(gates=…), @tool(gate=…)", "version": _short_hash(self.gates), "text": self.gates}
        return {self.version: self.plain(), self.asked_under: [*self.plain(), {"layer": "gates", **declared}]}

    def judge(self, question: Question) -> Judgement:
        """May this step run unattended?"""
        if len(self.layers) == 1:
            return self.layers[0][1].judge(question)
        question = question if self.timed else replace(question, now=None)
        return combined([(layer, one, one.say(question)) for layer, one in self.layers], question, self.version)

    def may_decide(self, *, step: str, **context: Any) -> Judgement:
        """May this person answer this approval? As `Policy.may_decide`."""
        return decided([(layer, one, one.say_decide(step, context)) for layer, one in self.layers], self.version)


class PolicySets:
    """All sets of one graph.

    Args:
        base: the deployment's.
        workflows: by the workflow's name.
        tenants: by the tenant's name.
        gates: what each workflow declares about who must answer (`Workflow.gates_text`).
    """

    def __init__(
        self,
        base: Policy,
        *,
        workflows: Mapping[str, Policy] | None = None,
        tenants: Mapping[str, Policy] | None = None,
        gates: Mapping[str, str] | None = None,
    ) -> None:
        self.base = base
        self.gates = {workflow: text for workflow, text in (gates or {}).items() if text}
        self.workflows = dict(workflows or {})
        self.tenants = dict(tenants or {})
        self._layers: dict[tuple[str, str], Layers] = {}

    @property
    def version(self) -> str:
        """Of the deployment's set."""
        return self.base.version

    def layers(self, *, workflow: str, tenant: str) -> Layers:
        """The sets that judge the runs of a workflow and a tenant."""
        own = workflow in self.workflows or workflow in self.gates
        place = (workflow if own else "", tenant if tenant in self.tenants else "")
        if place not in self._layers:
            found = [("", self.base)]
            if place[0] in self.workflows:
                found.append(("workflow", self.workflows[workflow]))
            if place[1]:
                found.append(("tenant", self.tenants[tenant]))
            self._layers[place] = Layers(tuple(found), self.gates.get(place[0], ""))
        return self._layers[place]

    def judge(self, question: Question) -> Judgement:
        """May this step run unattended? The question names workflow and tenant."""
        return self.layers(workflow=question.workflow, tenant=question.tenant).judge(question)

    def may_decide(self, *, tenant: str, workflow: str = "", **asked: Any) -> Judgement:
        """May this person answer this approval? As `Policy.may_decide`."""
        layers = self.layers(workflow=workflow, tenant=tenant)
        return layers.may_decide(tenant=tenant, workflow=workflow, **asked)

    def require_sound(self, tools: Mapping[str, Sequence[AnyTool]]) -> None:
        """Check every set against the tools that it judges, by their workflow.

        Raises:
            InvalidPolicy: one does not fit; says where, and what would be right.
        """
        everything = schemas_of(tool for listed in tools.values() for tool in listed)
        for policy in (self.base, *self.tenants.values()):
            require_sound(policy, everything)
        for workflow, policy in self.workflows.items():
            require_sound(policy, schemas_of(tools.get(workflow, ())))


def set_of(given: object, *, whose: str) -> Policy:
    """A set as it is given: a `Policy`, the `Path` of a file, or the text.

    Raises:
        InvalidPolicy: it is none of these, or cannot be read.
    """
    match given:
        case Policy():
            return given
        case Path():
            return Policy.read(given)
        case str() if given.strip().endswith(".cedar"):
            raise InvalidPolicy(f"the policy of {whose} is the text {given!r:.80}. For a file, pass Path(…).")
        case str():
            return Policy(given, name=f"the policy of {whose}")
    raise InvalidPolicy(f"the policy of {whose} is a {type(given).__name__}. Pass a Path, a Policy or Cedar's text.")


def tenants_of(given: TenantPolicies) -> dict[str, Policy]:
    """The sets of the tenants.

    Raises:
        InvalidPolicy: one cannot be read, or the folder is none.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {tenant: set_of(one, whose=f"tenant {tenant}") for tenant, one in given.items()}
    folder = Path(given)
    if not folder.is_dir():
        raise InvalidPolicy(f"there is no folder {folder}. It holds a file for each tenant: {folder}/TENANT.cedar.")
    # The names come from the folder: no tenant's name is ever made into a path.
    return {path.stem: Policy.read(path) for path in sorted(folder.glob("*.cedar"))}


def _short_hash(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()[:12]
