"""Reading an application: from the text of its pages to what the next steps need. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from decimal import Decimal

from gatepost import NotDone
from gatepost.examples.loan.types import Application

_APPLICANT = re.compile(r"^Applicant: (\S+)$", re.MULTILINE)
_AMOUNT = re.compile(r"^Amount requested: EUR ([\d,]+)$", re.MULTILINE)
_SALARY = re.compile(r"^Salary received: EUR ([\d,]+)$", re.MULTILINE)


def read_pages(pages: Sequence[str]) -> Application:
    """What an application says.

    Raises:
        NotDone: something is not in it; says what.
    """
    text = "\n".join(pages)
    salaries = [_money(found) for found in _SALARY.findall(text)]
    if not salaries:
        raise NotDone(f"no salary on any of {len(pages)} pages: ask the applicant for account statements.")
    return Application(
        applicant=_only(_APPLICANT, text, "applicant"),
        amount=_money(_only(_AMOUNT, text, "requested amount")),
        monthly_salary=round(sum(salaries, Decimal(0)) / len(salaries), 2),
        pages=len(pages),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _only(pattern: re.Pattern[str], text: str, what: str) -> str:
    found = set(pattern.findall(text))
    if len(found) != 1:
        raise NotDone(f"the pages name {len(found)} values for the {what}, not one: have the application corrected.")
    return str(found.pop())


def _money(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))
