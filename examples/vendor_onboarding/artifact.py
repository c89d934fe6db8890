"""The shape of `onboarding_decision.json`.

`onboarding_decision.schema.json` is `schema_text()`, shipped beside the model for readers in other
languages; a test holds the two together.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gatepost.examples.vendor_onboarding.types import Controls, Evidence, Observation, Risk, Verdict

ARTIFACT = "onboarding_decision.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Described(BaseModel):
    """A frozen value without unknown fields; what stands under a field is its description in the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Edited(_Described):
    """An argument that the approver changed."""

    proposed: JsonValue
    decided: JsonValue


class Approver(_Described):
    """The person who answered, and what they said."""

    name: str
    at: str = Field(json_schema_extra={"format": "date-time"})
    answer: Literal["approve", "edit", "reject"]
    comment: str
    edited: dict[str, Edited]
    """By argument; empty where the proposal was taken as it was."""


class OnboardingDecision(_Described):
    """The decision about a vendor: what, by whom, on what evidence, under which plan and policy."""

    schema_version: Literal[1] = 1
    run: str
    status: Literal["succeeded", "rejected"]
    """`rejected`: a person refused the action itself, so nothing was entered in the vendor register."""
    vendor: str
    decision: Verdict
    controls: Controls
    reference: str | None
    """Under which the vendor register booked it; null where it did not, or where nobody saw its answer."""
    risk: Risk
    findings: list[Observation]
    evidence: list[Evidence]
    approver: Approver | None
    """Null where the policy let it run unattended."""
    plan_version: int
    policy_version: str


def schema_text() -> str:
    """The JSON Schema of the artifact, as it is shipped. Every field is written, so every field is required."""
    schema: dict[str, Any] = {"$schema": _DIALECT, **OnboardingDecision.model_json_schema(mode="serialization")}
    return json.dumps(schema, indent=2) + "\n"
