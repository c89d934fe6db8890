"""One value, one byte string, one hash: how arguments become fingerprints and keys.

Invariant: two values that mean the same give the same bytes, in every process and release.
RFC 8785 (JSON Canonicalization Scheme) does the work; decimals are strings before they get here.
"""

from __future__ import annotations

import hashlib

import rfc8785

from gatepost.state.values import JsonValue


def canonical(value: JsonValue) -> bytes:
    """The canonical JSON bytes of plain data (RFC 8785)."""
    return rfc8785.dumps(value)


def digest_of(*parts: JsonValue) -> str:
    """SHA-256 over the canonical form of the parts, as 64 hex digits."""
    return hashlib.sha256(canonical(list(parts))).hexdigest()


def checksum(content: bytes) -> str:
    """SHA-256 of raw bytes, written the way artifacts and evidence show it: `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
