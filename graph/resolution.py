"""Resolution: what somebody found out about an effect that nobody knew the end of, by its key.

Invariant: it is an answer to the question about the effect, checked and recorded like any other.
Only where the run has ended, so that nobody asks any more, it goes to the ledger by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.checkpointing.answers import Recorded
from gatepost.checkpointing.open import Checkpointer
from gatepost.graph.clerk import GraphClerk
from gatepost.nodes.doubt import said
from gatepost.nodes.visit import Equipment
from gatepost.state.approval import ApprovalRequest, Decision, decision_of
from gatepost.state.delegation import Voter
from gatepost.state.errors import CallerMistake, InvalidDecision
from gatepost.state.status import ApprovalStatus, EffectState
from gatepost.state.step import Failure


async def resolve(
    saver: Checkpointer,
    equipment: Equipment,
    effect: str,
    *,
    tenant: str,
    by: str,
    happened: bool,
    result: Any = None,
    undo: bool = False,
    comment: str = "",
    channel: str = "python",
    authenticated: str = "asserted",
    going_on: bool = False,
) -> Recorded | None:
    """Say of an effect in doubt what happened, without moving the run.

    Args:
        saver: where the effects are.
        equipment: knows the tool and the policy.
        effect: its key.
        tenant: whose it must be.
        by: who found out.
        happened: whether it did.
        result: what the call returned, where it happened; checked as the call's own result.
        undo: it happened and is to be undone: the run ends, and what it did is taken back.
        comment: for the record.
        channel: how the answer arrived.
        authenticated: how the person was established.
        going_on: the caller goes on with the run itself; workers leave it alone for a lease's time.

    Returns:
        The answer as it is recorded; None where the run has ended, and only the ledger had to know.

    Raises:
        UnknownEffect: no effect has this key.
        CallerMistake: it is not in doubt, or this is no answer; says what to do.
    """
    row = await saver.effects.row(effect, tenant)
    ended = _ended_in_doubt(row)
    question = _unasked(row) if ended else await _asked(saver, row, tenant)
    found = found_out(question, by=by, happened=happened, result=result, undo=undo, comment=comment)
    decision = decision_of({**found, "channel": channel, "authenticated": authenticated})
    clerk = GraphClerk(equipment, tenant=tenant, workflow=row["workflow"])
    if ended:
        await _settle(saver, row, clerk, question, decision)
        return None
    kept = saver.runs.lease.ttl if going_on else None
    return await saver.approvals.decide(decision, tenant=tenant, clerk=clerk, kept=kept)


def found_out(
    request: ApprovalRequest, *, by: str, happened: bool, result: Any, undo: bool, comment: str
) -> dict[str, Any]:
    """What somebody found out about an effect, as an answer to the question about it.

    Raises:
        InvalidDecision: it contradicts itself, or it is no answer to this question.
    """
    if happened:
        return request.happened(by=by, result=result, undo=undo, comment=comment)
    if undo or result is not None:
        raise InvalidDecision("what did not happen returned nothing, and there is nothing to undo.")
    return request.did_not_happen(by=by, comment=comment)


def question_about(row: Mapping[str, Any]) -> str:
    """The approval that asks what became of an effect.

    Args:
        row: of the effect, as `Ledger.row` gives it.

    Raises:
        CallerMistake: nobody asks; says why, and what to do.
    """
    key, run = row["key"], row["run_id"]
    asked = row["question"] is not None and row["question_status"] in (ApprovalStatus.OPEN, ApprovalStatus.DECIDED)
    if asked and row["state"] == EffectState.IN_DOUBT:
        return str(row["question"])
    if row["state"] in (EffectState.SUCCEEDED, EffectState.FAILED):
        raise CallerMistake(f"effect {key} is known: it {row['state']}. There is nothing to find out.")
    if row["owned"]:
        raise CallerMistake(f"effect {key} belongs to run {run}, which {row['owner']} is moving. Wait until it asks.")
    raise CallerMistake(
        f"effect {key} was announced, and its run {run} has not gone on since. Go on with it first "
        f"(`gatepost run resume {run}`): what its tool cannot find out by itself is asked then."
    )


async def _asked(saver: Checkpointer, row: Mapping[str, Any], tenant: str) -> ApprovalRequest:
    asked = await saver.approvals.get(question_about(row), tenant)
    return ApprovalRequest.model_validate(asked["request"])


def _ended_in_doubt(row: Mapping[str, Any]) -> bool:
    return row["state"] == EffectState.IN_DOUBT and row["run_finished_at"] is not None


def _unasked(row: Mapping[str, Any]) -> ApprovalRequest:
    """The question that nobody asks any more, because the run has ended."""
    return ApprovalRequest(
        id=f"(none: run {row['run_id']} has ended)",
        kind="doubt",
        purpose=row["purpose"],
        run=row["run_id"],
        step=row["step_id"],
        tool=row["tool"],
        effect_key=row["key"],
        args={"result": None},
        effect=row["effect_class"],
        digest="",
        requested_by=row["requested_by"],
        allowed=("edit", "reject"),
    )


async def _settle(
    saver: Checkpointer, row: Mapping[str, Any], clerk: GraphClerk, question: ApprovalRequest, decision: Decision
) -> None:
    decision = clerk.normalise(question, decision)
    clerk.authorise(question, decision, Voter(decision.by, decision.by, roles=()), None)
    args = decision.args or {}
    if args.get("undo"):
        raise CallerMistake(f"run {row['run_id']} has ended, and undoes nothing any more. Say only what happened.")
    happened = decision.type != "reject"
    settled = await saver.effects.settle(
        row["key"],
        row["tenant"],
        EffectState.SUCCEEDED if happened else EffectState.FAILED,
        result=args.get("result"),
        failure=None if happened else Failure(kind="in_doubt", message=said(decision)),
        actor=decision.by,
        reason=said(decision),
    )
    if not settled:
        raise CallerMistake(f"effect {row['key']} was settled meanwhile. Look at it again.")
