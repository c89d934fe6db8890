"""A typed client of the services of a loan; what a case is called is its run's id."""

from __future__ import annotations

from typing import cast
from urllib.parse import quote

from gatepost.examples.services.client import Services
from gatepost.examples.services.loans import Billed, CreditFile, Graded, Granted, Pages, Posted


class Bank(Services):
    """A connection to them; close it, or use it in a `with`."""

    def application(self, case: str, *, application: str, key: str | None = None) -> Pages:
        return cast("Pages", self._get(_of(case, "application"), params={"id": application}, key=key))

    def look_up(self, case: str, *, applicant: str, key: str | None) -> CreditFile:
        """The applicant's file at the bureau, which charges for it."""
        return cast("CreditFile", self._post(_of(case, "bureau"), {"applicant": applicant}, key=key))

    def score(self, case: str, *, score: int, open_loans: int, key: str | None) -> Graded:
        body = {"score": score, "open_loans": open_loans}
        return cast("Graded", self._post(_of(case, "score"), body, key=key))

    def grant(self, case: str, *, applicant: str, amount: str, key: str | None) -> Granted:
        body = {"applicant": applicant, "amount": amount}
        return cast("Granted", self._post(_of(case, "grant"), body, key=key))

    def post(self, case: str, *, to: str, text: str, key: str | None) -> Posted:
        return cast("Posted", self._post(_of(case, "letter"), {"to": to, "text": text}, key=key))

    def report(self, applicant: str, *, score: int, open_loans: int) -> CreditFile:
        """Change what the bureau has on file."""
        body = {"score": score, "open_loans": open_loans}
        return cast("CreditFile", self._post(f"/reports/{quote(applicant, safe='')}", body))

    def bill(self, case: str) -> dict[str, Billed]:
        """What a case has cost so far, by endpoint, in the books of those who were asked."""
        return cast("dict[str, Billed]", self._get("/bill", params={"prefix": _of(case, "")}))


def _of(case: str, what: str) -> str:
    return f"/loans/{quote(case, safe='')}/{what}"
