"""The shape of `loan_decision.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gatepost.examples.loan.types import Amount, Application, CreditFile, Grade

ARTIFACT = "loan_decision.json"


class _Described(BaseModel):
    """A frozen value without unknown fields; what stands under a field is its description in the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Reviewer(_Described):
    """The compliance reviewer who answered, and what they said."""

    name: str
    at: str = Field(json_schema_extra={"format": "date-time"})
    answer: Literal["approve", "edit", "reject"]
    comment: str


class Failure(_Described):
    """What failures and dead processes had cost when the risk was graded, by the books of those who were asked."""

    calls: int
    """Made again under the key that they had the first time."""
    seconds: float
    """From the first call under such a key to the last."""
    units: int
    """Charged beyond what the run had set out to spend: 0 where nothing was paid twice."""


class LoanDecision(_Described):
    """The decision about a loan: what, by whom, on what, and what it has cost to get there."""

    schema_version: Literal[1] = 1
    run: str
    decision: Literal["granted", "refused"]
    application: Application
    amount: Amount
    """What was granted or refused; a reviewer may have edited what was applied for."""
    credit_file: CreditFile
    """The one that was decided on."""
    grade: Grade
    loan: str | None
    """Under which the bank booked it; null where it did not."""
    letter: str | None
    reviewer: Reviewer | None
    """Null where the policy let it run unattended."""
    changed: list[dict[str, JsonValue]]
    """How the credit file had changed since an earlier yes, which was not enough then."""
    calls: dict[str, int]
    """Until the risk was graded, by who was asked."""
    units: int
    """That the run has spent."""
    failure: Failure
    plan_version: int
    policy_version: str
