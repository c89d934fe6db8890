"""What callers send, in a body or after the question mark, and where the next page of a list begins.

Invariant: a name that nobody knows is refused, and answered with those that there are.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from gatepost.state.errors import InvalidValue

PAGE = 50
LARGEST_PAGE = 200
PRINTED = r"^[^\x00-\x1f\x7f]*$"
"""A text without control characters."""
Limit = Annotated[int, Field(ge=1, le=LARGEST_PAGE)]
Text = Annotated[str | None, Field(max_length=200, pattern=PRINTED)]


class Given(BaseModel):
    """What a caller sends: nothing that is not named."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if unknown := set(given) - set(cls.model_fields) if isinstance(given, Mapping) else ():
            known = ", ".join(cls.model_fields) or "none"
            told = PydanticCustomError("unknown", "unknown here. Known: {known}", {"known": known})
            raise ValidationError.from_exception_data(
                cls.__name__, [{"type": told, "loc": (name,), "input": given[name]} for name in sorted(unknown)]
            )
        return given


class Nothing(Given):
    """No parameters."""


NoQuery = Annotated[Nothing, Query()]


class Page(Given):
    """Which page of a list."""

    after: Text = Field(default=None, description="`next` of the page before.")
    limit: Limit = PAGE


def place_after(*parts: Any) -> str:
    """A place in an order, for the address of the next page."""
    said = [part.isoformat() if isinstance(part, datetime) else part for part in parts]
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def place_of(text: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The place that a page's address names.

    Raises:
        InvalidValue: it is none of ours.
    """
    if text is None:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(parts, list) or len(parts) != len(kinds):
            raise ValueError
        return tuple(_part(part, kind) for part, kind in zip(parts, kinds, strict=True))
    except (ValueError, TypeError, RecursionError):
        raise InvalidValue("`after` is no place of ours: pass the `next` of the page before, as it is.") from None


def _part(part: object, kind: type) -> object:
    if kind is datetime and isinstance(part, str):
        found = datetime.fromisoformat(part)
        if found.tzinfo is None:
            raise ValueError
        return found
    if not isinstance(part, kind) or isinstance(part, bool) or (isinstance(part, int) and abs(part) > 2**31 - 1):
        raise TypeError
    if isinstance(part, str) and (not part.isprintable() or len(part) > 200):  # noqa: PLR2004
        raise ValueError
    return part
