"""One assertion on what happened to a run, and the sanity that every history has."""

from __future__ import annotations

from collections.abc import Sequence

from gatepost.checkpointing.open import Checkpointer
from gatepost.state.status import STEP_TRANSITIONS, StepStatus

_MEANT = {
    (StepStatus.PENDING, StepStatus.RUNNING),
    (StepStatus.PENDING, StepStatus.BLOCKED),
    (StepStatus.PENDING, StepStatus.FAILED),
    (StepStatus.SUCCEEDED, StepStatus.COMPENSATED),
    (StepStatus.SUCCEEDED, StepStatus.COMPENSATION_FAILED),
}
"""Two transitions in one superstep, of which the row shows the last."""


def history_of(checkpointer: Checkpointer, run_id: str) -> list[str]:
    """What became of the run's steps, in order: `["collect=running", "collect=succeeded", …]`.

    That a step is `ready` is left out: whether the gate says so first is the engine's business.
    """
    changes = checkpointer.bridge.run(checkpointer.history.step_changes(run_id, after=0, until=2**62))
    seen = (change.record for change in changes if change.record.status is not StepStatus.READY)
    return [f"{record.step}={record.status}" for record in seen]


def assert_history(checkpointer: Checkpointer, run_id: str, expected: Sequence[str]) -> None:
    """Assert that the run's steps went exactly so, each by legal transitions, each effect finished at most once.

    Args:
        checkpointer: where the run is.
        run_id: which.
        expected: `["collect=running", "collect=succeeded", …]`; steps of one superstep in alphabetical order.
    """
    found = history_of(checkpointer, run_id)
    assert found or not expected, (
        f"nothing is on record of the steps of a run {run_id!r}. Is that the thread_id it has?"
    )
    assert found == list(expected), f"the run went another way:\n  was      {found}\n  expected {list(expected)}"
    latest: dict[str, StepStatus] = {}
    for entry in found:
        step, _, name = entry.partition("=")
        before, after = latest.get(step, StepStatus.PENDING), StepStatus(name)
        assert after in STEP_TRANSITIONS[before] or (before, after) in _MEANT, (
            f"{step}: {before} → {after} is not legal"
        )
        latest[step] = after
