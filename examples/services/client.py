"""A typed client of the example services, for tools, tests and notebooks.

Errors stay httpx's own: whether a failure leaves doubt is for the effect protocol to judge, and it
needs the original. A refusal says why in the provider's words. The client never retries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote

import httpx

from gatepost.examples.services.faults import Kind
from gatepost.examples.services.wire import (
    Charge,
    Decision,
    Document,
    EndpointBooks,
    Evidence,
    Held,
    Refund,
    Screening,
)

_SECONDS = 10.0
T = TypeVar("T")


class Services:
    """A connection to the services; close it, or use it in a `with`."""

    def __init__(self, base_url: str, *, seconds: float = _SECONDS) -> None:
        # Without trust_env=False a proxy of the environment would be asked for loopback.
        self._client = httpx.Client(base_url=base_url, timeout=seconds, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def documents(self, vendor: str, *, kinds: Sequence[str] = (), key: str | None = None) -> list[Document]:
        """The standard documents; with kinds, those of these kinds and no others."""
        asked = {"kind": list(kinds)}
        path = f"/vendors/{quote(vendor, safe='')}/documents"
        return cast("list[Document]", self._get(path, params=asked, key=key))

    def screen(self, vendor: str, *, documents: Sequence[Document | Evidence], key: str | None = None) -> Screening:
        body = {"vendor": vendor, "documents": _cited(documents)}
        return cast("Screening", self._post("/screenings", body, key=key))

    def decide(
        self,
        vendor: str,
        *,
        decision: str,
        controls: Sequence[str],
        evidence: Sequence[Document | Evidence],
        key: str | None,
    ) -> Decision:
        body = {
            "vendor": vendor,
            "decision": decision,
            "controls": list(controls),
            "evidence": _cited(evidence),
        }
        return cast("Decision", self._post("/decisions", body, key=key))

    def charge(self, customer: str, *, amount: str, currency: str = "EUR", key: str | None) -> Charge:
        body = {"customer": customer, "amount": amount, "currency": currency}
        return cast("Charge", self._post("/charges", body, key=key))

    def refund(
        self,
        customer: str,
        *,
        amount: str,
        currency: str = "EUR",
        charge_id: str | None = None,
        key: str | None,
    ) -> Refund:
        body = {"customer": customer, "amount": amount, "currency": currency}
        named = {} if charge_id is None else {"charge_id": charge_id}
        return cast("Refund", self._post("/refunds", body | named, key=key))

    def effect(self, key: str) -> dict[str, Any] | None:
        """The answer that was booked under a key, or None: for effects that can be looked up."""
        response = self._client.get(f"/effects/{quote(key, safe='')}")
        missing = response.status_code == httpx.codes.NOT_FOUND
        return None if missing else cast("dict[str, Any]", _read(response))

    def books(
        self, *, prefix: str | None = None, vendor: str | None = None, key: str | None = None
    ) -> dict[str, EndpointBooks]:
        """The books by endpoint, of calls whose path starts so, for a vendor, under a key."""
        chosen = _given(prefix=prefix, vendor=vendor, key=key)
        return cast("dict[str, EndpointBooks]", self._get("/books", params=chosen))

    def fault(
        self,
        path: str,
        *,
        kind: Kind,
        times: int = 1,
        seconds: float | None = None,
        status: int | None = None,
        retry_after: str | None = None,
    ) -> None:
        options = _given(seconds=seconds, status=status, retry_after=retry_after)
        self._post("/faults", {"path": path, "kind": kind, "times": times, **options})

    def clear_faults(self) -> None:
        self._client.delete("/faults").raise_for_status()

    def held(self, *, at_least: int = 0, seconds: float = 5.0) -> list[Held]:
        """The requests held now; waits until there are that many, or for these seconds."""
        asked = {"at_least": at_least, "seconds": seconds}
        timeout = seconds + _SECONDS
        response = self._client.get("/held", params=asked, timeout=timeout)
        return cast("list[Held]", _read(response))

    def release(self, *, path: str | None = None, key: str | None = None) -> int:
        """Let held requests go on; how many there were."""
        return int(self._post("/release", _given(path=path, key=key))["released"])

    def _get(self, path: str, *, params: Mapping[str, Any], key: str | None = None) -> Any:
        return _read(self._client.get(path, params=params, headers=_headers(key)))

    def _post(self, path: str, body: Mapping[str, Any], *, key: str | None = None) -> Any:
        return _read(self._client.post(path, json=body, headers=_headers(key)))


def _read(response: httpx.Response) -> Any:
    try:
        return response.raise_for_status().json()
    except httpx.HTTPStatusError as error:
        if (why := _detail(response)) is None:
            raise
        said = f"{response.status_code} {response.reason_phrase}: {why}"
        raise httpx.HTTPStatusError(said, request=error.request, response=response) from None


def _detail(response: httpx.Response) -> str | None:
    """Why the provider refused, when it says so as RFC 9457 has it."""
    try:
        found = response.json()
    except ValueError:
        return None
    detail = found.get("detail") if isinstance(found, dict) else None
    return detail if isinstance(detail, str) else None


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _given(**values: T | None) -> dict[str, T]:
    return {name: value for name, value in values.items() if value is not None}


def _cited(documents: Sequence[Document | Evidence]) -> list[Evidence]:
    return [Evidence(id=item["id"], sha256=item["sha256"]) for item in documents]
