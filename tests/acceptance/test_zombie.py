"""Tries to let a process write that was stopped for longer than its lease, and wakes up as if no time had passed."""

from __future__ import annotations

from typing import Any

from tests.acceptance.processes import Office, Worker, wait_until

from gatepost import ApprovalRequest, Checkpointer
from gatepost.testing import Database
from gatepost.testing.plugin import LEASE

RUN = "stopped"


def trace(checkpointer: Checkpointer) -> tuple[Any, ...]:
    """All that is written about the run."""
    history, bridge = checkpointer.history, checkpointer.bridge
    return (
        bridge.run(history.transitions(RUN)),
        bridge.run(history.effects(RUN)),
        bridge.run(history.steps(RUN)),
        bridge.run(checkpointer.runs.get(RUN, "local")) | {"now": None},
        checkpointer.get_tuple({"configurable": {"thread_id": RUN}}),
    )


def stopped_in_the_effect(office: Office) -> Worker:
    """A worker that is stopped while it waits for a provider that has acted."""
    first = office.hire()
    blocked = first.do("start", RUN)
    office.services.fault("/decisions", kind="hang_after")
    first.tell("answer", RUN, ApprovalRequest.model_validate(blocked["approval"]).approve(by="alice"))
    office.services.held(at_least=1, seconds=20)
    first.stop()
    office.services.release()
    wait_until(lambda: not office.services.held() and office.books(RUN, "final_decision")["effects"] == 1)
    return first


def test_a_zombie_writes_nothing_and_says_why_it_stopped(
    office: Office, checkpointer: Checkpointer, gatepost_database: Database
) -> None:
    first = stopped_in_the_effect(office)
    gatepost_database.clock.shift(LEASE)
    assert office.hire().do("go", RUN)["status"] == "succeeded"
    before = trace(checkpointer)
    first.wake()
    told = first.report()
    assert told["error"] == "LostRun", told
    assert "another owner" in told["message"] or "taken over" in told["message"]
    assert trace(checkpointer) == before
    assert office.acts() == {"documents": 1, "screenings": 1, "decisions": 1}
    assert first.do("look", RUN)["status"] == "succeeded"  # the process itself is well


def test_a_process_whose_stop_nobody_noticed_goes_on(office: Office, gatepost_database: Database) -> None:
    """Its lease ran out and nobody took it: the run is still its own."""
    first = stopped_in_the_effect(office)
    gatepost_database.clock.shift(LEASE)
    first.wake()
    assert first.report()["status"] == "succeeded"
    assert office.acts() == {"documents": 1, "screenings": 1, "decisions": 1}
