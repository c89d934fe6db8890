"""Judging: every step that is ready either runs, is asked about, or is forbidden.

Invariant: a step leaves `ready` only through a judgement of its exact, resolved arguments, and its
effect key is minted with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from gatepost.nodes import demand, escalation, facts
from gatepost.nodes.draft import dispatched
from gatepost.nodes.foretelling import foretell
from gatepost.nodes.holding import Holding, held
from gatepost.nodes.policy import Judgement, Verdict
from gatepost.nodes.tool import AnyTool, InvalidArguments
from gatepost.nodes.workflow import takes_responses
from gatepost.state.approval import DECISION_TYPES, ApprovalRequest, Decision
from gatepost.state.canonical import digest_of
from gatepost.state.effect import fingerprint_of
from gatepost.state.errors import InvalidValue
from gatepost.state.fact import Material
from gatepost.state.failure import Reaction
from gatepost.state.ids import new_approval_id
from gatepost.state.plan import Step
from gatepost.state.reference import Unresolvable
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import Failure, StepRecord

_MOVED = "changed since it was asked: "
UNHEARD = "the planner has no other plan"
_LASTING = (_MOVED, UNHEARD)
"""How reasons begin that do not come from a policy, and hold under another one as well."""


class Judging(Holding):
    """The part of a visit that judges steps."""

    def dispatch_ready(self) -> None:
        """Judge every ready step: run it, ask a person, or forbid it. Skips may make others ready."""
        while self.ending is None and (ready := self._not_held()):
            for step in ready:
                self._take_up(step)

    def _not_held(self) -> list[Step]:
        return [step for step in self.visit.board.ready() if step.id not in self.deferred]

    def _take_up(self, step: Step) -> None:
        if self.ending is not None:
            return
        board = self.visit.board
        version = board.plan.version if board.plan else 1
        record = board.record(step.id).model_copy(update={"plan_version": version, "tool": step.tool})
        if (reason := board.skip_reason(step)) is not None:
            self._leave_frontier(step.id)
            self._note(record.to(StepStatus.SKIPPED, reason=reason, label="skipped"))
        else:
            self._judge(record.to(StepStatus.READY), step)

    def _judge(self, record: StepRecord, step: Step) -> None:
        if self._wait_for_facts(record, step):
            return
        before: dict[str, Any] = self.frontier.get(step.id, {}).get("held") or {}
        if before:
            self.frontier.pop(step.id, None)
            if self._goes_on(record, step, before):
                return
        tool = self.visit.tool(step.tool)
        if why := demand.lacking(step, demand.demands_of(self.visit.workflow, step, tool), self.visit.board):
            self._fail(record, Failure(kind="validation", message=why))
            return
        args = self._arguments(record, step, tool)
        if args is None:
            return
        judgement = self.judged(step, tool, args)
        demands = self.visit.board.demands(step)
        if judgement.verdict is Verdict.FORBID:
            self._forbid(record, judgement)
        elif judgement.verdict is Verdict.RUN and not demands and not before.get("decision"):
            self._run(record, tool, args, judgement)
        else:
            self._ask(record, step, tool, args, judgement, demands, before)

    def _goes_on(self, record: StepRecord, step: Step, before: Mapping[str, Any]) -> bool:
        """A step that was approved before its facts were read again runs, if what was approved is still what it is."""
        approval, said = before.get("approval"), before.get("decision")
        if not approval:
            return False
        if said is not None:
            decision = Decision.model_validate(said)
            tool = self.visit.tool(step.tool)
            args = decision.args if decision.args is not None else before["args"]
            judgement = self.judged(step, tool, args)
            if self._digest_of(step, decision, before) == before["digest"] and judgement.verdict is not Verdict.FORBID:
                reason = f"approved by {decision.by}; what it relies on was read again, and stands"
                self._run(record, tool, args, judgement, approval=approval, reason=reason)
                return True
        self.visit.session.stage_void(self.visit.task, approval)
        return False

    def _digest_of(self, step: Step, decision: Decision, before: Mapping[str, Any]) -> str | None:
        """Of what was approved, or edited, as it is by now; None where the plan wants something else by now."""
        as_asked = self._digest(step, asked=before["args"])
        if decision.args is None or as_asked is None:
            return as_asked
        tool = self.visit.tool(step.tool)
        return self.visit.digest(step, tool, decision.args, undo=tool.undo)

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
        fingerprint, cost = fingerprint_of(tool.name, args), tool.cost_of(args)
        running = record.to(
            StepStatus.RUNNING,
            key=key,
            fingerprint=fingerprint,
            approval=approval,
            policies=judgement.policies,
            reason=reason,
            now=now,
            **self._spend(cost),
        )
        self._note(running)
        self.frontier[record.step] = dispatched(running, now)
        foretell(self.visit, self.visit.board.step(record.step), tool, args, running)

    def _ask(
        self,
        record: StepRecord,
        step: Step,
        tool: AnyTool,
        args: dict[str, JsonValue],
        judgement: Judgement,
        demands: list[str],
        before: Mapping[str, Any],
    ) -> None:
        run, session = self.visit.session.run, self.visit.session
        digest = self.visit.digest(step, tool, args, undo=tool.undo)
        known = facts.relied_on(self.visit.board, step)
        changes = tuple(
            {"fact": fact, **change}
            for fact, was in (before.get("facts") or {}).items()
            for change in facts.weighed(self._weights(step, fact), was, known.get(fact))
        )[: facts.SHOWN_CHANGES]
        moved = [f"{_MOVED}{'; '.join(map(facts.told, changes))}"] if changes else []
        moved += [before["why"]] if before.get("why") else []
        request = ApprovalRequest(
            id=new_approval_id(digest_of(run.run_id, step.id, digest, session.seq + 1)),
            run=run.run_id,
            step=step.id,
            tool=tool.name,
            args=args,
            effect=tool.effect,
            digest=digest,
            undo=tool.undo,
            reasons=(*moved, *demands, *judgement.reasons, *self.unheard),
            policies=judgement.policies,
            policy_version=self.visit.policy.asked_under,
            plan_version=record.plan_version,
            requested_by=run.requested_by,
            evidence=self.visit.evidence(step),
            facts=known,
            changes=changes,
            supersedes=before.get("approval"),
            args_schema=tool.schema(),
            allowed=DECISION_TYPES if takes_responses(self.visit.workflow.strategy) else ("approve", "edit", "reject"),
            **self.visit.workflow.gate(step.id, tool).opened(session.now),
        )
        self._open(request, record.to(StepStatus.BLOCKED, approval=request.id, reason="; ".join(request.reasons)))

    def _weights(self, step: Step, fact: str) -> Sequence[Material | None]:
        return demand.materials(self.visit.board, self.visit.workflow, self.visit.tools, fact, of=step)

    def _ask_under(self, request: ApprovalRequest, judgement: Judgement) -> None:
        """A question stays open under another policy; where others have to answer it, it is asked anew."""
        record, demands = (
            self.visit.board.record(request.step),
            self.visit.board.demands(self.visit.board.step(request.step)),
        )
        if why := self.looked_at[request.id]:
            self.visit.session.stage_void(self.visit.task, request.id)
            del self.approvals[request.id]
            self._note(record.to(StepStatus.PENDING, approval=None, reason=why))
            self.frontier[request.step] = held(approval=request.id, facts=request.facts, why=why)
        elif judgement.verdict is Verdict.ASK or demands:
            kept = [reason for reason in request.reasons if reason.startswith(_LASTING)]
            reasons = (*kept, *demands, *judgement.reasons)
            self._still_asked(request, judgement, reasons)
            told = {"policies": judgement.policies, "reason": "; ".join(reasons)}
            self._note(record.model_copy(update=told))

    def _still_asked(self, request: ApprovalRequest, judgement: Judgement, reasons: tuple[str, ...]) -> None:
        version = self.visit.policy.asked_under
        said = {"policy_version": version, "policies": judgement.policies, "reasons": reasons}
        now = request.model_copy(update=said)
        self.visit.session.stage_judged(self.visit.task, now)
        self.approvals[request.id] = now.plain()

    def _open(self, request: ApprovalRequest, record: StepRecord) -> None:
        self._note(record)
        self._put(request)
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
        self._put(request)
        self.frontier[record.step] = {"status": record.status.value, "approval": request.id}

    def _replan(self, source: str, who: str, text: str) -> None:
        said = {"source": source, "who": who, "text": text}
        self.responses.append(said)
        self.planning = {"reason": f"{source} {who}: {text}"[:300]}
