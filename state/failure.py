"""Failures: the classes of what can go wrong, and what is done about each.

Invariant: the table is total, and every way through it ends: what may be tried again says what
happens when that is used up. Nothing here, and nothing that overrides it, turns doubt into "try again".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

FailureKind: TypeAlias = Literal[
    "transient", "throttled", "timeout", "auth", "validation", "policy_denied", "in_doubt", "poison", "budget",
    "cancelled", "bug",
]  # fmt: skip
"""The class of a failure."""

Reaction: TypeAlias = Literal["retry", "park", "replan", "compensate", "escalate", "fail"]
"""What is done about a failure.

`retry`: the same call again, under the same key, while attempts are left and the wait is short.
`park`: a longer wait; the run waits on a durable timer and nobody's lease.
`replan`: the planner hears of it and makes another plan.
`compensate`: the run ends as failed, and what succeeded is undone.
`escalate`: a person is asked: try again, or let it fail?
`fail`: the run ends as failed.
"""

REACTIONS: tuple[Reaction, ...] = get_args(Reaction)
KINDS: tuple[FailureKind, ...] = get_args(FailureKind)
AGAIN: frozenset[Reaction] = frozenset({"retry", "park"})
"""Reactions that make the same call again. They come first; what comes after them is for when they are used up."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a class of failure means, and what is done about it."""

    means: str
    reactions: tuple[Reaction, ...]
    """In this order; the last one ends the matter."""
    again: bool = True
    """Whether a tool or a workflow may have it tried again."""


TREATMENTS: Mapping[FailureKind, Treatment] = MappingProxyType(
    {
        "transient": Treatment(
            "a connection broke, or the provider had a bad moment", reactions=("retry", "park", "fail")
        ),
        "throttled": Treatment("the provider wants fewer calls, and may say when", reactions=("retry", "park", "fail")),
        "timeout": Treatment("no answer came in time", reactions=("retry", "park", "fail")),
        "auth": Treatment("the provider does not know us, or does not let us", reactions=("fail",)),
        "validation": Treatment("what was sent or returned is not as it must be", reactions=("fail",)),
        "policy_denied": Treatment("the policy or a person does not allow it", reactions=("fail",), again=False),
        "in_doubt": Treatment(
            "nobody knows whether it happened; then a person said that it did not",
            reactions=("escalate", "fail"),
            again=False,
        ),
        "poison": Treatment(
            "it took its process with it, again and again", reactions=("escalate", "fail"), again=False
        ),
        "budget": Treatment("it would cost more than it may", reactions=("fail",), again=False),
        "cancelled": Treatment("it was called off", reactions=("fail",), again=False),
        "bug": Treatment("an error that is none of these: the tool's own, or ours", reactions=("fail",)),
    }
)
"""What is done about each class, unless a tool or a workflow says otherwise (`on_failure=`)."""
