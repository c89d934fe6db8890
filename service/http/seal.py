"""The seal: short texts that a browser keeps for us and cannot change, and the tokens that go with them.

Pure: secrets and the time are passed in. Invariant: a text in which one byte differs, or whose time is
over, or that was sealed for another purpose, opens as nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def sealed(purpose: str, said: Mapping[str, Any], *, until: datetime, secret: bytes) -> str:
    """Seal some words until a time."""
    body = _text(json.dumps({**said, "until": int(until.timestamp())}, separators=(",", ":"), sort_keys=True).encode())
    return f"{body}.{_mark(purpose, body, secret)}"


def opened(purpose: str, text: str, *, now: datetime, secrets: Sequence[bytes]) -> dict[str, Any] | None:
    """What was sealed for this purpose, if it still holds."""
    body, _, mark = text.partition(".")
    marks = [_mark(purpose, body, secret) for secret in secrets]
    if not any(hmac.compare_digest(mark.encode(), good.encode()) for good in marks):
        return None
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return said if said["until"] > now.timestamp() else None


def token(session: str, secret: bytes) -> str:
    """What a form of this session carries, so that no other page can send it."""
    return _mark("form", session, secret)


def is_token(given: str, session: str, secrets: Sequence[bytes]) -> bool:
    """Whether a form was made for this session."""
    return any(hmac.compare_digest(given.encode(), token(session, secret).encode()) for secret in secrets)


def _mark(purpose: str, body: str, secret: bytes) -> str:
    return _text(hmac.digest(secret, f"{purpose}\0{body}".encode(), hashlib.sha256))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
