"""Vendor onboarding review: collect a vendor's documents, screen them, decide, and leave the decision as an artifact.

`docs_collect` and `policy_screen` run unattended. The screening demands a person for whatever rests on
it, so `final_decision` waits: its arguments (the decision, its controls, the evidence) are what is
approved. A person may approve, edit, reject, or ask for more documents, which makes a new plan version
that keeps what is done.

    gatepost run --goal "vendor onboarding review"
"""

from __future__ import annotations

from importlib.resources import files

from gatepost.examples.vendor_onboarding.conclusion import conclude
from gatepost.examples.vendor_onboarding.planning import OnboardingStrategy
from gatepost.examples.vendor_onboarding.tools import docs_collect, final_decision, policy_screen
from gatepost.examples.vendor_onboarding.types import OnboardingRequest
from gatepost.nodes.policy import Policy
from gatepost.nodes.workflow import Workflow

GOAL = "vendor onboarding review"

WORKFLOW = Workflow(
    name="vendor_onboarding",
    goals=(GOAL,),
    description="Reviews a vendor's documents and records a decision with its controls, after a person's approval.",
    strategy=OnboardingStrategy(),
    tools=(docs_collect, policy_screen, final_decision),
    input=OnboardingRequest,
    conclude=conclude,
    policy=Policy(
        (files("gatepost.examples.vendor_onboarding") / "policy.cedar").read_text(encoding="utf-8"),
        name="vendor_onboarding/policy.cedar",
    ),
)

__all__ = ["GOAL", "WORKFLOW"]
