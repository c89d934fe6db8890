"""What the steps of the review take and give.

Invariant: a document travels as its id and the checksum of the text that was read, never as the text
itself, so that a step's output stays small and says exactly what it rests on.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationInfo

from gatepost import Finding
from gatepost.examples.services import VENDOR

Verdict: TypeAlias = Literal["approved", "approved_with_controls", "rejected"]
Risk: TypeAlias = Literal["low", "medium", "high"]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _fit_the_decision(controls: list[str], info: ValidationInfo) -> list[str]:
    """Refuse a decision that contradicts its controls, while whoever edited it can still correct it."""
    decision = info.data.get("decision")
    if decision == "approved" and controls:
        raise ValueError("'approved' takes no controls; decide 'approved_with_controls' to impose them")
    if decision == "approved_with_controls" and not controls:
        raise ValueError("'approved_with_controls' needs at least one control; decide 'approved' to impose none")
    return controls


Control: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Controls: TypeAlias = Annotated[list[Control], AfterValidator(_fit_the_decision)]
"""What a vendor has to do. Checked against a field `decision` that comes before it."""


class _Plain(BaseModel):
    """A frozen value without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OnboardingRequest(_Plain):
    """What a review is started with."""

    vendor: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] = VENDOR
    """The vendor's id at the services. One that cannot be an id is refused before there is a run."""


class Document(_Plain):
    """A document that was read."""

    id: str
    kind: str
    title: str
    sha256: Sha256
    """Of the text that was read, computed here and not taken from the vendor."""


class Dossier(_Plain):
    """The documents of one collection."""

    vendor: str
    documents: list[Document]


class Evidence(_Plain):
    """A document that a decision rests on: which one, and exactly which text of it."""

    document: str
    sha256: Sha256


class Observation(_Plain):
    """What the screening noticed under one control."""

    control: str
    severity: Risk
    text: str


class Screening(Finding):
    """The screening's outcome, with the decision that it proposes."""

    vendor: str
    risk: Risk
    findings: list[Observation]
    because: str
    """Why a person has to decide, for that person."""
    proposed_decision: Verdict
    proposed_controls: list[str]
    evidence: list[Evidence]


class Registered(_Plain):
    """The decision as the vendor register booked it."""

    reference: str
    vendor: str
    decision: Verdict
    controls: Controls
    evidence: list[Evidence]
