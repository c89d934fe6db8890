"""The shapes of what the example services say, shared by the server and its client.

Plain JSON data only: a dict that a client receives can go into a step's result unchanged.
"""

from __future__ import annotations

# Pydantic refuses typing.TypedDict before Python 3.12, and tools are declared with these types.
from typing_extensions import TypedDict


class Document(TypedDict):
    """One document that a vendor hands in."""

    id: str
    kind: str
    title: str
    issued: str
    """ISO date."""
    expires: str | None
    """ISO date; None for a document that does not lapse."""
    content: str
    sha256: str
    """Of the content's UTF-8 bytes, in hex."""


class Evidence(TypedDict):
    """A document as it is cited: which one, and exactly which text of it."""

    id: str
    sha256: str


class Finding(TypedDict):
    """What a screening noticed under one control."""

    control: str
    severity: str
    """`low`, `medium` or `high`."""
    text: str


class Screening(TypedDict):
    """The outcome of screening a set of documents."""

    vendor: str
    risk: str
    """The highest severity among the findings."""
    findings: list[Finding]
    needs_approval: str
    """The reason, in the words that a log shows."""
    because: str
    """The same for the person who is asked."""
    proposed_controls: list[str]
    screened: list[Evidence]


class Decision(TypedDict):
    """A decision as the vendor register booked it."""

    decision_id: str
    vendor: str
    decision: str
    controls: list[str]
    recorded_at: str


class Charge(TypedDict):
    """Money taken."""

    charge_id: str
    customer: str
    amount: str
    currency: str
    recorded_at: str


class Refund(TypedDict):
    """Money given back."""

    refund_id: str
    customer: str
    amount: str
    currency: str
    charge_id: str | None
    recorded_at: str


class KeyBooks(TypedDict):
    """What the books say about one idempotency key at one endpoint."""

    attempts: int
    effects: int
    deduplicated: int
    statuses: list[int | None]
    """In order of arrival; None for a call that was not answered (yet)."""


class EndpointBooks(TypedDict):
    """What the books say about one endpoint."""

    attempts: int
    effects: int
    """One per key, however often it came; and one for each act without a key."""
    deduplicated: int
    by_key: dict[str, KeyBooks]


class Held(TypedDict):
    """A request that a fault is holding right now."""

    id: int
    path: str
    key: str | None
    kind: str
    """`delay_before`: not acted yet. `hang_after`: acted and booked, not answered yet."""
