"""What the services do for a request: documents, screenings, decisions, charges, refunds; loans are in `lending`.

Pure: a route's act reads the request and returns the answer; booking it once is the reception's job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from gatepost.examples.services.fields import amount, objects, text, texts
from gatepost.examples.services.lending import lending_routes
from gatepost.examples.services.message import Refused, Request
from gatepost.examples.services.route import Occasion, Route
from gatepost.examples.services.screening import screen
from gatepost.examples.services.vendors import documents, require_vendor
from gatepost.examples.services.wire import Charge, Decision, Document, Evidence, Refund, Screening

DECISIONS = ("approved", "approved_with_controls", "rejected")


def find_route(request: Request) -> Route:
    fitting = [route for route in routes() if re.fullmatch(route.pattern, request.path)]
    if not fitting:
        raise Refused(404, f"Nothing here: {request.path}")
    for route in fitting:
        if route.method == request.method:
            return route
    allowed = ", ".join(route.method for route in fitting)
    raise Refused(405, f"{request.path} takes {allowed}.", headers={"Allow": allowed})


def routes() -> tuple[Route, ...]:
    return (
        Route("documents", "GET", "/vendors/[^/]+/documents", _read_documents, needs_key=False, status=200),
        Route("screenings", "POST", "/screenings", _screen, needs_key=False, status=201),
        Route("decisions", "POST", "/decisions", _decide, needs_key=True, status=201),
        Route("charges", "POST", "/charges", _charge, needs_key=True, status=201),
        Route("refunds", "POST", "/refunds", _refund, needs_key=True, status=201),
        *lending_routes(),
    )


def vendor_of(request: Request) -> str | None:
    """The vendor that a request is about, for the books; None where it names none."""
    if request.path.startswith("/vendors/"):
        return unquote(request.path.split("/")[2])
    named = request.body.get("vendor") if isinstance(request.body, dict) else None
    return named if isinstance(named, str) else None


def _read_documents(request: Request, _: Occasion) -> list[Document]:
    return documents(unquote(request.path.split("/")[2]), kinds=request.query.get("kind", ()))


def _screen(request: Request, _: Occasion) -> Screening:
    return screen(text(request.fields, "vendor"), evidence=_evidence(request.fields, "documents"))


def _decide(request: Request, occasion: Occasion) -> Decision:
    fields = request.fields
    require_vendor(text(fields, "vendor"))
    if fields.get("decision") not in DECISIONS:
        raise Refused(400, f"decision is one of {', '.join(DECISIONS)}.")
    _evidence(fields, "evidence")
    return Decision(
        decision_id=f"dec_{occasion.reference}",
        vendor=text(fields, "vendor"),
        decision=text(fields, "decision"),
        controls=texts(fields, "controls"),
        recorded_at=occasion.at,
    )


def _charge(request: Request, occasion: Occasion) -> Charge:
    return Charge(
        charge_id=f"chg_{occasion.reference}",
        customer=text(request.fields, "customer"),
        amount=amount(request.fields),
        currency=text(request.fields, "currency", otherwise="EUR"),
        recorded_at=occasion.at,
    )


def _refund(request: Request, occasion: Occasion) -> Refund:
    return Refund(
        refund_id=f"ref_{occasion.reference}",
        customer=text(request.fields, "customer"),
        amount=amount(request.fields),
        currency=text(request.fields, "currency", otherwise="EUR"),
        charge_id=text(request.fields, "charge_id", otherwise="") or None,
        recorded_at=occasion.at,
    )


def _evidence(fields: Mapping[str, Any], name: str) -> list[Evidence]:
    return [Evidence(id=text(item, "id"), sha256=text(item, "sha256")) for item in objects(fields, name)]
