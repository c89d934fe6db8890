"""What the doctor finds in the database: who waits for what, tenant by tenant, and the command that helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gatepost.service import terminal
from gatepost.service.cli.desk import other
from gatepost.service.cli.typed import typed

if TYPE_CHECKING:
    from gatepost.checkpointing.books import Books

MANY = 5
PATIENCE = timedelta(seconds=60)
"""How long a run may be queued while workers listen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    said: str
    cure: str = ""
    tenant: str | None = None
    """Whose it is; None: the machine's, or of all tenants together."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a database."""

    runs: Sequence[dict[str, Any]]
    """As `Health.runs`."""
    asked: Sequence[dict[str, Any]]
    """As `Health.waiting`."""
    unsent: dict[str, tuple[int, str]]
    """As `Notices.dead`."""
    cut_off: dict[str, list[str]]
    """Calls of runs that nobody moves, by tenant."""
    tenant: str | None
    """The only one that was asked for."""


async def looked(books: Books, tenant: str | None) -> Waiting:
    """Look at what waits, of every tenant or of one."""
    from gatepost.checkpointing.health import Health
    from gatepost.checkpointing.notices import Notices

    health = Health(books.pools)
    runs = await health.runs(tenant)
    return Waiting(
        runs=runs,
        asked=await health.waiting(tenant),
        unsent=await Notices(books.pools).dead(tenant),
        cut_off={of["tenant"]: await calls_cut_off(books, of["unmoved"][:MANY]) for of in runs},
        tenant=tenant,
    )


async def calls_cut_off(books: Books, runs: Sequence[str]) -> list[str]:
    """Calls of runs that nobody moves, announced and without an end."""
    return [
        f"{effect['tool']} in {run}"
        for run in runs
        for effect in await books.history.effects(run)
        if effect["state"] == "intended" and not effect["cleared"]
    ]


def rounds(waiting: Waiting, movers: int, before: tuple[str, ...]) -> Iterator[Finding]:
    """What there is to say of it; what is wrong, with the command that helps.

    Args:
        waiting: what waits.
        movers: how many workers listen.
        before: the options that a command has to repeat.
    """
    yield _together(waiting)
    yield from _queued(waiting.runs, movers, before)
    for of in waiting.runs:
        yield from _stuck(of, before)
    for of in waiting.asked:
        if of["doubts"]:
            cure = f"{typed(before, 'effect', 'list', '--unknown', tenant=other(of['tenant']))}, and find out"
            said = f"nobody knows whether {len(of['doubts'])} effects happened"
            yield Finding("doubt", ok=False, said=said, cure=cure, tenant=of["tenant"])
    for tenant, (count, newest) in waiting.unsent.items():
        said = terminal.one_line(f"{count} reached nobody; the newest: {newest}")
        cure = typed(before, "notice", "list", tenant=other(tenant))
        yield Finding("notices", ok=False, said=said, cure=cure, tenant=tenant)
    for tenant, calls in waiting.cut_off.items():
        if calls:
            said = f"begun by an owner that is gone, and settled when its run goes on: {', '.join(calls)}"
            yield Finding("effects", ok=True, said=terminal.one_line(said), tenant=tenant)


def _together(waiting: Waiting) -> Finding:
    unfinished, blocked = (sum(of[name] for of in waiting.runs) for name in ("unfinished", "blocked"))
    asked = sum(of["approvals"] for of in waiting.asked)
    tenants = {of["tenant"] for of in (*waiting.runs, *waiting.asked)}
    several = f", of {len(tenants)} tenants" if len(tenants) > 1 else ""
    said = f"{unfinished} unfinished, {blocked} blocked, {asked} open approvals{several}"
    return Finding("runs", ok=True, said=said, tenant=waiting.tenant)


def _queued(runs: Sequence[dict[str, Any]], movers: int, before: tuple[str, ...]) -> Iterator[Finding]:
    """What waits for a worker: no fault while one listens, unless it waits so long that none may know its workflow."""
    queued = [of for of in runs if of["unmoved"]]
    late = [of for of in queued if of["unmoved_for"] > PATIENCE]
    if movers and not late:
        said = f"{movers} listening, {sum(len(of['unmoved']) for of in queued)} runs queued"
        yield Finding("workers", ok=True, said=said)
    for of in late if movers else queued:
        first, whose, ids = of["unmoved"][0], other(of["tenant"]), ", ".join(of["unmoved"][:MANY])
        if movers:
            said = (
                f"{movers} listening, {len(of['unmoved'])} runs queued; for more than {PATIENCE.seconds} s, "
                f"maybe of workflows that none of them knows: {ids}"
            )
            cure = typed(before, "run", "why", first, tenant=whose)
            yield Finding("workers", ok=False, said=said, cure=cure, tenant=of["tenant"])
        else:
            cure = typed(before, "run", "resume", first, tenant=whose)
            yield Finding("unmoved", ok=False, said=f"nobody moves {ids}", cure=cure, tenant=of["tenant"])


def _stuck(of: dict[str, Any], before: tuple[str, ...]) -> Iterator[Finding]:
    for name, what in (("parked", "only a person can move"), ("alarms", "nothing would ever move")):
        if of[name]:
            ids = ", ".join(of[name][:MANY])
            cure = typed(before, "run", "why", of[name][0], tenant=other(of["tenant"]))
            yield Finding(name, ok=False, said=f"{what} {ids}", cure=cure, tenant=of["tenant"])
