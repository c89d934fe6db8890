"""The screening of a vendor's documents against the (invented) purchasing policy.

A pure function of the documents that are named: the same set gives the same finding, and
every set needs a person, because the vendor would process personal data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from gatepost.examples.services.message import Refused
from gatepost.examples.services.vendors import ADDITIONAL_KINDS, STANDARD_KINDS, documents
from gatepost.examples.services.wire import Document, Evidence, Finding, Screening

_SEVERITIES = ("low", "medium", "high")

_OBSERVATIONS = {
    "soc2_report": Finding(
        control="access-review",
        severity="low",
        text="One of four quarterly access reviews was 23 days late (SOC 2, CC6.2-1).",
    ),
    "insurance_certificate": Finding(
        control="insurance-cover",
        severity="low",
        text="Cover of EUR 2,000,000 a claim; the guideline asks for EUR 5,000,000.",
    ),
}
"""What the document of that kind shows."""

_GAPS = {
    "penetration_test_report": Finding(
        control="penetration-test",
        severity="medium",
        text="No independent penetration test of the last twelve months was handed in.",
    ),
    "subprocessor_list": Finding(
        control="subprocessors",
        severity="medium",
        text="The agreement refers to a list of sub-processors that was not handed in.",
    ),
}
"""What is noticed when there is no document of that kind."""

_CONTROLS = {
    "access-review": "Evidence of each quarterly access review within ten days",
    "insurance-cover": "Cyber cover raised to EUR 5,000,000 a claim by the next renewal",
    "penetration-test": "Penetration test report within 90 days and then every year",
    "subprocessors": "List of sub-processors before any personal data is transferred",
    "missing-document": "Missing documents handed in before the contract is signed",
    "document-integrity": "Documents handed in again through the vendor portal",
}


def screen(vendor: str, *, evidence: Sequence[Evidence]) -> Screening:
    known = {paper["id"]: paper for paper in documents(vendor, kinds=_all_kinds())}
    unknown = sorted({item["id"] for item in evidence} - set(known))
    if unknown:
        raise Refused(400, f"{vendor} has no document {', '.join(unknown)}.")
    findings = _findings([known[item["id"]] for item in evidence], evidence=evidence)
    return Screening(
        vendor=vendor,
        risk=_worst(findings),
        findings=findings,
        needs_approval="manual approval",
        because="The vendor would process personal data of customers: a person has to decide.",
        proposed_controls=_controls(findings),
        screened=sorted(evidence, key=lambda item: item["id"]),
    )


def _findings(papers: Sequence[Document], *, evidence: Iterable[Evidence]) -> list[Finding]:
    kinds = {paper["kind"] for paper in papers}
    pairs = zip(papers, evidence, strict=True)
    return [
        *(_altered(paper) for paper, item in pairs if paper["sha256"] != item["sha256"]),
        *(_missing(kind) for kind in STANDARD_KINDS if kind not in kinds),
        *(finding for kind, finding in _GAPS.items() if kind not in kinds),
        *(finding for kind, finding in _OBSERVATIONS.items() if kind in kinds),
    ]


def _altered(paper: Document) -> Finding:
    text = f"{paper['title']}: the text that was read is not the text on file."
    return Finding(control="document-integrity", severity="high", text=text)


def _missing(kind: str) -> Finding:
    text = f"No {kind.replace('_', ' ')} was handed in."
    return Finding(control="missing-document", severity="medium", text=text)


def _worst(findings: Collection[Finding]) -> str:
    return max((finding["severity"] for finding in findings), key=_SEVERITIES.index, default="low")


def _controls(findings: Iterable[Finding]) -> list[str]:
    # dict.fromkeys: two findings under one control propose it once, in order.
    return list(dict.fromkeys(_CONTROLS[finding["control"]] for finding in findings))


def _all_kinds() -> tuple[str, ...]:
    return STANDARD_KINDS + ADDITIONAL_KINDS
