"""The finalizer: writes how the run ended, what it says, and what it leaves behind."""

from __future__ import annotations

from typing import Any

from gatepost.checkpointing.answers import decision_in
from gatepost.nodes.visit import Visit
from gatepost.nodes.workflow import Conclusion, Ending
from gatepost.state.channels import RunState
from gatepost.state.errors import GatepostError, InvalidValue
from gatepost.state.status import RunStatus
from gatepost.state.values import printable, storable


async def finalizer(state: RunState, visit: Visit) -> dict[str, Any]:
    """One visit: conclude, and end the run."""
    proposed = state.get("ending") or {}
    status, reason = RunStatus(proposed["status"]), proposed.get("reason", "")
    try:
        conclusion = _checked(visit.workflow.conclude(await _ending(state, visit, status, reason)))
    except GatepostError as error:
        status, reason, conclusion = _broken(reason, str(error))
    except Exception as error:  # noqa: BLE001 (a workflow's own code may raise anything; it becomes state)
        status, reason, conclusion = _broken(reason, f"{type(error).__name__}: {error}")
    for artifact in conclusion.artifacts:
        visit.session.stage_artifact(visit.task, artifact)
    visit.session.move(status, reason)
    names = [f"{artifact.name}@{artifact.version}" for artifact in conclusion.artifacts]
    outcome = {**conclusion.outcome, "status": status.value, "reason": reason, "artifacts": names}
    return {"status": status.value, "outcome": outcome, "ending": None}


async def _ending(state: RunState, visit: Visit, status: RunStatus, reason: str) -> Ending:
    session = visit.session
    rows = await visit.equipment.approvals.list(session.run.tenant, status=None, run_id=session.run.run_id, limit=1000)
    decided = tuple(
        {"request": row["request"], "decision": decision.plain(), "at": row["decided_at"].isoformat()}
        for row in rows
        if (decision := decision_in(row)) is not None
    )
    return Ending(
        run_id=session.run.run_id,
        goal=state["goal"],
        input=state.get("input", {}),
        status=status,
        reason=reason,
        plan=visit.board.plan,
        steps=dict(visit.board.records),
        approvals=decided,
        policy_version=visit.equipment.policy.version,
    )


def _checked(conclusion: Conclusion) -> Conclusion:
    storable(dict(conclusion.outcome), where="the outcome")
    for artifact in conclusion.artifacts:
        storable(artifact.plain(), where="an artifact")
    named = [(artifact.name, artifact.version) for artifact in conclusion.artifacts]
    if len(set(named)) < len(named):
        raise InvalidValue("two artifacts have the same name and version. Give each version a number of its own.")
    return conclusion


def _broken(reason: str, error: str) -> tuple[RunStatus, str, Conclusion]:
    """The steps are done, but the workflow could not say what that means."""
    said = f"{reason}; " if reason else ""
    return RunStatus.FAILED, f"{said}conclude() failed: {printable(error, limit=1000)}", Conclusion()
