"""What the steps of a loan take and give. Money is text, so that no float comes between."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gatepost.examples.services import APPLICATION

Grade: TypeAlias = Literal["A", "C"]
Amount: TypeAlias = Annotated[Decimal, Field(gt=0, decimal_places=2, max_digits=12)]
"""EUR."""


class _Plain(BaseModel):
    """A frozen value without unknown fields; what stands under a field is its description in a schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LoanRequest(_Plain):
    """What a run is started with."""

    application: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] = APPLICATION
    """The application's id in the archive."""


class Application(_Plain):
    """What 40 pages say."""

    applicant: str
    amount: Amount
    monthly_salary: Amount
    """The average of the salaries on the account statements."""
    pages: int
    sha256: str
    """Of the text that was read, all pages of it."""


class CreditFile(_Plain):
    """What the bureau has on file."""

    score: int
    open_loans: int
    as_of: str


class Costs(_Plain):
    """What a case has cost so far, by the books of those who were asked."""

    calls: dict[str, int]
    """By endpoint."""
    calls_again: int
    """Of these, under a key that had come before: what a failure or a dead process has cost in calls."""
    seconds_again: float
    """And in time: from the first call under each such key to the last."""
    units: int
    """That are charged."""


class Risk(_Plain):
    """The grade, and what it took."""

    grade: Grade
    costs: Costs
    said: str
    """For the log."""


class Loan(_Plain):
    """A loan that was granted."""

    loan: str
    applicant: str
    amount: Amount
    decision: Literal["granted"] = "granted"


class Letter(_Plain):
    """A letter that was sent."""

    letter: str
