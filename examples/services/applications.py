"""The application for a loan, 40 pages of it. All of it is invented.

What a reader needs is spread over the pages: who and how much on the first, the salary on 36 account statements.
"""

from __future__ import annotations

from gatepost.examples.services.loans import Pages
from gatepost.examples.services.message import Refused

APPLICATION = "app-4711"
APPLICANT = "ada-brandt"
FIRST_FILE = {"score": 712, "open_loans": 1}
"""What the bureau has on file about everybody until somebody reports something else."""
_YEARS = (2023, 2024, 2025)


def application(named: str) -> Pages:
    """The application of that id."""
    if named != APPLICATION:
        raise Refused(404, f"No application {named!r}; there is {APPLICATION!r}.")
    statements = [_statement(year, month) for year in _YEARS for month in range(1, 13)]
    pages = [_FORM, *statements, _EMPLOYER, _DECLARATION, _SIGNATURE]
    numbered = [f"{text}\nPage {number} of {len(pages)}\n" for number, text in enumerate(pages, start=1)]
    return Pages(application=named, pages=numbered)


def _statement(year: int, month: int) -> str:
    salary = 3_400 + 100 * (year - _YEARS[0])
    return f"""\
Account statement {year}-{month:02}
Salary received: EUR {salary:,}
Rent paid: EUR 1,150
Other payments: EUR {salary - 1_150 - 40 * month:,}
"""


_FORM = f"""\
Application for a personal loan
Applicant: {APPLICANT}
Amount requested: EUR 20,000
Term: 60 months
Purpose: a new heating system
"""

_EMPLOYER = """\
Confirmation of employment
We employ the applicant without limit of time since 1 February 2019. No notice has been given.
"""

_DECLARATION = """\
Declaration
The applicant agrees that a credit bureau is asked, and has declared all obligations.
"""

_SIGNATURE = """\
Signed in Lübeck on 3 November 2026.
"""
