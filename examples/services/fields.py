"""Reading a request's fields: each of its type, or the request is refused with the field's name."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gatepost.examples.services.message import Refused


def text(fields: Mapping[str, Any], name: str, *, otherwise: str | None = None) -> str:
    value = fields.get(name, otherwise)
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be text.")
    return value


def texts(fields: Mapping[str, Any], name: str) -> list[str]:
    value = fields.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refused(400, f"{name} must be a list of texts.")
    return value


def objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = fields.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused(400, f"{name} must be a list of objects with id and sha256.")
    return value


def whole(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refused(400, f"{name} must be a whole number, 0 or more.")
    return value


def amount(fields: Mapping[str, Any]) -> str:
    """Money travels as text: a JSON number would come back as a float somewhere."""
    try:
        found = Decimal(text(fields, "amount"))
    except InvalidOperation:
        raise Refused(400, "amount must be a decimal number as text.") from None
    if not found.is_finite() or found <= 0:
        raise Refused(400, "amount must be above zero.")
    return str(found)
