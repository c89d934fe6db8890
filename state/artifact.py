"""Artifacts: the versioned outputs a run leaves behind, with checksum and lineage."""

from __future__ import annotations

from gatepost.state.canonical import checksum
from gatepost.state.record import Record


class Artifact(Record):
    """One version of a named output."""

    name: str
    """A file name: `onboarding_decision.json`."""
    content: str
    """Text; binary outputs are stored elsewhere and referred to."""
    media_type: str = "application/json"
    version: int = 1
    step: str = "finalizer"
    """What produced it."""
    parents: tuple[str, ...] = ()
    """What it was made from: `<step>` or `<artifact>@<version>`."""

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the content as UTF-8."""
        return checksum(self.content.encode())
