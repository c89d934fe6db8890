"""Links for mail and chat: an address at which one person answers one question, once.

Who holds the address may answer, so it is a secret: signed with keys from the configuration that no
database and no log sees, bound to the tenant, the person, the approval and the digest of what is asked,
and over after a while. Looking at it decides nothing: programs that check mail look at every address.

Pure, and free of the web framework: a worker without the extra `service` makes links too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gatepost.checkpointing.links import Link
from gatepost.service.http import seal
from gatepost.state.errors import CallerMistake

KEYS = "GATEPOST_LINK_KEYS"
KEYS_FILE = "GATEPOST_LINK_KEYS_FILE"
PUBLIC_URL = "GATEPOST_PUBLIC_URL"
PATH = "/answer/"
LASTS = timedelta(days=1)
LONGEST = timedelta(days=30)
SHORTEST_KEY = 32
LONGEST_TEXT = 4_096
_PURPOSE = "approval-link.1"
_EPOCH = datetime.fromtimestamp(0, UTC)
_MAKE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))' > link.keys"


def link_for(
    approval: str,
    *,
    tenant: str,
    principal: str,
    digest: str,
    now: datetime,
    keys: Sequence[bytes],
    base: str,
    lasts: timedelta = LASTS,
    link: str | None = None,
) -> str:
    """The address at which `principal` answers `approval`, once.

    Args:
        approval: its id.
        tenant: whose it is.
        principal: whom the link is for.
        digest: of what is asked; a link to anything else is refused.
        now: database time, when it is made.
        keys: as `read_keys` gives them; the first signs.
        base: where the service is reached: `https://gatepost.example`.
        lasts: until it is over, at most `LONGEST`. The approval's own limits hold besides.
        link: its id; None: a random one.

    Raises:
        CallerMistake: there is no key, or it would last for no time or too long.
    """
    if not keys:
        raise CallerMistake(no_keys())
    if not timedelta() < lasts <= LONGEST:
        raise CallerMistake(f"a link lasts up to {LONGEST.days} days. Give another time.")
    said = {
        "i": link or secrets.token_urlsafe(16),
        "a": approval,
        "t": tenant,
        "p": principal,
        "d": digest,
        "m": (now - _EPOCH) // timedelta(microseconds=1),
    }
    return f"{base.rstrip('/')}{PATH}{seal.sealed(_PURPOSE, said, until=now + lasts, secret=keys[0])}"


def opened(text: str, *, now: datetime, keys: Sequence[bytes]) -> Link | None:
    """What the last part of an address says, if it was signed with one of the keys and is not over."""
    said = seal.opened(_PURPOSE, text, now=now, secrets=keys) if len(text) <= LONGEST_TEXT else None
    if said is None:
        return None
    made = _EPOCH + timedelta(microseconds=said["m"])
    return Link(link=said["i"], approval=said["a"], tenant=said["t"], principal=said["p"], digest=said["d"], made=made)


def read_keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """The keys of the configuration, the one that signs first; none where none is configured.

    Raises:
        CallerMistake: they cannot be read, or one is too short.
    """
    if KEYS in environ and KEYS_FILE in environ:
        raise CallerMistake(f"{KEYS} and {KEYS_FILE} are two ways to name the keys of links. Leave one out.")
    text = environ.get(KEYS, "")
    if path := environ.get(KEYS_FILE):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise CallerMistake(f"the keys of links cannot be read from {path} ({why}). Correct {KEYS_FILE}.") from None
    found = [word for line in text.splitlines() for word in line.partition("#")[0].replace(",", " ").split()]
    if short := next((number for number, word in enumerate(found, 1) if len(word) < SHORTEST_KEY), None):
        raise CallerMistake(
            f"key {short} of the keys of links has fewer than {SHORTEST_KEY} characters, so it could be guessed. "
            f"Make one: {_MAKE}"
        )
    if path and not found:
        raise CallerMistake(f"{path} holds no key. Make one: {_MAKE}")
    return tuple(word.encode() for word in found)


def no_keys() -> str:
    """Why no link can be made, and what to do."""
    return (
        f"no key is configured that links are signed with. Make one ({_MAKE}), set {KEYS_FILE} to the file's path for "
        "`gatepost serve` and for this command alike, and try again."
    )
