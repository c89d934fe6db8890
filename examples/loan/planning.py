"""The plan of a loan: always the same five steps, each on what the ones before it found."""

from __future__ import annotations

from gatepost import Plan, Step, ref

RISK_STEP, COMPLIANCE_STEP, LETTER_STEP = "risk", "compliance", "notification"

LOAN = Plan(
    steps=(
        Step(id="parse", tool="document_parse", args={"application": ref("input", "/application")}),
        Step(id="eligibility", tool="bureau_check", args={"applicant": ref("parse", "/applicant")}),
        Step(
            id=RISK_STEP,
            tool="risk_score",
            args={"score": ref("eligibility", "/score"), "open_loans": ref("eligibility", "/open_loans")},
        ),
        Step(
            id=COMPLIANCE_STEP,
            tool="loan_grant",
            args={
                "applicant": ref("parse", "/applicant"),
                "amount": ref("parse", "/amount"),
                "grade": ref(RISK_STEP, "/grade"),
            },
        ),
        Step(
            id=LETTER_STEP,
            tool="letter_send",
            args={"to": ref("parse", "/applicant"), "amount": ref(COMPLIANCE_STEP, "/amount")},
        ),
    )
)
