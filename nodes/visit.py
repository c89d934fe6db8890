"""A visit: what a node has at hand while it runs once, in one superstep of one held run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import JsonValue

from gatepost.checkpointing.approvals import Approvals
from gatepost.checkpointing.breakers import Breakers
from gatepost.checkpointing.effect_rows import Intent
from gatepost.checkpointing.entries import Entries
from gatepost.checkpointing.forks import Forks
from gatepost.checkpointing.ledger import Ledger
from gatepost.checkpointing.session import RunSession
from gatepost.nodes.catalog import Catalog
from gatepost.nodes.caution import cautious
from gatepost.nodes.outcome import Outcome
from gatepost.nodes.policy import Judgement
from gatepost.nodes.policy_question import Question
from gatepost.nodes.policy_sets import Layers, PolicySets
from gatepost.nodes.reaction import reactions_to
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.workflow import Workflow
from gatepost.state.approval import digest_of_action
from gatepost.state.board import Board
from gatepost.state.canonical import digest_of
from gatepost.state.failure import FailureKind, Reaction
from gatepost.state.plan import Plan, Step
from gatepost.state.watch import Watcher


class StandIn(Protocol):
    """What answers in place of the world."""

    async def carried_out(self, visit: Visit, tool: AnyTool, intent: Intent) -> Outcome:
        """How the call ended when it was made."""
        ...

    async def refused(self, visit: Visit, key: str | None, why: str) -> Outcome:
        """How a call ended that may not be made (any more)."""
        ...


@dataclass(frozen=True, slots=True)
class Equipment:
    """What all nodes of one graph share."""

    catalog: Catalog
    policy: PolicySets
    ledger: Ledger
    approvals: Approvals
    breakers: Breakers
    entries: Entries | None = None
    forks: Forks | None = None
    stand_in: StandIn | None = None
    """In a replay: what answers in place of the world. Nothing is called then."""
    facts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """By workflow and tenant: what `nodes.circumstances` has worked out."""
    fixed: Mapping[str, Plan] = field(default_factory=dict)
    """By workflow: the plan that each of its runs begins with, where that is the same for all and was looked at."""
    watchers: list[Watcher] = field(default_factory=list)
    """Who is told what happens: metrics, traces. A replay has none."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One node, one superstep, one run."""

    session: RunSession
    task: str
    """LangGraph's task id: what this visit stages commits with this task's writes."""
    equipment: Equipment

    @property
    def board(self) -> Board:
        """Plan and steps of the run."""
        return self.session.board

    @property
    def workflow(self) -> Workflow:
        """The run's workflow."""
        return self.equipment.catalog.named(self.session.run.workflow)

    def tool(self, name: str) -> AnyTool:
        """A tool that the plan names."""
        return self.equipment.catalog.tool(self.session.run.workflow, name)

    @property
    def tools(self) -> Mapping[str, AnyTool]:
        """The workflow's tools by name."""
        return self.equipment.catalog.tools(self.session.run.workflow)

    @property
    def policy(self) -> Layers:
        """The policy sets that judge the run."""
        run = self.session.run
        return self.equipment.policy.layers(workflow=run.workflow, tenant=run.tenant)

    def judge(
        self,
        step: Step,
        tool: AnyTool,
        args: Mapping[str, JsonValue],
        *,
        spent: int = 0,
        now: str | None = None,
        purpose: str = "run",
    ) -> Judgement:
        """What the policy says about a step with these arguments.

        Args:
            step: the step.
            tool: its tool, or the one that undoes it.
            args: as they will be sent.
            spent: by the run so far.
            now: of the transition that dispatched it; by default this one's.
            purpose: `run` or `compensate`.
        """
        run = self.session.run
        judgement = self.policy.judge(
            Question(
                principal=run.requested_by,
                tenant=run.tenant,
                workflow=run.workflow,
                step=step.id,
                tool=tool.name,
                effect=tool.effect,
                args=args,
                origin=self.board.plan.origin if self.board.plan else "file",
                purpose=purpose,
                cost=tool.cost_of(args),
                spent=spent,
                budget=self.workflow.budget,
                now=minute(datetime.fromisoformat(now) if now else self.session.now) if self.policy.timed else None,
            )
        )
        return cautious(judgement, fork_effects=run.fork_effects, effect=tool.effect)

    def judge_undo(self, step: str, undo: AnyTool, args: Mapping[str, JsonValue], *, spent: int) -> Judgement:
        """What the policy says about undoing a step with these arguments, after the run has spent so much."""
        return self.judge(Step(id=step, tool=undo.name), undo, args, spent=spent, purpose="compensate")

    def reactions(self, tool: AnyTool, kind: FailureKind) -> tuple[Reaction, ...]:
        """What is done about a failure of a tool, in order."""
        return reactions_to(kind, tool=tool, workflow=self.workflow.on_failure)

    def evidence(self, step: Step) -> dict[str, str]:
        """Checksums of what the step rests on: the outputs of the steps it needs."""
        found = {need: self.board.records.get(need) for need in step.needs}
        return {need: digest_of(record.output) for need, record in sorted(found.items()) if record is not None}

    def digest(self, step: Step, tool: AnyTool, args: Mapping[str, JsonValue], *, undo: str | None) -> str:
        """What an approval of this step with these arguments, and of this undo, binds."""
        run = self.session.run
        return digest_of_action(
            tenant=run.tenant,
            run=run.run_id,
            step=step.id,
            tool=tool.name,
            args=dict(args),
            effect=tool.effect,
            evidence=self.evidence(step),
            undo=undo,
        )


def minute(moment: datetime) -> datetime:
    """UTC, and no finer than a policy can see it."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
