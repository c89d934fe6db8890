"""The shapes of what the services of a loan say.

Plain JSON data only, shared by the server and its client, as in `wire`.
"""

from __future__ import annotations

# Pydantic refuses typing.TypedDict before Python 3.12, and tools are declared with these types.
from typing_extensions import TypedDict


class Pages(TypedDict):
    """An application as it was handed in."""

    application: str
    pages: list[str]
    """The text of each page, in order."""


class CreditFile(TypedDict):
    """What the credit bureau has on file."""

    score: int
    open_loans: int
    as_of: str
    """ISO 8601, UTC: when the bureau looked."""


class Graded(TypedDict):
    """What the risk scorer makes of a credit file."""

    grade: str
    """`A`, or `C` where the score is under 700 or there are three open loans and more."""


class Granted(TypedDict):
    """A loan as the bank booked it."""

    loan_id: str
    applicant: str
    amount: str
    recorded_at: str


class Posted(TypedDict):
    """A letter that was sent."""

    letter_id: str
    recorded_at: str


class Billed(TypedDict):
    """What one endpoint was asked for, and what it charges for that."""

    calls: int
    again: int
    """Calls under a key that had come before."""
    seconds: float
    """How long those came after the first one under their key."""
    units: int
