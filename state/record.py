"""The base of everything that is stored or sent: frozen, no unknown fields, plain data on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue


class Record(BaseModel):
    """A frozen value with a plain-data form (`plain()`), validated once where it enters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def plain(self) -> dict[str, JsonValue]:
        """The value as plain data, defaults left out: what channels and json columns hold."""
        data: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)
        return data
