"""The books of the example services, in SQLite.

A key has at most one effect, ever: the unique constraint `one_effect_per_key` keeps that
across threads, processes and restarts of the server.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from gatepost.examples.services.loans import Billed
from gatepost.examples.services.wire import EndpointBooks, KeyBooks

_ARRIVE = """
INSERT INTO calls (at, method, path, endpoint, vendor, key, body_sha256, body, fault)
VALUES (:at, :method, :path, :endpoint, :vendor, :key, :body_sha256, :body, :fault)
"""
_ANSWER = "UPDATE calls SET status = :status, deduplicated = :deduplicated WHERE id = :id"
_RECORD = """
INSERT INTO effects (key, at, endpoint, path, vendor, fingerprint, status, response)
VALUES (:key, :at, :endpoint, :path, :vendor, :fingerprint, :status, :response)
ON CONFLICT (key) DO NOTHING
"""
_EFFECT = """
SELECT key, at, endpoint, path, vendor, fingerprint, status, response
FROM effects WHERE key = :key
"""
# substr, not LIKE: a path or key may hold % and _.
_CALLS = """
SELECT endpoint, key, status, deduplicated FROM calls
WHERE (:prefix IS NULL OR substr(path, 1, length(:prefix)) = :prefix)
  AND (:vendor IS NULL OR vendor = :vendor) AND (:key IS NULL OR key = :key)
ORDER BY id
"""
_EFFECTS = """
SELECT endpoint, key FROM effects
WHERE (:prefix IS NULL OR substr(path, 1, length(:prefix)) = :prefix)
  AND (:vendor IS NULL OR vendor = :vendor) AND (:key IS NULL OR key = :key)
"""

_BILL = """
SELECT endpoint, sum(calls), sum(calls - 1),
       round(sum((julianday(last_at) - julianday(first_at)) * 86400), 3), sum(acts)
FROM (
    SELECT calls.endpoint, count(*) AS calls, min(calls.at) AS first_at, max(calls.at) AS last_at,
           (SELECT count(*) FROM effects WHERE effects.key = calls.key) AS acts
    FROM calls WHERE substr(path, 1, length(:prefix)) = :prefix AND calls.key IS NOT NULL
    GROUP BY calls.endpoint, calls.key
)
GROUP BY endpoint
"""
_TIMES = "SELECT count(*) FROM calls WHERE path = :path"
_LATEST = "SELECT response FROM effects WHERE path = :path ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it is booked on arrival."""

    at: str
    method: str
    path: str
    endpoint: str
    vendor: str | None
    key: str | None
    body_sha256: str
    body: str
    fault: str | None


@dataclass(frozen=True, slots=True)
class Effect:
    """An act with the answer that every repeat of its key gets."""

    key: str | None
    at: str
    endpoint: str
    path: str
    vendor: str | None
    fingerprint: str
    status: int
    response: Any


class Book:
    """One SQLite file; safe to use from every thread of the server."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Book:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # A killed process loses nothing that it committed; only a power cut could.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        schema = files("gatepost.examples.services").joinpath("schema.sql")
        connection.executescript(schema.read_text(encoding="utf-8"))
        return cls(connection)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def arrive(self, call: Call) -> int:
        with self._lock:
            return self._connection.execute(_ARRIVE, asdict(call)).lastrowid or 0

    def answer(self, call_id: int, *, status: int, deduplicated: bool) -> None:
        row = {"id": call_id, "status": status, "deduplicated": int(deduplicated)}
        with self._lock:
            self._connection.execute(_ANSWER, row)

    def record(self, effect: Effect) -> Effect:
        """Book the effect unless its key has one; return what stands in the book."""
        row = asdict(effect) | {"response": json.dumps(effect.response)}
        with self._lock:
            self._connection.execute(_RECORD, row)
        return (self.effect(effect.key) if effect.key else None) or effect

    def effect(self, key: str) -> Effect | None:
        with self._lock:
            row = self._connection.execute(_EFFECT, {"key": key}).fetchone()
        return None if row is None else _effect(row)

    def calls(self, path: str) -> int:
        with self._lock:
            return int(self._connection.execute(_TIMES, {"path": path}).fetchone()[0])

    def latest(self, path: str) -> Any:
        with self._lock:
            row = self._connection.execute(_LATEST, {"path": path}).fetchone()
        return None if row is None else json.loads(row[0])

    def bill(self, prefix: str, *, prices: Mapping[str, int]) -> dict[str, Billed]:
        """What the calls under a prefix have cost, by endpoint; those without a key are nobody's."""
        with self._lock:
            rows = self._connection.execute(_BILL, {"prefix": prefix}).fetchall()
        return {
            endpoint: Billed(calls=calls, again=again, seconds=seconds, units=acts * prices.get(endpoint, 0))
            for endpoint, calls, again, seconds, acts in rows
        }

    def summary(
        self,
        endpoints: Iterable[str],
        *,
        prefix: str | None = None,
        vendor: str | None = None,
        key: str | None = None,
    ) -> dict[str, EndpointBooks]:
        """Attempts and effects per endpoint and key; every named endpoint is present."""
        chosen = {"prefix": prefix, "vendor": vendor, "key": key}
        with self._lock:
            calls = self._connection.execute(_CALLS, chosen).fetchall()
            effects = self._connection.execute(_EFFECTS, chosen).fetchall()
        books = {endpoint: _blank_endpoint() for endpoint in endpoints}
        for endpoint, call_key, status, deduplicated in calls:
            _count_call(books, endpoint, call_key, status=status, deduplicated=deduplicated)
        for endpoint, effect_key in effects:
            _count_effect(books[endpoint], effect_key)
        return books


def _effect(row: tuple[Any, ...]) -> Effect:
    key, at, endpoint, path, vendor, fingerprint, status, response = row
    return Effect(key, at, endpoint, path, vendor, fingerprint, status, json.loads(response))


def _blank_endpoint() -> EndpointBooks:
    return {"attempts": 0, "effects": 0, "deduplicated": 0, "by_key": {}}


def _blank_key() -> KeyBooks:
    return {"attempts": 0, "effects": 0, "deduplicated": 0, "statuses": []}


def _count_call(
    books: Mapping[str, EndpointBooks],
    endpoint: str,
    key: str | None,
    *,
    status: int | None,
    deduplicated: int,
) -> None:
    books[endpoint]["attempts"] += 1
    books[endpoint]["deduplicated"] += deduplicated
    if key is None:
        return
    entry = books[endpoint]["by_key"].setdefault(key, _blank_key())
    entry["attempts"] += 1
    entry["deduplicated"] += deduplicated
    entry["statuses"].append(status)


def _count_effect(books: EndpointBooks, key: str | None) -> None:
    books["effects"] += 1
    if key is not None:
        books["by_key"].setdefault(key, _blank_key())["effects"] += 1
