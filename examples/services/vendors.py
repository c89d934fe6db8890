"""The vendor of the onboarding review and the documents that it hands in. All of it is invented.

The standard documents come unasked; the additional ones only when their kind is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from gatepost.examples.services.message import Refused
from gatepost.examples.services.wire import Document

VENDOR = "northwind-analytics"
VENDOR_NAME = "Northwind Analytics GmbH"
STANDARD_KINDS = (
    "soc2_report",
    "iso27001_certificate",
    "data_processing_agreement",
    "insurance_certificate",
)
ADDITIONAL_KINDS = ("penetration_test_report", "subprocessor_list")


@dataclass(frozen=True, slots=True)
class _Paper:
    id: str
    kind: str
    title: str
    issued: str
    expires: str | None
    content: str

    def document(self) -> Document:
        return Document(
            id=self.id,
            kind=self.kind,
            title=self.title,
            issued=self.issued,
            expires=self.expires,
            content=self.content,
            sha256=hashlib.sha256(self.content.encode()).hexdigest(),
        )


def documents(vendor: str, *, kinds: Collection[str] = ()) -> list[Document]:
    """The vendor's documents of these kinds; without kinds, the standard ones."""
    require_vendor(vendor)
    unknown = sorted(set(kinds) - {*STANDARD_KINDS, *ADDITIONAL_KINDS})
    if unknown:
        known = ", ".join(STANDARD_KINDS + ADDITIONAL_KINDS)
        raise Refused(400, f"No documents of kind {', '.join(unknown)}; there are {known}.")
    return [paper.document() for paper in _PAPERS if paper.kind in (kinds or STANDARD_KINDS)]


def require_vendor(vendor: str) -> None:
    if vendor != VENDOR:
        raise Refused(404, f"No vendor {vendor!r}; there is {VENDOR!r}.")


_PAPERS = (
    _Paper(
        id="doc-soc2-2026",
        kind="soc2_report",
        title="SOC 2 Type II report, 1 July 2025 to 30 June 2026",
        issued="2026-08-14",
        expires="2027-08-13",
        content="""\
We have examined the description of the Northwind Insight platform and the suitability of the \
design and operating effectiveness of the controls stated in it, for the trust services criteria \
security, availability and confidentiality, throughout 1 July 2025 to 30 June 2026.

Opinion: in all material respects, the description is fairly presented and the controls operated \
effectively throughout the period. The opinion is not qualified.

Exception CC6.2-1: of four quarterly reviews of user access, the one for the fourth quarter of \
2025 was completed 23 days late. Two accounts of former contractors were disabled by it. \
Management response: reviews are now scheduled and tracked by the identity platform.

Complementary user entity controls: customers manage their own users, enforce multi-factor \
authentication in their identity provider, and report suspected compromise within 24 hours.
""",
    ),
    _Paper(
        id="doc-iso27001-2025",
        kind="iso27001_certificate",
        title="ISO/IEC 27001:2022 certificate",
        issued="2025-05-02",
        expires="2028-05-01",
        content="""\
This is to certify that the information security management system of Northwind Analytics GmbH, \
Hamburg, has been assessed and meets the requirements of ISO/IEC 27001:2022.

Scope: development, operation and support of the Northwind Insight analytics platform, in the \
offices in Hamburg and Porto and in the cloud regions Frankfurt and Dublin. Statement of \
applicability version 4.1 of 11 March 2025.

Surveillance audits take place every year. The first, in April 2026, found no major and one minor \
nonconformity (A.5.19, information security in supplier relationships), since closed.
""",
    ),
    _Paper(
        id="doc-dpa-2026",
        kind="data_processing_agreement",
        title="Data processing agreement under Article 28 GDPR, version 3.2",
        issued="2026-09-01",
        expires=None,
        content="""\
The processor processes personal data of the controller's customers (contact data, contract data, \
usage data) on documented instructions only, for the purpose of providing the analytics platform, \
for as long as the main contract lasts.

Sub-processors: the controller gives general authorisation. The processor keeps a current list \
and provides it on request; it announces changes 30 days ahead, within which the controller may \
object.

Location: data is stored in the European Union. Support staff outside it may have access in \
individual cases, under the standard contractual clauses of 4 June 2021.

Personal data breaches are notified without undue delay and at the latest after 48 hours. At the \
end of the contract, data is returned and deleted within 60 days, backups within 90.
""",
    ),
    _Paper(
        id="doc-insurance-2026",
        kind="insurance_certificate",
        title="Certificate of cyber and professional liability insurance",
        issued="2026-04-01",
        expires="2027-03-31",
        content="""\
We confirm that Northwind Analytics GmbH is insured under policy HB-77-204518 against \
professional liability, and against losses from cyber incidents including the cost of \
notification and restoration.

Limit of indemnity: EUR 2,000,000 for each claim and EUR 4,000,000 for each period of insurance; \
deductible EUR 25,000. Territory: worldwide except for claims under the law of the USA or Canada.

This certificate informs and does not change the policy. The policy lapses on 31 March 2027 \
unless it is renewed.
""",
    ),
    _Paper(
        id="doc-pentest-2026",
        kind="penetration_test_report",
        title="Penetration test of the Northwind Insight platform, summary of 2026",
        issued="2026-10-09",
        expires="2027-10-08",
        content="""\
Four testers examined the web application, the public API and the tenant isolation of Northwind \
Insight over twelve days in September 2026, with accounts in two tenants and without source code.

Results: no critical and no high findings; two medium (session not revoked when the password \
changes; verbose errors in the export API) and five low. No crossing from one tenant into the \
other was achieved.

Both medium findings were fixed and tested again on 6 October 2026. Of the low ones, three are \
fixed and two were accepted with a reason.
""",
    ),
    _Paper(
        id="doc-subprocessors-2026",
        kind="subprocessor_list",
        title="List of sub-processors as of 1 November 2026",
        issued="2026-11-01",
        expires=None,
        content="""\
Harbour Cloud SE, Frankfurt and Dublin: hosting and backups; all customer data; European Union.

Brevia Mail SAS, Lyon: sending of notifications; names and e-mail addresses; European Union.

Lantern Support Ltd, Leeds: second-level support outside office hours; access to a tenant in \
individual cases, after approval by the customer; United Kingdom, under the adequacy decision.
""",
    ),
)
