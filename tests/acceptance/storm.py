"""The workflow of the storm: two identical charges, one after the other. Copied into a test's folder for its workers;
the provider is the example services, told by environment.
"""

from __future__ import annotations

import os
from datetime import timedelta

from gatepost import EffectContext, FixedPlan, Plan, Retry, Step, Workflow, tool
from gatepost.examples.services import SERVICES_VARIABLE, Services

ATTEMPTS = 40
"""More than a storm takes, and an end all the same."""


@tool(
    effect="write",
    on_doubt="retry",
    timeout=timedelta(seconds=1),
    retry=Retry(attempts=ATTEMPTS, first=timedelta(milliseconds=50), longest=timedelta(milliseconds=500)),
)
def charge(ctx: EffectContext, customer: str) -> str:
    """Charge a customer."""
    with Services(os.environ[SERVICES_VARIABLE], seconds=0.8) as services:
        return services.charge(customer, amount="42.00", key=ctx.idempotency_key)["charge_id"]


PLAN = Plan(
    steps=(
        Step(id="first", tool="charge", args={"customer": "ada"}),
        Step(id="second", tool="charge", args={"customer": "ada"}, needs=("first",)),
    )
)
WORKFLOWS = [Workflow(name="storm", goals=("storm",), strategy=FixedPlan(PLAN), tools=(charge,))]
