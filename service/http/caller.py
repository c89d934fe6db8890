"""Callers: who sent a request, how that is known, and what they may ask for.

Invariant: nothing is answered without a key that is in force and has the scope. A key's tenant and
principal are the caller's; no request says them. A cookie is believed on the pages, and on the API only
where nothing is changed; the API's other doors take a key in the header, which no other site can send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer

from gatepost.checkpointing.keys import Key, Scope
from gatepost.graph.context import RunContext
from gatepost.service.http import seal
from gatepost.service.http.guard import UNSAFE
from gatepost.service.http.house import House, house_of
from gatepost.service.http.problem import Refused

COOKIE = "gatepost_session"
SESSION = timedelta(hours=12)
_BEARER = HTTPBearer(auto_error=False, description="A key: `gatepost key create`.")
_COOKIE = APIKeyCookie(name=COOKIE, auto_error=False, description="A browser's session; it may only read.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    key: Key
    session: str | None = None
    """What the session's forms are bound to; None for a key in the header."""

    @property
    def context(self) -> RunContext:
        """For the graph."""
        return RunContext(tenant=self.key.tenant, principal=self.key.principal)

    @property
    def tenant(self) -> str:
        """Whose runs these are."""
        return self.key.tenant

    @property
    def name(self) -> str:
        """In whose name."""
        return self.key.principal

    def may(self, scope: Scope) -> bool:
        """Whether the key has the scope."""
        return scope in self.key.scopes

    def check(self, scope: Scope) -> None:
        """Refuse what the key may not ask for.

        Raises:
            Refused: it lacks the scope.
        """
        if not self.may(scope):
            said = f"The key {self.key.key_id} may {', '.join(sorted(self.key.scopes))}; this needs {scope}."
            raise Refused(403, "scope", "The key may not do this", detail=said, next="Use a key with that scope.")


async def caller_of(request: Request, house: House) -> Caller | None:
    """Who sent a request, if somebody whom we know did.

    Raises:
        Refused: too many requests came with this key, or from there without one.
    """
    found: Caller | None = getattr(request.state, "caller", None)
    if hasattr(request.state, "caller"):
        return found
    request.state.caller = None  # whatever happens now, nobody asks again for this request
    credential = request.headers.get("authorization") or request.cookies.get(COOKIE, "")
    house.limits.address(request, credential)
    found = await _known(request, house)
    if found is None:
        house.limits.unknown(request, credential)
    else:
        house.limits.key(found.key.key_id, credential)
    request.state.caller = found
    return found


async def _known(request: Request, house: House) -> Caller | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if secret:
        key = await house.keys.of_secret(secret.strip()) if scheme.lower() == "bearer" else None
        return Caller(key) if key else None
    return await _signed_in(request, house)


async def _signed_in(request: Request, house: House) -> Caller | None:
    if (cookie := request.cookies.get(COOKIE)) is None:
        return None
    said = seal.opened("session", cookie, now=await house.overview.now(), secrets=await house.secrets())
    key = await house.keys.of_session(said["key"], said["nonce"]) if said else None
    return Caller(key, session=said["nonce"]) if key and said else None


async def still(caller: Caller, house: House) -> bool:
    """Whether a caller's key, and the session that rests on it, are still in force."""
    if caller.session is None:
        return await house.keys.of_id(caller.key.key_id) is not None
    return await house.keys.of_session(caller.key.key_id, caller.session) is not None


async def session_for(key: Key, house: House, *, nonce: str, now: datetime) -> str:
    """The cookie of a session that rests on a key, and (by `of_session`) ends with it; a key may be renewed."""
    secret = (await house.secrets())[0]
    return seal.sealed("session", {"key": key.key_id, "nonce": nonce}, until=now + SESSION, secret=secret)


def unknown() -> Refused:
    """Nobody whom we know."""
    return Refused(
        401,
        "key",
        "A key is needed",
        detail="No key was sent, or one that is not in force, or only a cookie where something is to be changed.",
        next="Send `Authorization: Bearer gp_…`; `gatepost key create` makes one.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def needs(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who has the scope. What may only be read takes a browser's session as well."""

    async def asked(
        request: Request, house: Annotated[House, Depends(house_of)], _: Annotated[Any, Depends(_BEARER)]
    ) -> Caller:
        return await _allowed(request, house, scope)

    async def looked(
        request: Request,
        house: Annotated[House, Depends(house_of)],
        _: Annotated[Any, Depends(_BEARER)],
        __: Annotated[Any, Depends(_COOKIE)],
    ) -> Caller:
        return await _allowed(request, house, scope)

    return looked if scope == "read" else asked


async def _allowed(request: Request, house: House, scope: Scope) -> Caller:
    caller = await caller_of(request, house)
    if caller is None or (caller.session is not None and request.method in UNSAFE):
        raise unknown()
    caller.check(scope)
    return caller


InHouse = Annotated[House, Depends(house_of)]
# The scopes are written into the description of the API.
Reader = Annotated[Caller, Security(needs("read"), scopes=["read"])]
Starter = Annotated[Caller, Security(needs("start"), scopes=["start"])]
Decider = Annotated[Caller, Security(needs("decide"), scopes=["decide"])]
Operator = Annotated[Caller, Security(needs("operate"), scopes=["operate"])]
