"""A request and a reply as the services see them, without sockets.

A request's fingerprint covers method, path, query and the meaning of the body (not its
spelling), so a key that comes back with another request is recognised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

Ending = Literal["send", "cut", "crash", "stop"]
"""What the server does with a reply: send it, cut the connection, die, or send it and leave."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read completely."""

    method: str
    path: str
    query: Mapping[str, tuple[str, ...]]
    key: str | None
    body: Any

    @classmethod
    def parse(cls, method: str, *, target: str, key: str | None, raw: bytes) -> Request:
        parts = urlsplit(target)
        query = {name: tuple(values) for name, values in parse_qs(parts.query).items()}
        return cls(method, parts.path, query, key, _parse_body(raw))

    @property
    def target(self) -> str:
        query = urlencode(sorted(self.query.items()), doseq=True)
        return f"{self.path}?{query}" if query else self.path

    @property
    def text(self) -> str:
        return canonical(self.body)

    @property
    def fingerprint(self) -> str:
        return digest(f"{self.method} {self.target}\n{self.text}")

    def first(self, name: str) -> str | None:
        return self.query.get(name, (None,))[0]

    def number(self, name: str, *, otherwise: float) -> float:
        given = self.first(name)
        try:
            return otherwise if given is None else float(given)
        except ValueError:
            raise Refused(400, f"{name} is not a number: {given!r}") from None

    @property
    def fields(self) -> Mapping[str, Any]:
        if not isinstance(self.body, dict):
            raise Refused(400, "The body must be a JSON object.")
        return self.body


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, and how it leaves the house."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = "send"
    deduplicated: bool = False


class Refused(Exception):
    """The services refuse a request: a status and a sentence for the caller."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def reply(self) -> Reply:
        return Reply(self.status, {"status": self.status, "detail": self.detail}, self.headers)


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _parse_body(raw: bytes) -> Any:
    try:
        body = json.loads(raw, parse_constant=_refuse_constant) if raw else None
        # A lone surrogate is valid JSON and has no UTF-8: it could not be booked.
        canonical(body).encode()
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON that can be booked.") from None
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
