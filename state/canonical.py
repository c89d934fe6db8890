"""One value, one byte string, one hash: how arguments become fingerprints and keys.

Invariant: two values that mean the same give the same bytes, in every process and release.
RFC 8785 (JSON Canonicalization Scheme) does the work; decimals are strings before they get here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785

from gatepost.state.values import MAX_INT, JsonValue

_plainly = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_MANY = 10_000
"""Members of a value that are looked at."""


def canonical(value: JsonValue) -> bytes:
    """The canonical JSON bytes of plain data (RFC 8785)."""
    if _is_plain(value):
        try:
            return _plainly(value).encode()
        except UnicodeEncodeError:
            pass  # refused below, in RFC 8785's words
    return rfc8785.dumps(value)


def digest_of(*parts: JsonValue) -> str:
    """SHA-256 over the canonical form of the parts, as 64 hex digits."""
    return hashlib.sha256(canonical(list(parts))).hexdigest()


def checksum(content: bytes) -> str:
    """SHA-256 of raw bytes, written the way artifacts and evidence show it: `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _is_plain(value: JsonValue) -> bool:
    """Whether Python's own encoder, several times as fast, writes the same bytes.

    It differs in how it writes a float, and in the order of keys of which one has a character beyond 16 bits.
    """
    found: list[Any] = [value]
    for one in found:  # which grows meanwhile
        kind = type(one)
        if kind is dict:
            if not all(type(key) is str and key.isascii() for key in one):
                return False
            found += one.values()
        elif kind is list:
            found += one
        elif not (kind is str or kind is bool or one is None or (kind is int and -MAX_INT <= one <= MAX_INT)):
            return False
        if len(found) > _MANY:
            return False
    return True
