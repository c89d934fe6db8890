"""Upgrades: how a run's state that an earlier release wrote becomes one that this release reads.

Invariant: each step leads from one schema version to the next, is pure, and is never changed once a
release has it. The rows are not rewritten: a state is brought up to date when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Upgrade: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

UPGRADES: dict[int, Upgrade] = {}
"""By the version that it leads away from. Empty: there is only version 1 so far."""


def upgraded(state: Mapping[str, Any], *, to: int, upgrades: Mapping[int, Upgrade] = UPGRADES) -> dict[str, Any]:
    """The state as of a schema version; as it is where no way leads there (and its reader refuses it)."""
    found = dict(state)
    while (version := found.get("schema_version", to)) != to and version in upgrades:
        found = {**upgrades[version](found), "schema_version": version + 1}
    return found
