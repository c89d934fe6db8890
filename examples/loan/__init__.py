"""Loan approval: five agents, of which the third fails at first, and one person.

A parser reads 40 pages, a credit bureau is asked that charges for each hit, a scorer answers 503 the first time, a
compliance reviewer is asked, and a letter goes out. What has failed is tried again under its key, and nothing before
it: not after a `kill -9`, nor after an hour in which the scorer was down. Compliance may take its time, but a loan is
granted on a credit file that is at most four hours old: an older one is read again, and where it says something else,
the question is asked anew with the difference.

    gatepost role grant carol compliance
    gatepost run --goal "loan application"
    gatepost approval approve apr_… --as carol
"""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files

from gatepost.examples.loan.conclusion import conclude
from gatepost.examples.loan.planning import LOAN
from gatepost.examples.loan.tools import bureau_check, document_parse, letter_send, loan_grant, risk_score
from gatepost.examples.loan.types import LoanRequest
from gatepost.nodes.policy import Policy
from gatepost.nodes.workflow import FixedPlan, Workflow
from gatepost.state.gate import Gate

GOAL = "loan application"

WORKFLOW = Workflow(
    name="loan",
    goals=(GOAL,),
    description="Reads a loan application, asks a credit bureau, grades the risk, and grants after compliance's yes.",
    strategy=FixedPlan(LOAN),
    tools=(document_parse, bureau_check, risk_score, loan_grant, letter_send),
    input=LoanRequest,
    conclude=conclude,
    gates={"compliance": Gate(roles=("compliance",), decide_within=timedelta(days=1))},
    policy=Policy(
        (files("gatepost.examples.loan") / "policy.cedar").read_text(encoding="utf-8"), name="loan/policy.cedar"
    ),
)

__all__ = ["GOAL", "WORKFLOW"]
