"""The finalizer: writes how the run ended, what it says, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gatepost.checkpointing.answers import decision_in
from gatepost.nodes.outlook import stays
from gatepost.nodes.spending import SPENT
from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Visit
from gatepost.nodes.workflow import Conclusion, Ending
from gatepost.state.artifact import Artifact
from gatepost.state.channels import RunState
from gatepost.state.errors import GatepostError, InvalidValue
from gatepost.state.status import RunStatus, StepStatus
from gatepost.state.step import StepRecord
from gatepost.state.values import printable, storable


async def finalizer(state: RunState, visit: Visit) -> dict[str, Any]:
    """One visit: conclude, and end the run."""
    proposed = state.get("ending") or {}
    status, reason = RunStatus(proposed["status"]), proposed.get("reason", "")
    ending = await _ending(state, visit, status, reason)  # a database that fails here is no failure of the run
    try:
        conclusion = _checked(visit.workflow.conclude(ending))
    except GatepostError as error:
        status, reason, conclusion = _broken(reason, str(error))
    except Exception as error:  # noqa: BLE001 (a workflow's own code may raise anything; it becomes state)
        status, reason, conclusion = _broken(reason, f"{type(error).__name__}: {error}")
    artifacts = [_anew(artifact, state.get("outcome")) for artifact in conclusion.artifacts]
    for artifact in artifacts:
        visit.session.stage_artifact(visit.task, artifact)
    visit.session.move(status, reason)
    names = [f"{artifact.name}@{artifact.version}" for artifact in artifacts]
    said = {**conclusion.outcome, **undoing(visit.board.records.values(), visit.tool)}
    outcome = {**said, "status": status.value, "reason": reason, "artifacts": names}
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
        policy_version=visit.policy.version,
        spent=state.get("counters", {}).get(SPENT, 0),
        now=session.now,
    )


def undoing(records: Iterable[StepRecord], tool: Callable[[str], AnyTool]) -> dict[str, Any]:
    """What was undone and what was not, and why not: for the outcome of a run in which something was to be undone."""
    found = {record.step: record for record in records}
    undone = [step for step, record in found.items() if record.status is StepStatus.COMPENSATED]
    stuck = {step: record.reason for step, record in found.items() if record.status is StepStatus.COMPENSATION_FAILED}
    if not undone and not stuck:
        return {}
    left = {
        step: stays(tool(record.tool))
        for step, record in found.items()
        if record.status is StepStatus.SUCCEEDED and tool(record.tool).effect != "read"
    }
    return {"undone": undone, "not_undone": {**left, **stuck}}


def _anew(artifact: Artifact, before: Mapping[str, Any] | None) -> Artifact:
    """A run that was recovered concludes once more: what it leaves behind then is a later version."""
    versions = (name.rpartition("@") for name in (before or {}).get("artifacts", ()))
    last = max((int(version) for name, _, version in versions if name == artifact.name), default=0)
    return artifact if artifact.version > last else artifact.model_copy(update={"version": last + 1})


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
