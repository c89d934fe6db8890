"""From a screening to the decision that it proposes: a pure function of risk and controls."""

from __future__ import annotations

from collections.abc import Sequence

from gatepost.examples.vendor_onboarding.types import Verdict


def propose(risk: str, controls: Sequence[str]) -> tuple[Verdict, list[str]]:
    """What is put before the person who decides.

    A high risk is not bought off with controls: it is proposed for rejection, and no controls go with that.
    """
    if risk == "high":
        return "rejected", []
    if controls:
        return "approved_with_controls", list(controls)
    return "approved", []
