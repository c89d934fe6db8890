"""Spending: what a run has set out to spend, which policies see as `spent` and compare with its `budget`. Pure.

The rule. A call counts once, with what its tool says it costs, in the transition that dispatches it: before it can be
made, so that calls under way at once keep to the budget together. However often it is attempted under its key, and
wherever its process dies, it is one call. Done anew under another key (a fact that is read again, a step that is
tried again, whoever allowed it), it counts again. Its cost is given back in the transition that says that it
was not made: it was called off or sent back before it was sent, it was refused or failed for certain, a person found
out that it had not happened. What is in doubt counts. So does a read that failed: no ledger says whether it got
through. An undo is judged by what was spent and adds nothing: what is to be taken back must not run out of budget.

Invariant: the counter is the sum of what is `counted` on the last record of each generation of each step, and both
change in one transaction. `approval.circumstances` reads it from the records.
"""

from __future__ import annotations

from gatepost.state.effect import EffectClass
from gatepost.state.status import StepStatus
from gatepost.state.step import StepRecord

SPENT = "spent"
"""The counter of what calls cost."""
_NOT_MADE = (StepStatus.FAILED, StepStatus.CANCELLED)


def counted(record: StepRecord) -> int:
    """What is counted for the step's call."""
    return record.cost if record.counted else 0


def given_back(record: StepRecord) -> tuple[StepRecord, dict[str, int]]:
    """The record of a step whose call was not made, and what that changes in the counters."""
    if not record.counted:
        return record, {}
    return record.model_copy(update={"counted": False}), {SPENT: -record.cost}


def settled_cost(record: StepRecord, *, effect: EffectClass) -> tuple[StepRecord, dict[str, int]]:
    """The same of a step whose call has ended, if it was not made."""
    if record.status in _NOT_MADE and effect is not EffectClass.READ:
        return given_back(record)
    return record, {}
