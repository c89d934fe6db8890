"""Keys of the service: who may call it, for which tenant, in whose name, to do what.

Invariant: a key is stored as its hash and shown once. A key that is revoked, expired or wrong in one
byte is the same as none. What a browser holds names a key and a session and is signed, so revoking the
key ends its sessions with the next request, and signing out ends one of them for every copy of its cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, get_args

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import one_of
from gatepost.state.errors import CallerMistake, UnknownKey
from gatepost.state.values import storable_text

Scope: TypeAlias = Literal["read", "start", "decide", "operate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""`read` runs and approvals, `start` runs, `decide` approvals, `operate` on runs: hold, release, resume, cancel."""
LONGEST = timedelta(days=366)
_KEY = re.compile(r"gp_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is in force."""

    key_id: str
    tenant: str
    principal: str
    scopes: frozenset[str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made."""

    key_id: str
    secret: str = field(repr=False)
    """The key itself. It is stored nowhere: show it once."""
    expires_at: datetime


class Keys:
    """The table of keys.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def create(
        self,
        *,
        tenant: str,
        principal: str,
        scopes: Iterable[str],
        lasts: timedelta,
        created_by: str,
        label: str = "",
    ) -> NewKey:
        """Make a key.

        Args:
            tenant: whose runs it reaches, and nobody else's.
            principal: in whose name it acts.
            scopes: of `SCOPES`.
            lasts: how long, at most `LONGEST`.
            created_by: who makes it.
            label: a word for the list.

        Raises:
            CallerMistake: an unknown scope or none, or a length of time that is none.
            InvalidValue: a name that cannot be stored.
        """
        wanted = _scopes(scopes)
        if not timedelta() < lasts <= LONGEST:
            raise CallerMistake(f"a key lasts up to {LONGEST.days} days; make a new one then. Give another time.")
        secret = f"gp_{secrets.token_urlsafe(32)}"
        params = {
            "key_id": f"key_{secrets.token_hex(6)}",
            "hash": _hash(secret),
            "tenant": storable_text(tenant, where="the tenant", max_bytes=120),
            "principal": storable_text(principal, where="the principal", max_bytes=200),
            "label": storable_text(label, where="the label", max_bytes=200) if label else "",
            "scopes": wanted,
            "created_by": created_by,
            "lasts": lasts,
        }
        (row,) = await self._rows("key.create", **params)
        return NewKey(str(params["key_id"]), secret, row["expires_at"])

    async def of_secret(self, secret: str) -> Key | None:
        """The key that this is, if it is one and in force."""
        if not _KEY.fullmatch(secret):
            return None
        wanted = _hash(secret)
        rows = await self._rows("key.by_hash", hash=wanted)
        return _key(rows[0]) if rows and hmac.compare_digest(bytes(rows[0]["hash"]), wanted) else None

    async def of_id(self, key_id: str) -> Key | None:
        """The key with this id, if it is in force."""
        rows = await self._rows("key.by_id", key_id=key_id)
        return _key(rows[0]) if rows else None

    async def of_session(self, key_id: str, session: str) -> Key | None:
        """The key that a browser's session rests on, if it is in force and the session was not ended."""
        rows = await self._rows("key.by_session", key_id=key_id, session=_hash(session))
        return _key(rows[0]) if rows else None

    async def end_session(self, session: str, *, lasts: timedelta) -> None:
        """End a browser's session, whose cookie is good for so long at most."""
        async with self._pools.connection() as connection:
            await connection.execute(query("key.end_session"), {"session": _hash(session), "lasts": lasts})
            await connection.execute(query("key.sweep_sessions"))

    async def of_tenant(self, tenant: str, *, limit: int = 200) -> list[dict[str, Any]]:
        """The keys of a tenant, newest first, without anything that could be used."""
        return await self._rows("key.list", tenant=tenant, limit=limit)

    async def revoke(self, prefix: str, tenant: str, *, by: str) -> tuple[str, datetime]:
        """Revoke a key for good. Again changes nothing.

        Returns:
            Its id, and since when it is revoked.

        Raises:
            UnknownKey: the tenant has no such key.
            CallerMistake: several ids start so.
        """
        found = [row["key_id"] for row in await self._rows("key.find", tenant=tenant, prefix=prefix)]
        key_id = one_of(found, prefix=prefix, what="key", unknown=UnknownKey)
        (row,) = await self._rows("key.revoke", key_id=key_id, tenant=tenant, revoked_by=by)
        return key_id, row["revoked_at"]

    async def renew(self, key_id: str, *, lasts: timedelta) -> None:
        """Let a key last so long from now, unless it is revoked."""
        await self._rows("key.renew", key_id=key_id, lasts=lasts)

    async def signing(self) -> list[bytes]:
        """What is signed with, newest first; made when there is none yet."""
        rows = await self._rows("key.signing_keys")
        if not rows:
            async with self._pools.transaction() as connection:
                await connection.execute(query("key.first_signing_key"), {"secret": secrets.token_bytes(32)})
            rows = await self._rows("key.signing_keys")
        return [bytes(row["secret"]) for row in rows]

    async def _rows(self, name: str, **params: Any) -> list[dict[str, Any]]:
        async with self._pools.connection() as connection:
            return await (await connection.execute(query(name), params)).fetchall()


def _scopes(given: Iterable[str]) -> list[str]:
    wanted = set(given)
    if unknown := wanted - set(SCOPES):
        raise CallerMistake(f"{', '.join(sorted(unknown))} is no scope. There are: {', '.join(SCOPES)}.")
    if not wanted:
        raise CallerMistake(f"a key needs a scope. There are: {', '.join(SCOPES)}.")
    return [scope for scope in SCOPES if scope in wanted]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _key(row: dict[str, Any]) -> Key:
    return Key(row["key_id"], row["tenant"], row["principal"], frozenset(row["scopes"]), row["expires_at"])
