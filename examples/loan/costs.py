"""What a case has cost: the bills of those who were asked, added up. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.examples.loan.types import Costs
from gatepost.examples.services import Billed


def added_up(bills: Mapping[str, Billed]) -> Costs:
    """All bills of a case as one."""
    return Costs(
        calls={endpoint: bill["calls"] for endpoint, bill in bills.items()},
        calls_again=sum(bill["again"] for bill in bills.values()),
        seconds_again=round(sum(bill["seconds"] for bill in bills.values()), 3),
        units=sum(bill["units"] for bill in bills.values()),
    )
