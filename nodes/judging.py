"""Judging: every step that is ready either runs, is asked about, or is forbidden.

Invariant: a step leaves `ready` only through a judgement of its exact, resolved arguments, and its
effect key is minted with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from gatepost.nodes import escalation
from gatepost.nodes.draft import SPENT, Draft
from gatepost.nodes.policy import Judgement, Verdict
from gatepost.nodes.tool import AnyTool, InvalidArguments
from gatepost.nodes.workflow import takes_responses
from gatepost.state.approval import DECISION_TYPES, ApprovalRequest
from gatepost.state.canonical import digest_of
from gatepost.state.effect import fingerprint_of, key_of
from gatepost.state.errors import InvalidValue
from gatepost.state.failure import Reaction
from gatepost.state.ids import EffectKey, new_approval_id
from gatepost.state.plan import Step
from gatepost.state.reference import Unresolvable
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import Failure, StepRecord


def dispatched(record: StepRecord, now: str) -> dict[str, Any]:
    """The entry of the frontier by which the executor is sent to a step."""
    return {
        "status": StepStatus.RUNNING.value,
        "step": record.step,
        "key": record.key,
        "fingerprint": record.fingerprint,
        "approval": record.approval,
        "now": now,
        "seed": int(digest_of(record.key, now)[:12], 16),
    }


class Judging(Draft):
    """The part of a visit that judges steps."""

    def dispatch_ready(self) -> None:
        """Judge every ready step: run it, ask a person, or forbid it. Skips may make others ready."""
        while self.ending is None and (ready := self.visit.board.ready()):
            for step in ready:
                self._take_up(step)

    def _take_up(self, step: Step) -> None:
        if self.ending is not None:
            return
        board = self.visit.board
        version = board.plan.version if board.plan else 1
        record = board.record(step.id).model_copy(update={"plan_version": version, "tool": step.tool})
        if (reason := board.skip_reason(step)) is not None:
            self._note(record.to(StepStatus.SKIPPED, reason=reason, label="skipped"))
        else:
            self._judge(record.to(StepStatus.READY), step)

    def _judge(self, record: StepRecord, step: Step) -> None:
        tool = self.visit.tool(step.tool)
        args = self._arguments(record, step, tool)
        if args is None:
            return
        judgement = self.judged(step, tool, args)
        demands = self.visit.board.demands(step)
        if judgement.verdict is Verdict.FORBID:
            self._forbid(record, judgement)
        elif judgement.verdict is Verdict.RUN and not demands:
            self._run(record, tool, args, judgement)
        else:
            self._ask(record, step, tool, args, judgement, demands)

    def _arguments(
        self,
        record: StepRecord,
        step: Step,
        tool: AnyTool,
        *,
        edited: Mapping[str, JsonValue] | None = None,
        asked: Mapping[str, JsonValue] | None = None,
    ) -> dict[str, JsonValue] | None:
        try:
            if edited is not None:
                return tool.pinned(edited, edited)
            planned = self.visit.board.arguments(step)
            return tool.normalise(planned) if asked is None else tool.pinned(asked, planned)
        except (Unresolvable, InvalidArguments, InvalidValue) as error:
            self._fail(record, Failure(kind="validation", message=str(error)))
            return None

    def _run(
        self,
        record: StepRecord,
        tool: AnyTool,
        args: dict[str, JsonValue],
        judgement: Judgement,
        *,
        approval: str | None = None,
        reason: str = "",
    ) -> None:
        now = self.visit.session.now.isoformat()
        key = self._key(record)
        fingerprint = fingerprint_of(tool.name, args)
        running = record.to(
            StepStatus.RUNNING,
            key=key,
            fingerprint=fingerprint,
            approval=approval,
            policies=judgement.policies,
            reason=reason,
            now=now,
            spent=self._spend(tool.cost_of(args)),
        )
        self._note(running)
        self.frontier[record.step] = dispatched(running, now)

    def _spend(self, cost: int) -> int:
        """Count a call that is dispatched: what the run has set out to spend with it."""
        if cost:
            self.counters[SPENT] = self.counters.get(SPENT, 0) + cost
        return self.spent

    def _key(self, record: StepRecord) -> EffectKey:
        run = self.visit.session.run
        return key_of(tenant=run.tenant, root_run=run.root_run_id, step=record.step, generation=record.generation)

    def _ask(
        self,
        record: StepRecord,
        step: Step,
        tool: AnyTool,
        args: dict[str, JsonValue],
        judgement: Judgement,
        demands: list[str],
    ) -> None:
        run, session = self.visit.session.run, self.visit.session
        digest = self.visit.digest(step, tool, args, undo=tool.undo)
        request = ApprovalRequest(
            id=new_approval_id(digest_of(run.run_id, step.id, digest, session.seq + 1)),
            run=run.run_id,
            step=step.id,
            tool=tool.name,
            args=args,
            effect=tool.effect,
            digest=digest,
            undo=tool.undo,
            reasons=(*demands, *judgement.reasons, *self.unheard),
            policies=judgement.policies,
            policy_version=judgement.version,
            plan_version=record.plan_version,
            requested_by=run.requested_by,
            evidence=self.visit.evidence(step),
            args_schema=tool.schema(),
            allowed=DECISION_TYPES if takes_responses(self.visit.workflow.strategy) else ("approve", "edit", "reject"),
            **self.visit.workflow.gate(step.id, tool).opened(session.now),
        )
        self._open(request, record.to(StepStatus.BLOCKED, approval=request.id, reason="; ".join(request.reasons)))

    def _open(self, request: ApprovalRequest, record: StepRecord) -> None:
        self.visit.session.stage_approval(self.visit.task, request)
        self._note(record)
        self.approvals[request.id] = request.plain()
        self.frontier[request.step] = {"status": record.status.value, "approval": request.id}

    def _forbid(self, record: StepRecord, judgement: Judgement) -> None:
        message = f"the policy forbids it ({', '.join(judgement.policies)})"
        self._fail(
            record.model_copy(update={"policies": judgement.policies}), Failure(kind="policy_denied", message=message)
        )

    def _fail(self, record: StepRecord, failure: Failure) -> None:
        failed = record.to(StepStatus.FAILED, failure=failure, reason=failure.message, label=failure.kind)
        self._note(failed)
        self.frontier.pop(record.step, None)
        self._react(failed)

    def _react(self, record: StepRecord) -> None:
        """Do about a step that failed for certain what is said about failures of its class."""
        reason = f"step {record.step} failed: {record.reason}"
        match self._reaction(record):
            case "escalate" if self.ending is None:
                self._escalate(record)
            case "replan" if self.ending is None and takes_responses(self.visit.workflow.strategy):
                self._replan("step", record.step, reason)
            case "compensate":
                self._end(RunStatus.FAILED, reason, undo=True)
            case _:
                self._end(RunStatus.FAILED, reason)

    def _reaction(self, record: StepRecord) -> Reaction:
        kind = record.failure.kind if record.failure else "bug"
        return self.visit.reactions(self.visit.tool(record.tool), kind)[-1]

    def _escalate(self, record: StepRecord) -> None:
        request = escalation.question(self.visit, record, tool=self.visit.tool(record.tool))
        self.visit.session.stage_approval(self.visit.task, request)
        self.approvals[request.id] = request.plain()
        self.frontier[record.step] = {"status": record.status.value, "approval": request.id}

    def _replan(self, source: str, who: str, text: str) -> None:
        said = {"source": source, "who": who, "text": text}
        self.responses.append(said)
        self.planning = {"reason": f"{source} {who}: {text}"[:300]}

    def _digest(self, step: Step, *, asked: Mapping[str, JsonValue]) -> str | None:
        """Of the action that the step would be now, with the arguments that were asked about if it still has them."""
        tool = self.visit.tool(step.tool)
        try:
            return self.visit.digest(step, tool, tool.pinned(asked, self.visit.board.arguments(step)), undo=tool.undo)
        except (Unresolvable, InvalidArguments, InvalidValue):
            return None
