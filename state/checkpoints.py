"""When a workflow keeps a checkpoint: after each transition, at boundaries, every so often, or never.

Whatever it keeps, each transition commits its rows, its effects and the place the run has reached,
so that a killed run goes on where it was. What a policy decides is the trail: which places can be
shown, compared and forked from later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from gatepost.state.errors import CallerMistake


@dataclass(frozen=True, slots=True)
class Every:
    """At boundaries, and also when enough has happened since the last checkpoint.

    Args:
        items: finished steps.
        interval: time, by the database's clock.

    Raises:
        CallerMistake: neither is given, or one is not positive.
    """

    items: int | None = None
    interval: timedelta | None = None

    def __post_init__(self) -> None:
        wrong = (self.items is not None and self.items < 1) or (
            self.interval is not None and self.interval <= timedelta(0)
        )
        if wrong or (self.items is None and self.interval is None):
            raise CallerMistake("Every(items=…) or Every(interval=timedelta(…)): give at least one, more than nothing.")


CheckpointPolicy: TypeAlias = Literal["after_each_step", "at_boundaries", "never"] | Every
NAMED = ("after_each_step", "at_boundaries", "never")


def keeps(policy: CheckpointPolicy, *, boundary: bool, items: int, elapsed: timedelta) -> bool:
    """Whether this transition keeps a checkpoint.

    Args:
        policy: the workflow's.
        boundary: the run starts, waits or ends here.
        items: steps that came to their end since the last checkpoint, this transition's included.
        elapsed: time since then.
    """
    if isinstance(policy, Every):
        enough = policy.items is not None and items >= policy.items
        long = policy.interval is not None and elapsed >= policy.interval
        return boundary or enough or long
    return policy == "after_each_step" or (boundary and policy == "at_boundaries")


def checked(policy: object) -> CheckpointPolicy:
    """The policy, if it is one.

    Raises:
        CallerMistake: it is not.
    """
    if isinstance(policy, Every):
        return policy
    for name in NAMED:
        if policy == name:
            return name  # type: ignore[return-value]
    raise CallerMistake(f"checkpoints={policy!r}: use {', '.join(map(repr, NAMED))}, or Every(items=…, interval=…).")
