"""Decimals as texts that say the same where they are equal: they are judged, fingerprinted and sent. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from gatepost.state.errors import InvalidValue

_DECIMAL_MAGNITUDE = 1000
"""Powers of ten; written out, a decimal beyond it would fill the memory."""


def decimals(value: Any) -> Any:
    """Equal decimals are one text: 1.50 and 1.5 must not be two fingerprints."""
    if isinstance(value, Decimal):
        return _decimal_text(value)
    if isinstance(value, dict):
        return {key: decimals(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [decimals(member) for member in value]
    return value


def _decimal_text(value: Decimal) -> str:
    """Every digit: `Decimal.normalize()` would round an amount to 28 of them."""
    if value and abs(value.adjusted()) > _DECIMAL_MAGNITUDE:
        raise InvalidValue(f"the decimal {value!s:.40} is beyond 10^±{_DECIMAL_MAGNITUDE}. Send it as a text.")
    text = f"{value:f}" if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text
