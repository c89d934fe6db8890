"""Who answers for whom: roles, and people who act for others for a while.

Invariant: a delegate counts as the person who delegated, never as both, and only within the scope and the time that
were given. Nobody passes on what was delegated to them unless that was declared. Pure: the rows are read elsewhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from gatepost.state.errors import InvalidDecision

ScopeKind: TypeAlias = Literal["all", "role", "workflow", "tool"]
LINKS = 5
"""Delegations that one answer may pass through."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """One person's leave for another to answer in their place."""

    id: str
    giver: str
    delegate: str
    kind: ScopeKind
    """`role`: with this role and no other. `workflow`, `tool`: with any role of the giver, but only there."""
    scope: str
    """The role, workflow or tool; empty for `all`."""
    passes_on: bool
    """Whether the delegate may delegate it in turn."""
    ends_at: datetime
    in_force: bool
    """Neither ended nor past its end, by the database's clock."""
    ended_by: str | None = None
    ended_at: datetime | None = None

    @property
    def shown(self) -> str:
        """For messages."""
        what = "everything" if self.kind == "all" else f"{self.kind} {self.scope}"
        return f"{self.id} from {self.giver} ({what})"


@dataclass(frozen=True, slots=True)
class Electorate:
    """What the rows say about the people whom one answer can concern."""

    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    delegations: Sequence[Delegation] = ()

    def held(self, principal: str) -> frozenset[str]:
        """The roles of a person."""
        return self.roles.get(principal, frozenset())


@dataclass(frozen=True, slots=True)
class Voter:
    """Who answers, and who that counts as."""

    by: str
    counted_as: str
    roles: tuple[str, ...]
    """With which roles."""
    via: tuple[str, ...] = ()
    """The delegations in between, the one that `by` was given first."""


@dataclass(frozen=True, slots=True)
class Matter:
    """What is answered."""

    approval: str
    workflow: str
    tool: str
    asked: tuple[str, ...]
    """The roles that may answer; none: whoever the policy lets."""


def voter_of(by: str, on_behalf_of: str, matter: Matter, electorate: Electorate) -> Voter:
    """Who an answer counts as.

    Raises:
        InvalidDecision: this person may not answer it, not for that person, or has to say for whom; says why.
    """
    if on_behalf_of and on_behalf_of != by:
        return _as_delegate(by, on_behalf_of, matter, electorate)
    own = electorate.held(by)
    if not matter.asked or own & set(matter.asked):
        return Voter(by, by, tuple(sorted(own)))
    chains = {chain[-1].giver: chain for chain in _chains(by, electorate) if _roles(chain, matter, electorate)}
    if len(chains) == 1:
        ((giver, chain),) = chains.items()
        return _through(by, giver, chain, matter, electorate)
    if chains:
        raise InvalidDecision(
            f"{by} may answer approval {matter.approval} for {' or for '.join(sorted(chains))}, and counts as that "
            f"person. Say for whom: on_behalf_of={min(chains)!r} (--for {min(chains)}). Nothing was recorded."
        )
    raise InvalidDecision(_refusal(by, matter, electorate))


def _as_delegate(by: str, giver: str, matter: Matter, electorate: Electorate) -> Voter:
    chains = [chain for chain in _chains(by, electorate) if chain[-1].giver == giver]
    fitting = [chain for chain in chains if all(_covers(link, matter) for link in chain)]
    for chain in fitting:
        if not matter.asked or _roles(chain, matter, electorate):
            return _through(by, giver, chain, matter, electorate)
    cure = "`gatepost delegation list` shows who acts for whom."
    if fitting:
        why = f"{giver} holds none of the roles that are asked ({', '.join(matter.asked)})"
        cure = f"{_grant(giver, matter)} gives one."
    elif chains:
        why = f"delegation {chains[0][0].shown} does not cover tool {matter.tool} of workflow {matter.workflow}"
    else:
        why = _why_none(by, giver, electorate)
    raise InvalidDecision(
        f"{by} may not answer approval {matter.approval} for {giver}: {why}. Nothing was recorded. {cure}"
    )


def _through(by: str, giver: str, chain: Sequence[Delegation], matter: Matter, electorate: Electorate) -> Voter:
    return Voter(by, giver, tuple(sorted(_roles(chain, matter, electorate))), tuple(link.id for link in chain))


def _chains(by: str, electorate: Electorate) -> Iterator[tuple[Delegation, ...]]:
    """Every way in which somebody's answer reaches `by`: one link, or more where each but the last may be passed on."""
    ends: list[tuple[Delegation, ...]] = [
        (link,) for link in electorate.delegations if link.in_force and link.delegate == by
    ]
    while ends:
        chain = ends.pop(0)
        yield chain
        met = {by, *(link.giver for link in chain)}
        if len(chain) < LINKS:
            ends += [
                (*chain, link)
                for link in electorate.delegations
                if link.in_force and link.passes_on and link.delegate == chain[-1].giver and link.giver not in met
            ]


def _covers(link: Delegation, matter: Matter) -> bool:
    match link.kind:
        case "all":
            return True
        case "role":
            return not matter.asked or link.scope in matter.asked
        case "workflow":
            return link.scope == matter.workflow
        case "tool":
            return link.scope == matter.tool


def _roles(chain: Iterable[Delegation], matter: Matter, electorate: Electorate) -> frozenset[str]:
    """The roles among those asked that a chain of delegations carries."""
    links = tuple(chain)
    if not all(_covers(link, matter) for link in links):
        return frozenset()
    carried = electorate.held(links[-1].giver)
    for link in links:
        if link.kind == "role":
            carried &= {link.scope}
    return carried & frozenset(matter.asked) if matter.asked else carried


def _refusal(by: str, matter: Matter, electorate: Electorate) -> str:
    wanted = " or ".join(matter.asked)
    held = ", ".join(sorted(electorate.held(by))) or "none"
    why = f"it takes the role {wanted}, and {by} holds {held}"
    dead = [link for link in electorate.delegations if link.delegate == by and not link.in_force]
    if dead:
        why += f"; {_over(dead[-1])}"
    return (
        f"{by} may not answer approval {matter.approval}: {why}. Nothing was recorded: somebody who holds it has to "
        f"answer. {_grant(by, matter)} gives it; `gatepost role list` shows who holds which."
    )


def _grant(person: str, matter: Matter) -> str:
    return f"`gatepost {shlex.join(('role', 'grant', person, matter.asked[0]))}`"


def _why_none(by: str, giver: str, electorate: Electorate) -> str:
    between = [link for link in electorate.delegations if link.giver == giver]
    direct = [link for link in between if link.delegate == by]
    if direct:
        return _over(direct[-1])
    live = [link for link in between if link.in_force]
    if live:
        return f"{giver} delegated to {live[-1].delegate}, who may not pass it on ({live[-1].id})"
    return f"{giver} has delegated nothing to {by}"


def _over(link: Delegation) -> str:
    if link.ended_at is not None:
        return f"delegation {link.shown} was ended by {link.ended_by} at {link.ended_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"delegation {link.shown} ended at {link.ends_at:%Y-%m-%d %H:%M:%S} UTC"
