"""The external services of the reference workflows: one small real HTTP server on loopback.

It is a process of its own with books of its own, so "called once" is counted by the other
side and a `kill -9` of the worker that calls it leaves the evidence standing.
"""

from __future__ import annotations

from gatepost.examples.services.applications import APPLICANT, APPLICATION
from gatepost.examples.services.bank import Bank
from gatepost.examples.services.client import Services
from gatepost.examples.services.launch import (
    SERVICES_VARIABLE,
    ServicesNotStarted,
    ensure_services,
    stop_services,
)
from gatepost.examples.services.lending import HIT_COSTS, SCORE_COSTS
from gatepost.examples.services.loans import Billed
from gatepost.examples.services.vendors import (
    ADDITIONAL_KINDS,
    STANDARD_KINDS,
    VENDOR,
    VENDOR_NAME,
)
from gatepost.examples.services.wire import (
    Charge,
    Decision,
    Document,
    EndpointBooks,
    Evidence,
    Finding,
    Held,
    KeyBooks,
    Refund,
    Screening,
)

__all__ = [
    "ADDITIONAL_KINDS",
    "APPLICANT",
    "APPLICATION",
    "HIT_COSTS",
    "SCORE_COSTS",
    "SERVICES_VARIABLE",
    "STANDARD_KINDS",
    "VENDOR",
    "VENDOR_NAME",
    "Bank",
    "Billed",
    "Charge",
    "Decision",
    "Document",
    "EndpointBooks",
    "Evidence",
    "Finding",
    "Held",
    "KeyBooks",
    "Refund",
    "Screening",
    "Services",
    "ServicesNotStarted",
    "ensure_services",
    "stop_services",
]
