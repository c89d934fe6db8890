"""What a review leaves behind: `onboarding_decision.json`, with who decided what on which evidence.

Pure, and called once at the end of the run. The shape is `artifact.OnboardingDecision`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gatepost import Artifact, Conclusion, Ending, RunStatus, StepStatus
from gatepost.examples.vendor_onboarding.artifact import ARTIFACT, Approver, Edited, OnboardingDecision
from gatepost.examples.vendor_onboarding.planning import DECISION_STEP, decision_rests_on
from gatepost.examples.vendor_onboarding.types import Screening
from gatepost.state.step import StepRecord


def conclude(ending: Ending) -> Conclusion:
    """The artifact and the outcome of a review that came to a decision; nothing of one that did not."""
    decided = _decision(ending)
    if decided is None:
        return Conclusion(outcome={"decision": None})
    content = json.dumps(decided.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    artifact = Artifact(name=ARTIFACT, content=content, parents=_parents(ending))
    return Conclusion(outcome={"decision": decided.decision, "controls": list(decided.controls)}, artifacts=(artifact,))


def _decision(ending: Ending) -> OnboardingDecision | None:
    record = ending.steps.get(DECISION_STEP)
    if ending.plan is None or record is None or ending.status not in (RunStatus.SUCCEEDED, RunStatus.REJECTED):
        return None
    if record.status is StepStatus.SKIPPED:  # an operator left it out, or what it rests on: nothing was decided
        return None
    screening = Screening.model_validate(ending.steps[decision_rests_on(ending.plan)].output)
    answered = next((found for found in ending.approvals if found["request"]["id"] == record.approval), None)
    booked = _booked(record)
    action = _action(answered) if answered else booked
    refused = ending.status is RunStatus.REJECTED
    return OnboardingDecision(
        run=ending.run_id,
        status="rejected" if refused else "succeeded",
        vendor=action["vendor"],
        decision="rejected" if refused else action["decision"],
        controls=[] if refused else action["controls"],
        reference=booked.get("reference"),
        risk=screening.risk,
        findings=screening.findings,
        evidence=action["evidence"],
        approver=_approver(answered) if answered else None,
        plan_version=ending.plan.version,
        policy_version=ending.policy_version,
    )


def _booked(record: StepRecord) -> Mapping[str, Any]:
    """What the register answered; empty where it was not asked, or where nobody saw its answer."""
    return record.output if isinstance(record.output, dict) else {}


def _action(answered: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments that the person answered for: as asked, or as edited."""
    edited: Mapping[str, Any] | None = answered["decision"].get("args")
    asked: Mapping[str, Any] = answered["request"]["args"]
    return asked if edited is None else edited


def _approver(answered: Mapping[str, Any]) -> Approver:
    decision, asked, done = answered["decision"], answered["request"]["args"], _action(answered)
    changed = {name: Edited(proposed=asked.get(name), decided=done[name]) for name in done}
    return Approver(
        name=decision["by"],
        at=answered["at"],
        answer=decision["type"],
        comment=decision.get("comment", ""),
        edited={name: edit for name, edit in changed.items() if edit.proposed != edit.decided},
    )


def _parents(ending: Ending) -> tuple[str, ...]:
    steps = ending.plan.steps if ending.plan else ()
    done = (step.id for step in steps if step.id in ending.steps)
    return tuple(step for step in done if ending.steps[step].status is StepStatus.SUCCEEDED)
