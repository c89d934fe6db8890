"""The ballot: what one more answer means beside those that were given before.

Invariant: an action is authorised by enough different people who said yes to exactly it. A person counts once,
whether they answer themselves, for somebody, or through somebody. One no is a no. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gatepost.state.approval import Decision, DecisionType
from gatepost.state.delegation import Voter
from gatepost.state.errors import InvalidDecision

YES: tuple[DecisionType, ...] = ("approve", "edit")


@dataclass(frozen=True, slots=True)
class Vote:
    """An answer that is on record while the question is open."""

    decision: Decision
    voter: Voter
    digest: str
    """Of the action that it says yes to."""


@dataclass(frozen=True, slots=True)
class Count:
    """Where the question stands with one more answer."""

    outcome: Literal["decided", "partial", "repeated"]
    """`partial`: recorded, and others are still needed. `repeated`: it was on record already."""
    yes: int
    """Different people who said yes to this action."""
    needed: int
    earlier: Vote | None = None
    """For `repeated`: what is on record."""


def count(votes: Sequence[Vote], vote: Vote, *, needed: int) -> Count:
    """Count one more answer.

    Args:
        votes: those of the same level, oldest first. Of one person the last counts.
        vote: the new one.
        needed: how many different people have to say yes.

    Raises:
        InvalidDecision: it would count a person twice; says who.
    """
    newest = {earlier.voter.counted_as: earlier for earlier in votes}
    own = newest.get(vote.voter.counted_as)
    if own is not None and own.voter.by == vote.voter.by and own.decision.same_answer(vote.decision):
        return Count("repeated", _yes(newest.values(), own.digest), needed, own)
    if vote.decision.type not in YES:
        return Count("decided", 0, needed)
    others = [earlier for name, earlier in newest.items() if own is None or name != vote.voter.counted_as]
    _counted_once(vote, own, others)
    yes = _yes([*others, vote], vote.digest)
    return Count("decided" if yes >= needed else "partial", yes, needed)


def _yes(votes: Iterable[Vote], digest: str) -> int:
    return len({vote.voter.counted_as for vote in votes if vote.decision.type in YES and vote.digest == digest})


def _counted_once(vote: Vote, own: Vote | None, others: Iterable[Vote]) -> None:
    if own is not None and own.voter.by != vote.voter.by:
        raise InvalidDecision(_twice(vote, vote.voter.counted_as, own))
    for earlier in others:
        both = {earlier.voter.by, earlier.voter.counted_as} & {vote.voter.by, vote.voter.counted_as}
        if both:
            raise InvalidDecision(_twice(vote, min(both), earlier))


def _twice(vote: Vote, who: str, earlier: Vote) -> str:
    said = earlier.decision
    for_whom = f" for {earlier.voter.counted_as}" if earlier.voter.by != earlier.voter.counted_as else ""
    return (
        f"approval {vote.decision.approval} counts each person once, and {who} is counted already: {said.type} by "
        f"{said.by}{for_whom}. Somebody else has to answer. Nothing was recorded."
    )
