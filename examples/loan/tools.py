"""The five tools of a loan: three that read, one that grants, one that cannot be taken back.

Every call carries its idempotency key, reads as well: a bureau that is asked again, because the worker was killed in
the middle of the call, knows the key and does not charge a second time.
"""

from __future__ import annotations

from datetime import timedelta

from gatepost import EffectContext, Retry, tool
from gatepost.examples.loan.costs import added_up
from gatepost.examples.loan.pages import read_pages
from gatepost.examples.loan.types import Amount, Application, CreditFile, Grade, Letter, Loan, Risk
from gatepost.examples.nearby import services_url
from gatepost.examples.services import HIT_COSTS, SCORE_COSTS, Bank

FRESH_FOR = timedelta(hours=4)
"""How old a credit file may be when a loan is granted on it."""
PATIENT = Retry(attempts=20, first=timedelta(milliseconds=200), longest=timedelta(minutes=15))
"""From a fifth of a second on, doubled each time. A pause of more than a minute parks the run, and its worker is free;
all of them take one to two hours."""


@tool(effect="read")
def document_parse(ctx: EffectContext, application: str) -> Application:
    """Read an application, all of its pages."""
    with Bank(services_url()) as bank:
        found = bank.application(ctx.run_id, application=application, key=ctx.idempotency_key)
    return read_pages(found["pages"])


@tool(effect="read", cost=HIT_COSTS, material=["/score", "/open_loans"])
def bureau_check(ctx: EffectContext, applicant: str) -> CreditFile:
    """Ask the credit bureau, which charges for each hit."""
    with Bank(services_url()) as bank:
        return CreditFile.model_validate(bank.look_up(ctx.run_id, applicant=applicant, key=ctx.idempotency_key))


@tool(effect="read", cost=SCORE_COSTS, retry=PATIENT, label="said")
def risk_score(ctx: EffectContext, score: int, open_loans: int) -> Risk:
    """Have the risk graded, and find out what the case has cost until then."""
    with Bank(services_url()) as bank:
        graded = bank.score(ctx.run_id, score=score, open_loans=open_loans, key=ctx.idempotency_key)
        costs = added_up(bank.bill(ctx.run_id))
    again = f"({costs.calls['scores']} calls)" if costs.calls_again else ""
    return Risk.model_validate({"grade": graded["grade"], "costs": costs, "said": f"{graded['grade']}{again}"})


@tool(effect="write", on_doubt="retry", relies_on={"bureau_check": FRESH_FOR}, label="decision")
def loan_grant(ctx: EffectContext, applicant: str, amount: Amount, grade: Grade) -> Loan:  # noqa: ARG001 (approved with it)
    """Grant the loan: the bank dedupes on the idempotency key."""
    with Bank(services_url()) as bank:
        booked = bank.grant(ctx.run_id, applicant=applicant, amount=str(amount), key=ctx.idempotency_key)
    return Loan.model_validate(
        {"loan": booked["loan_id"], "applicant": booked["applicant"], "amount": booked["amount"]}
    )


@tool(effect="irreversible", on_doubt="retry")
def letter_send(ctx: EffectContext, to: str, amount: Amount) -> Letter:
    """Tell the applicant."""
    text = f"We are glad to grant you a loan of EUR {amount:,.2f}."
    with Bank(services_url()) as bank:
        return Letter(letter=bank.post(ctx.run_id, to=to, text=text, key=ctx.idempotency_key)["letter_id"])
