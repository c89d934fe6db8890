"""Artifacts: the versioned outputs a run leaves behind, with checksum and lineage."""

from __future__ import annotations

from pydantic import Field

from gatepost.state.canonical import checksum
from gatepost.state.record import Record


class Artifact(Record):
    """One version of a named output."""

    name: str
    """A file name: `onboarding_decision.json`."""
    content: str
    """Text; binary outputs are stored elsewhere and referred to."""
    media_type: str = "application/json"
    version: int = Field(default=1, ge=1, le=2**31 - 1)
    step: str = "finalizer"
    """What produced it."""
    parents: tuple[str, ...] = ()
    """What it was made from: `<step>` or `<artifact>@<version>`."""

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the content as UTF-8."""
        return checksum(self.content.encode())
