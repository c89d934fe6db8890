"""Recorded histories, replayed for ever: a change that would move a run in flight elsewhere is seen here first.

A difference that is meant (what is recorded has another form) is answered by `python -m tests.golden`, and by a rise of
`GRAPH_VERSION` where runs in flight could not go on.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest
from tests.golden import workflows as made

from gatepost import Cause, Policy, replay
from gatepost.examples import loan, vendor_onboarding
from gatepost.graph.timetravel import read_file

INSTALLED = (loan.WORKFLOW, vendor_onboarding.WORKFLOW)
GOLDEN = Path(__file__).parents[1] / "golden"
HISTORIES = sorted(path.stem for path in GOLDEN.glob("*.jsonl") if path.stem != "diverges")


@pytest.mark.parametrize("name", HISTORIES)
def test_a_recorded_history_replays_as_it_was(name: str) -> None:
    recording = read_file(GOLDEN / f"{name}.jsonl")
    policy = Policy(recording.code[0]["facts"]["policy"]["text"], name="the recorded policy set")
    made.CALLED.clear()
    report = replay(recording, [*made.WORKFLOWS, *INSTALLED], policy=policy)
    assert report.identical, report.divergence
    assert report.transitions == report.last
    assert made.CALLED == []


def test_one_that_must_diverge_does() -> None:
    report = replay(GOLDEN / "diverges.jsonl", made.WORKFLOWS, policy=made.ALL)
    assert report.divergence is not None
    assert (report.divergence.cause, report.divergence.nodes) == (Cause.RENAME, ("planner",))


def test_there_is_one_for_each_way_a_run_can_go_and_each_installed_workflow() -> None:
    installed = {
        found.name for found in entry_points(group="gatepost.workflows") if found.value.startswith("gatepost.")
    }
    assert {*made.GOALS, *installed} <= set(HISTORIES)
