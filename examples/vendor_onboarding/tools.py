"""The tools of the review: two that read, and one that acts.

Every call carries its idempotency key, reads as well, so the services' own books show each step once
even when the worker is killed in the middle of a call and another one makes it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gatepost import EffectContext, tool
from gatepost.examples import services
from gatepost.examples.nearby import services_url
from gatepost.examples.services import Services
from gatepost.examples.vendor_onboarding.proposal import propose
from gatepost.examples.vendor_onboarding.types import (
    Controls,
    Document,
    Dossier,
    Evidence,
    Registered,
    Screening,
    Verdict,
)


@tool(effect="read")
def docs_collect(ctx: EffectContext, vendor: str, kinds: list[str] = []) -> Dossier:  # noqa: B006 (only read)
    """Read the vendor's documents: the standard ones, or those of the kinds that are named."""
    with _connected() as provider:
        found = provider.documents(vendor, kinds=kinds, key=ctx.idempotency_key)
    return Dossier(vendor=vendor, documents=[_read(paper) for paper in found])


@tool(effect="read")
def policy_screen(ctx: EffectContext, vendor: str, dossiers: list[Dossier]) -> Screening:
    """Screen the documents of all collections against the purchasing policy, and propose a decision."""
    evidence = cited(dossiers)
    with _connected() as provider:
        found = provider.screen(vendor, documents=_wired(evidence), key=ctx.idempotency_key)
    decision, controls = propose(found["risk"], found["proposed_controls"])
    return Screening.model_validate(
        {
            "needs_approval": found["needs_approval"],
            "because": found["because"],
            "vendor": found["vendor"],
            "risk": found["risk"],
            "findings": found["findings"],
            "proposed_decision": decision,
            "proposed_controls": controls,
            "evidence": evidence,
        }
    )


@tool(effect="write", on_doubt="retry", label="decision")
def final_decision(
    ctx: EffectContext, vendor: str, decision: Verdict, controls: Controls, evidence: list[Evidence]
) -> Registered:
    """Record the decision in the vendor register, which dedupes on the idempotency key."""
    with _connected() as provider:
        booked = provider.decide(
            vendor, decision=decision, controls=controls, evidence=_wired(evidence), key=ctx.idempotency_key
        )
    return Registered.model_validate(
        {
            "reference": booked["decision_id"],
            "vendor": booked["vendor"],
            "decision": booked["decision"],
            "controls": booked["controls"],
            "evidence": evidence,
        }
    )


def cited(dossiers: Sequence[Dossier]) -> list[Evidence]:
    """Each document once, by id; where it was collected again, as it was read last."""
    latest = {paper.id: paper.sha256 for dossier in dossiers for paper in dossier.documents}
    return [Evidence(document=paper, sha256=latest[paper]) for paper in sorted(latest)]


def _connected() -> Services:
    return Services(services_url())


def _read(paper: services.Document) -> Document:
    read = hashlib.sha256(paper["content"].encode()).hexdigest()
    return Document(id=paper["id"], kind=paper["kind"], title=paper["title"], sha256=read)


def _wired(evidence: Sequence[Evidence]) -> list[services.Evidence]:
    return [services.Evidence(id=item.document, sha256=item.sha256) for item in evidence]
