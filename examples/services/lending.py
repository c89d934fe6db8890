"""The services of a loan: an archive, a bureau that charges for each hit, a scorer that has to wake up, a bank, a post.

Everything about one loan is under `/loans/<case>/`, so the books can be asked what a case has cost.
"""

from __future__ import annotations

from gatepost.examples.services.applications import FIRST_FILE, application
from gatepost.examples.services.fields import amount, text, whole
from gatepost.examples.services.loans import CreditFile, Graded, Granted, Pages, Posted
from gatepost.examples.services.message import Refused, Request
from gatepost.examples.services.route import Occasion, Route

HIT_COSTS = 25
"""Units that the bureau charges for a look into a file."""
SCORE_COSTS = 1
"""Units that the scorer charges for a grade."""
_GOOD_SCORE, _TOO_MANY_LOANS = 700, 3


def lending_routes() -> tuple[Route, ...]:
    return (
        Route("applications", "GET", "/loans/[^/]+/application", _read, needs_key=False, status=200),
        Route("bureau", "POST", "/loans/[^/]+/bureau", _look_up, needs_key=True, status=201, price=HIT_COSTS),
        Route("scores", "POST", "/loans/[^/]+/score", _score, needs_key=True, status=201, price=SCORE_COSTS),
        Route("grants", "POST", "/loans/[^/]+/grant", _grant, needs_key=True, status=201),
        Route("letters", "POST", "/loans/[^/]+/letter", _post, needs_key=True, status=201),
        Route("reports", "POST", "/reports/[^/]+", _report, needs_key=False, status=201),
    )


def _read(request: Request, _: Occasion) -> Pages:
    return application(request.first("id") or "")


def _look_up(request: Request, occasion: Occasion) -> CreditFile:
    reported = occasion.latest(f"/reports/{text(request.fields, 'applicant')}") or FIRST_FILE
    return CreditFile(score=reported["score"], open_loans=reported["open_loans"], as_of=occasion.at)


def _report(request: Request, occasion: Occasion) -> CreditFile:
    """What the bureau has on file from now on: somebody else has lent the applicant money, or got it back."""
    fields = request.fields
    return CreditFile(score=whole(fields, "score"), open_loans=whole(fields, "open_loans"), as_of=occasion.at)


def _score(request: Request, occasion: Occasion) -> Graded:
    if occasion.calls(request.path) == 1:
        raise Refused(503, "The model is being loaded; try again.")
    score, open_loans = whole(request.fields, "score"), whole(request.fields, "open_loans")
    return Graded(grade="A" if score >= _GOOD_SCORE and open_loans < _TOO_MANY_LOANS else "C")


def _grant(request: Request, occasion: Occasion) -> Granted:
    return Granted(
        loan_id=f"loan_{occasion.reference}",
        applicant=text(request.fields, "applicant"),
        amount=amount(request.fields),
        recorded_at=occasion.at,
    )


def _post(request: Request, occasion: Occasion) -> Posted:
    text(request.fields, "to")
    text(request.fields, "text")
    return Posted(letter_id=f"ltr_{occasion.reference}", recorded_at=occasion.at)
