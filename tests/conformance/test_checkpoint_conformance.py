"""Holds our saver to LangGraph's own contract: its conformance suite, on a real database.

The suite is pinned (0.0.2) and does not cover concurrency, crashes or order; the other tests do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability, DetectedCapabilities

from gatepost.checkpointing.open import open_checkpointer

if TYPE_CHECKING:
    from gatepost import Checkpointer
    from gatepost.testing import Databases

CASES = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}
"""How many properties the pinned suite checks, so that a suite which checks nothing does not pass."""


@pytest.fixture(scope="module")
def saver(gatepost_databases: Databases) -> Iterator[Checkpointer]:
    """One database for the whole suite; every case makes threads of its own."""
    with gatepost_databases.migrated() as database, open_checkpointer(database.url, migrate=False) as opened:
        yield opened


@pytest.mark.parametrize("capability", list(Capability), ids=lambda capability: str(capability.value))
def test_saver_has_the_capability_and_passes_every_case_of_it(saver: Checkpointer, capability: Capability) -> None:
    @checkpointer_test(name="gatepost")
    async def registered() -> AsyncGenerator[Any, None]:
        yield saver

    report = saver.bridge.run(validate(registered, capabilities={capability.value}))
    result = report.results[capability.value]
    assert result.detected
    assert result.failures == []
    assert result.passed is True
    assert result.tests_passed >= CASES[capability.value]


def test_every_capability_is_detected_and_none_is_unknown_to_this_test(saver: Checkpointer) -> None:
    assert DetectedCapabilities.from_instance(saver).missing == frozenset()
    assert {capability.value for capability in Capability} == set(CASES)
