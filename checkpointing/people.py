"""People in Postgres: the roles they hold, and who answers in whose place.

Invariant: nothing is deleted. A role that is revoked and a delegation that is ended keep their row, with who ended it
and when, so that every answer can be explained afterwards. Times are the database's.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, get_args

from gatepost.checkpointing.pool import Connection, Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import one_of
from gatepost.state.delegation import LINKS, Delegation, Electorate, ScopeKind
from gatepost.state.errors import CallerMistake, InvalidValue, NotFound
from gatepost.state.values import storable_text

NAME_BYTES = 200


class People:
    """The tables of roles and delegations.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def grant(self, principal: str, role: str, *, tenant: str, by: str) -> bool:
        """Give a person a role; whether that changed anything.

        Raises:
            InvalidValue: a name that is none.
        """
        return await self._change("people.grant", principal, role, tenant, by)

    async def revoke(self, principal: str, role: str, *, tenant: str, by: str) -> bool:
        """Take a role from a person; whether they held it. What they decided stands.

        Raises:
            InvalidValue: a name that is none.
        """
        return await self._change("people.revoke", principal, role, tenant, by)

    async def roles(self, tenant: str, *, ended: bool = False) -> list[dict[str, Any]]:
        """Who holds which role, and who gave it; with `ended`, those that were revoked as well."""
        async with self._pools.connection() as connection:
            return await (
                await connection.execute(query("people.roles"), {"tenant": tenant, "ended": ended})
            ).fetchall()

    async def delegate(
        self,
        giver: str,
        delegate: str,
        *,
        tenant: str,
        by: str,
        until: datetime | timedelta,
        kind: ScopeKind = "all",
        scope: str = "",
        passes_on: bool = False,
        reason: str = "",
    ) -> Delegation:
        """Let a person answer in another's place, and count as that person.

        Args:
            giver: in whose place.
            delegate: who.
            tenant: for whose runs.
            by: who says so; not the delegate.
            until: when it ends; a length of time counts from now.
            kind: `all`, or only with one `role`, in one `workflow`, for one `tool`.
            scope: which.
            passes_on: whether the delegate may delegate it in turn.
            reason: for the record.

        Raises:
            CallerMistake: to oneself, by the one who gains, without a scope, or past its end already; says which.
        """
        _check_delegation(giver, delegate, by=by, kind=kind, scope=scope)
        if isinstance(until, datetime) and until.tzinfo is None:
            raise InvalidValue(f"the end {until} has no time zone. Add one: 2026-12-24T18:00+00:00.")
        params = {
            "delegation_id": f"del_{secrets.token_hex(6)}",
            "tenant": tenant,
            "giver": giver,
            "delegate": delegate,
            "kind": kind,
            "scope": scope,
            "passes_on": passes_on,
            "reason": reason,
            "actor": by,
            "ends_at": until if isinstance(until, datetime) else None,
            "lasts": until if isinstance(until, timedelta) else None,
        }
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("people.delegate"), params)).fetchone()
        if row is None:
            raise CallerMistake(f"the delegation would have ended already ({until}). Nothing was recorded.")
        return delegation_in(row)

    async def end(self, delegation: str, *, tenant: str, by: str) -> str:
        """End a delegation before its time; its id. What was decided under it stands.

        Raises:
            NotFound: there is none.
            CallerMistake: several ids start so, or it is over already.
        """
        async with self._pools.connection() as connection:
            cursor = await connection.execute(query("people.find_delegation"), {"prefix": delegation, "tenant": tenant})
            found = [row["delegation_id"] for row in await cursor.fetchall()]
            one = one_of(found, prefix=delegation, what="delegation", unknown=NotFound)
            params = {"delegation_id": one, "tenant": tenant, "actor": by}
            if not (await connection.execute(query("people.end_delegation"), params)).rowcount:
                raise CallerMistake(f"delegation {one} is over already: `gatepost delegation list --all` shows when.")
        return one

    async def delegations(self, tenant: str, *, ended: bool = False) -> list[dict[str, Any]]:
        """Who answers in whose place, newest first; with `ended`, those that are over as well."""
        params = {"tenant": tenant, "ended": ended}
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("people.delegations"), params)).fetchall()

    async def _change(self, statement: str, principal: str, role: str, tenant: str, by: str) -> bool:
        for name, where in ((principal, "the person"), (role, "the role"), (by, "who acts")):
            storable_text(name, where=where, max_bytes=NAME_BYTES)
        params = {"tenant": tenant, "principal": principal, "role": role, "actor": by}
        async with self._pools.connection() as connection:
            return bool((await connection.execute(query(statement), params)).rowcount)


async def electorate(
    connection: Connection, *, tenant: str, principal: str, on_behalf_of: str, delegations: bool
) -> Electorate:
    """What the rows say about whoever answers, read in the transaction of the answer.

    Args:
        connection: in that transaction.
        tenant: whose roles count.
        principal: who answers.
        on_behalf_of: for whom, if they said so.
        delegations: whether it can matter who delegated to them.
    """
    links: list[Delegation] = []
    if delegations or on_behalf_of:
        params = {"tenant": tenant, "principal": principal, "giver": on_behalf_of, "links": LINKS}
        links = [
            delegation_in(row) for row in await (await connection.execute(query("people.behind"), params)).fetchall()
        ]
    people = {principal, *(link.giver for link in links), *([on_behalf_of] if on_behalf_of else [])}
    held = await connection.execute(query("people.held"), {"tenant": tenant, "principals": sorted(people)})
    roles: dict[str, set[str]] = {}
    for row in await held.fetchall():
        roles.setdefault(row["principal"], set()).add(row["role"])
    return Electorate({name: frozenset(found) for name, found in roles.items()}, links)


def delegation_in(row: dict[str, Any]) -> Delegation:
    """A delegation in its row."""
    return Delegation(
        id=row["delegation_id"],
        **{name: row[name] for name in ("giver", "delegate", "kind", "scope", "passes_on")},
        **{name: row[name] for name in ("ends_at", "in_force", "ended_by", "ended_at")},
    )


def _check_delegation(giver: str, delegate: str, *, by: str, kind: str, scope: str) -> None:
    for name, where in ((giver, "who delegates"), (delegate, "the delegate"), (by, "who acts")):
        storable_text(name, where=where, max_bytes=NAME_BYTES)
    if giver == delegate:
        raise CallerMistake(f"{giver} answers in their own place already; name somebody else as the delegate.")
    if by == delegate:
        raise CallerMistake(f"{by} cannot take {giver}'s place by their own word: {giver} gives it (--as {giver}).")
    if kind not in get_args(ScopeKind):
        raise CallerMistake(f"a delegation is for {', '.join(get_args(ScopeKind))}, not for {kind!r}.")
    if (kind == "all") == bool(scope):
        raise CallerMistake("name the role, the workflow or the tool that is delegated, or none for everything.")
