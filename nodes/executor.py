"""The executor: re-checks the authority of one step, then runs it through the effect protocol.

Invariant: nothing runs that is not authorised at this moment: either the policy lets exactly this
action run unattended, or it does not forbid it, and a person's recorded, unexpired decision covers its
digest. Whatever went round the gate ends here, closed. A failure is state, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from gatepost.checkpointing.answers import Standing
from gatepost.nodes import facts
from gatepost.nodes.ahead import onward
from gatepost.nodes.demand import materials
from gatepost.nodes.foretelling import intent_of
from gatepost.nodes.holding import held
from gatepost.nodes.outcome import Outcome, entry, settled
from gatepost.nodes.policy import Verdict
from gatepost.nodes.protocol import carry_out, refuse
from gatepost.nodes.spending import given_back, settled_cost
from gatepost.nodes.tool import AnyTool, EffectContext, InvalidArguments
from gatepost.nodes.visit import Visit
from gatepost.state.approval import is_as_asked
from gatepost.state.effect import fingerprint_of
from gatepost.state.errors import InvalidValue
from gatepost.state.plan import Step
from gatepost.state.reference import Unresolvable
from gatepost.state.status import ApprovalStatus, StepStatus
from gatepost.state.step import StepRecord


class _Unauthorised(Exception):
    """The step may not run; the message says why."""


class _JudgedAnew(Exception):
    """The tool makes other arguments of the plan than those that were judged, and none of them has been sent."""


async def executor(task: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """One visit: one step, from authority to outcome. `task` is its entry of the frontier."""
    step_id: str = task["step"]
    if step_id not in visit.board.records:
        return {"signals": [{"kind": "refused", "step": step_id, "reason": "the gate never dispatched it"}]}
    record = visit.board.record(step_id)
    if task.get("ends"):
        return _settle(visit, record, await refuse(visit, record.key, "the run is ending"), tool=None)
    try:
        step, tool = _planned(visit, step_id)
        args = await _authorised(visit, step, tool, task)
    except _JudgedAnew:
        again = record.to(StepStatus.READY, reason="by now the tool takes it otherwise than it was judged")
        return _not_sent(visit, again, None)
    except _Unauthorised as error:
        return _settle(visit, record, await refuse(visit, record.key, str(error)), tool=None)
    if (too_old := await _facts_too_old(visit, step, task)) is not None:
        return too_old
    outcome = await carry_out(
        visit,
        tool,
        args,
        context=_context(visit, step, task),
        intent=intent_of(step, tool, args, record),
        attempts=task.get("attempts", 0),
    )
    return onward(visit, task, _settle(visit, record, outcome, tool=tool))


def _planned(visit: Visit, step_id: str) -> tuple[Step, AnyTool]:
    record = visit.board.records.get(step_id)
    if record is None or record.status is not StepStatus.RUNNING:
        raise _Unauthorised(f"step {step_id!r} was not dispatched by the gate ({visit.board.status(step_id)})")
    step = visit.board.step(step_id)
    return step, visit.tool(step.tool)


async def _authorised(visit: Visit, step: Step, tool: AnyTool, task: Mapping[str, Any]) -> dict[str, JsonValue]:
    record = visit.board.record(step.id)
    if (record.key, record.fingerprint, record.approval) != (task["key"], task["fingerprint"], task.get("approval")):
        raise _Unauthorised(f"the dispatch of step {step.id!r} is not the one that the gate recorded")
    args = _announced(visit, record)
    if args is None:
        args = await _arguments_under(visit, step, tool, record.approval)
        if fingerprint_of(tool.name, args) != record.fingerprint:
            args = await _sent_before(visit, step, tool)
    before = max(0, record.spent - tool.cost_of(args))
    judgement = visit.judge(step, tool, args, spent=before, now=record.now)
    if judgement.verdict is Verdict.FORBID:
        raise _Unauthorised(f"the policy forbids step {step.id!r} by now ({', '.join(judgement.policies)})")
    if record.approval is None and (judgement.verdict is not Verdict.RUN or visit.board.demands(step)):
        raise _Unauthorised(f"step {step.id!r} needs an approval and has none")
    return args


def _announced(visit: Visit, record: StepRecord) -> dict[str, JsonValue] | None:
    """The step's arguments as this owner worked them out and announces them, with the superstep before this one."""
    row = visit.session.announcing.get(record.key or "")
    if row is None or row["fingerprint"] != record.fingerprint:
        return None
    return dict(row["arguments"])


async def _arguments_under(visit: Visit, step: Step, tool: AnyTool, approval: str | None) -> dict[str, JsonValue]:
    """The step's arguments: as planned, or as a person edited them; under an approval, checked against its digest."""
    try:
        if approval is None:
            return tool.normalise(visit.board.arguments(step))
        await visit.session.durable()
        found = (await visit.equipment.approvals.standing(visit.session.run.run_id, [approval])).get(approval)
        standing = _in_force(found, approval, step, tenant=visit.session.run.tenant)
        edited = standing.decision.args if standing.decision else None
        planned = visit.board.arguments(step) if edited is None else edited
        args = tool.pinned(standing.request.args if edited is None else edited, planned)
        digest = visit.digest(step, tool, args, undo=standing.request.undo)
    except (Unresolvable, InvalidArguments, InvalidValue) as error:
        raise _Unauthorised(f"the arguments of step {step.id!r} no longer hold: {error}") from None
    if digest != standing.decided_digest:
        raise _Unauthorised(f"approval {approval} covers another action than step {step.id!r} is about to take")
    return args


async def _sent_before(visit: Visit, step: Step, tool: AnyTool) -> dict[str, JsonValue]:
    """The arguments of a call that an earlier version of the tool has begun: it is ended with the same."""
    await visit.session.durable()
    record = visit.board.record(step.id)
    entry = await visit.equipment.ledger.get(record.key or "")
    if entry is None and record.approval is None:
        raise _JudgedAnew
    if entry is None or not isinstance(entry.arguments, dict):
        raise _Unauthorised(f"the arguments of step {step.id!r} are not those that were judged")
    try:
        args = tool.pinned(entry.arguments, visit.board.arguments(step))
    except (Unresolvable, InvalidArguments, InvalidValue) as error:
        raise _Unauthorised(f"the arguments of step {step.id!r} no longer hold: {error}") from None
    if fingerprint_of(tool.name, args) != record.fingerprint:
        raise _Unauthorised(f"the arguments of step {step.id!r} are not those that were judged")
    return args


async def _facts_too_old(visit: Visit, step: Step, task: Mapping[str, Any]) -> dict[str, Any] | None:
    """The gate looked at the facts, but that may be long ago, where this process came back to it: back to the gate.

    What is announced already is no longer a question of facts; the protocol finds out what became of it.
    """
    now = visit.session.now
    recent = now - datetime.fromisoformat(task["now"]) <= facts.JUST_JUDGED
    if recent or not facts.stale(visit.board, step, now):
        return None
    await visit.session.durable()
    if await visit.equipment.ledger.get(task["key"]) is not None:
        return None
    record, answer = visit.board.record(step.id), {}
    if record.approval is not None:
        found = (await visit.equipment.approvals.standing(visit.session.run.run_id, [record.approval])).get(
            record.approval
        )
        standing = _in_force(found, record.approval, step, tenant=visit.session.run.tenant)
        assert standing.decision is not None
        answer = {
            "approval": record.approval,
            "facts": standing.request.facts,
            "args": standing.request.args,
            "decision": standing.decision.plain(),
            "digest": standing.decided_digest,
        }
    waits = record.to(StepStatus.READY, StepStatus.PENDING, approval=None, reason="its facts have grown too old")
    return _not_sent(visit, waits, held(**answer))


def _not_sent(visit: Visit, record: StepRecord, entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """A step goes back to be judged anew: the call that was counted was not made."""
    record, counters = given_back(record)
    visit.session.stage_step(visit.task, record)
    return {"frontier": {record.step: entry}, **({"counters": counters} if counters else {})}


def _in_force(standing: Standing | None, approval: str, step: Step, *, tenant: str) -> Standing:
    if standing is None or standing.step != step.id:
        raise _Unauthorised(f"there is no approval {approval!r} for step {step.id!r}")
    if not is_as_asked(standing.request, standing.digest, tenant=tenant):
        raise _Unauthorised(f"what approval {approval} asked was changed after it was asked")
    if standing.status is not ApprovalStatus.DECIDED or standing.decision is None:
        raise _Unauthorised(f"approval {approval} is {standing.status}, not decided")
    if standing.decision.type not in ("approve", "edit"):
        raise _Unauthorised(f"approval {approval} was answered with {standing.decision.type}")
    if standing.decision.type == "approve" and standing.decided_digest != standing.digest:
        raise _Unauthorised(f"the decision on {approval} does not match its question")
    if not standing.enough:
        needed = standing.request.terms.needed(standing.request.level)
        raise _Unauthorised(f"approval {approval} takes {needed} different people, and has {standing.yes}")
    if standing.act_too_late:
        raise _Unauthorised(f"approval {approval} had to be acted on by {standing.act_by}")
    return standing


def _context(visit: Visit, step: Step, task: Mapping[str, Any]) -> EffectContext:
    return EffectContext(
        idempotency_key=task["key"],
        run_id=visit.session.run.run_id,
        step_id=step.id,
        tenant=visit.session.run.tenant,
        now=datetime.fromisoformat(task["now"]),
        seed=task["seed"],
    )


def _settle(visit: Visit, record: StepRecord, outcome: Outcome, *, tool: AnyTool | None) -> dict[str, Any]:
    if record.status is not StepStatus.RUNNING:
        # Somebody forged a dispatch: the step keeps the status it has, and the refusal is told to the gate.
        return {"signals": [{"kind": "refused", "step": record.step, "reason": str(outcome.failure)}]}
    weights = materials(visit.board, visit.workflow, visit.tools, record.step) if record.again else [None]
    outcome, read = facts.read_anew(record, outcome, weights)
    found = settled(record, outcome, tool=tool).model_copy(update=read)
    found, counters = settled_cost(found, effect=visit.tool(record.tool).effect)
    visit.session.stage_step(visit.task, found)
    if outcome.wake_at is not None:
        return {"frontier": {record.step: entry(outcome)}}
    update: dict[str, Any] = {"frontier": {record.step: {"status": found.status.value}}}
    if counters:
        update["counters"] = counters
    if outcome.finding is not None and outcome.finding.replan:
        update["signals"] = [{"kind": "replan", "step": record.step, "text": outcome.finding.replan}]
    return update
