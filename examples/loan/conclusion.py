"""What a loan leaves behind: `loan_decision.json`, with who decided what, and what the failure has cost.

Pure, and called once at the end of the run. The shape is `artifact.LoanDecision`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gatepost import Artifact, Conclusion, Ending, RunStatus, StepStatus
from gatepost.examples.loan.artifact import ARTIFACT, Failure, LoanDecision, Reviewer
from gatepost.examples.loan.planning import COMPLIANCE_STEP, LETTER_STEP, RISK_STEP
from gatepost.examples.loan.types import Application, CreditFile, Risk
from gatepost.state.step import StepRecord


def conclude(ending: Ending) -> Conclusion:
    """The artifact and the outcome of a loan that was decided; of one that was not, what it has cost all the same."""
    decided = _decision(ending)
    if decided is None:
        return Conclusion(outcome={"decision": None, "units": _spent(ending)})
    content = json.dumps(decided.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    done = tuple(step for step, record in ending.steps.items() if record.status is StepStatus.SUCCEEDED)
    said = {"decision": decided.decision, "units": decided.units, "failure": decided.failure.model_dump(mode="json")}
    return Conclusion(outcome=said, artifacts=(Artifact(name=ARTIFACT, content=content, parents=done),))


def _decision(ending: Ending) -> LoanDecision | None:
    steps, compliance = ending.steps, ending.steps.get(COMPLIANCE_STEP)
    loan, letter = _output(compliance), _output(steps.get(LETTER_STEP))
    answered = next(
        (one for one in ending.approvals if compliance and one["request"]["id"] == compliance.approval), None
    )
    if not loan and not (ending.status is RunStatus.REJECTED and answered):
        return None
    graded = Risk.model_validate(steps[RISK_STEP].output)
    read = Application.model_validate(steps["parse"].output)
    return LoanDecision(
        run=ending.run_id,
        decision="granted" if loan else "refused",
        application=read,
        amount=loan.get("amount", read.amount),
        credit_file=CreditFile.model_validate(steps["eligibility"].output),
        grade=graded.grade,
        loan=loan.get("loan"),
        letter=letter.get("letter"),
        reviewer=_reviewer(answered) if answered else None,
        changed=list(answered["request"].get("changes", ())) if answered else [],
        calls=graded.costs.calls,
        units=_spent(ending),
        failure=_failure(graded, steps[RISK_STEP]),
        plan_version=ending.plan.version if ending.plan else 1,
        policy_version=ending.policy_version,
    )


def _output(record: StepRecord | None) -> Mapping[str, Any]:
    return record.output if record is not None and isinstance(record.output, dict) else {}


def _reviewer(answered: Mapping[str, Any]) -> Reviewer:
    said = answered["decision"]
    return Reviewer(name=said["by"], at=answered["at"], answer=said["type"], comment=said.get("comment", ""))


def _spent(ending: Ending) -> int:
    """What the run had set out to spend when its last step was dispatched."""
    return max((record.spent for record in ending.steps.values()), default=0)


def _failure(graded: Risk, record: StepRecord) -> Failure:
    costs = graded.costs
    # Both sums are of the same moment: what the run had set out to spend, and what was charged when it was told so.
    return Failure(calls=costs.calls_again, seconds=costs.seconds_again, units=costs.units - record.spent)
