"""Tries to lose a run, or to do a thing twice, by SIGKILLing its worker: while it waits for a person, in the
middle of a call, between an answer and what follows from it, and before and after everything it commits.

What was done is counted by the other side: the books of the services, which outlive every worker here.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest
from tests.acceptance.processes import ENDPOINTS, Office, Worker, wait_until

from gatepost import ApprovalRequest, Checkpointer
from gatepost.testing import Database
from gatepost.testing.plugin import LEASE

RUN = "killed"
MANY = 40
PATHS = {"docs_collect": "/vendors", "policy_screen": "/screenings", "final_decision": "/decisions"}


def test_killed_while_blocked(office: Office) -> None:
    waiting = office.hire()
    blocked = waiting.do("start", RUN)
    assert blocked["status"] == "blocked"
    waiting.kill()
    done = office.hire().do("answer", RUN, _approve(blocked))
    assert done["status"] == "succeeded"
    assert office.acts() == {"documents": 1, "screenings": 1, "decisions": 1}
    assert all(office.books(RUN, step)["attempts"] == 1 for step in PATHS)


def test_killed_at_every_instant(office: Office, checkpointer: Checkpointer) -> None:
    fates = [line.split() for line in office.lines("mortal.py")]
    assert [fate for _, fate in fates] == ["killed"] * (len(fates) - 1) + ["lived"]
    assert office.acts() == dict.fromkeys(ENDPOINTS, len(fates))
    assert len(fates) > MANY, "most of a run's instants were not met: has the hook in mortal.py come off?"
    for run, _ in fates:
        for step in PATHS:
            books = office.books(run, step)
            assert (books["effects"], books["attempts"] <= 2) == (1, True), (run, step, books)
        assert _answers(checkpointer, run) == [("decided", "alice")], run
        (artifact,) = checkpointer.bridge.run(checkpointer.history.artifacts(run))
        assert f'"run": "{run}"' in artifact["content"]
        moves = checkpointer.bridge.run(checkpointer.history.transitions(run))
        assert [move["seq"] for move in moves] == list(range(1, len(moves) + 1)), run


@pytest.mark.parametrize("fault", ["hang_after", "delay_before"])
def test_killed_in_the_middle_of_the_effect(office: Office, checkpointer: Checkpointer, fault: Any) -> None:
    # Here the new worker waits until the dead one's lease has run out; elsewhere the clock is moved.
    first, second = office.hire(), office.hire()
    blocked = first.do("start", RUN)
    office.services.fault(PATHS["final_decision"], kind=fault)
    first.tell("answer", RUN, _approve(blocked))
    _kill_while_held(office, first, "final_decision")
    done = second.do("go", RUN)
    assert done["status"] == "succeeded"
    assert done["outcome"]["decision"] == "approved_with_controls"
    books = office.books(RUN, "final_decision")
    assert (books["effects"], books["attempts"]) == (1, 2)
    assert office.acts() == {"documents": 1, "screenings": 1, "decisions": 1}
    ledger = checkpointer.bridge.run(checkpointer.history.effects(RUN))
    assert [(row["state"], row["attempts"]) for row in ledger] == [("succeeded", 2)]


@pytest.mark.parametrize("fault", ["hang_after", "delay_before"])
@pytest.mark.parametrize("step", ["docs_collect", "policy_screen"])
def test_killed_in_the_middle_of_a_read(office: Office, gatepost_database: Database, step: str, fault: Any) -> None:
    first, second = office.hire(), office.hire()
    office.services.fault(PATHS[step], kind=fault)
    first.tell("start", RUN)
    _kill_while_held(office, first, step)
    gatepost_database.clock.shift(LEASE)
    blocked = second.do("go", RUN)
    assert blocked["status"] == "blocked"
    assert second.do("answer", RUN, _approve(blocked))["status"] == "succeeded"
    assert (office.books(RUN, step)["effects"], office.books(RUN, step)["attempts"]) == (1, 2)
    assert office.acts() == {"documents": 1, "screenings": 1, "decisions": 1}


def test_killed_between_intent_and_call(
    office: Office, gatepost_database: Database, checkpointer: Checkpointer
) -> None:
    dying, other = office.hire("--dying", "final_decision"), office.hire()
    dying.tell("answer", RUN, _approve(other.do("start", RUN)))
    assert dying.ended() == -signal.SIGKILL
    assert office.books(RUN, "final_decision")["attempts"] == 0
    gatepost_database.clock.shift(LEASE)
    assert other.do("go", RUN)["status"] == "succeeded"
    assert office.books(RUN, "final_decision")["attempts"] == 1
    ledger = checkpointer.bridge.run(checkpointer.history.effects(RUN))
    assert [(row["state"], row["attempts"]) for row in ledger] == [("succeeded", 2)]


def test_killed_between_answer_and_resume(office: Office, checkpointer: Checkpointer) -> None:
    first = office.hire()
    blocked = first.do("start", RUN)
    assert first.do("decide", RUN, _approve(blocked))["decision"]["repeated"] is False
    first.kill()
    row = checkpointer.bridge.run(checkpointer.runs.get(RUN, "local"))
    assert (row["status"], row["reason"]) == ("queued", "approve by alice"), "the answer did not name the next mover"
    done = office.hire().do("go", RUN)
    assert done["status"] == "succeeded"
    assert _answers(checkpointer, RUN) == [("decided", "alice")], "somebody was asked again"
    assert office.acts() == {"documents": 1, "screenings": 1, "decisions": 1}


def _answers(checkpointer: Checkpointer, run: str) -> list[tuple[str, str]]:
    asked = checkpointer.bridge.run(checkpointer.approvals.list("local", status=None, run_id=run))
    return [(row["status"], row["principal"]) for row in asked]


def _approve(blocked: dict[str, Any]) -> dict[str, Any]:
    return ApprovalRequest.model_validate(blocked["approval"]).approve(by="alice")


def _kill_while_held(office: Office, worker: Worker, step: str) -> None:
    """Kill the worker while the services hold its request, and let the services go on with it."""
    (held,) = office.services.held(at_least=1, seconds=20)
    assert held["path"].startswith(PATHS[step])
    worker.kill()
    office.services.release()
    # Only when the dead worker's request is through: until then its key is busy, which is another story.
    wait_until(lambda: office.books(RUN, step)["statuses"] not in ([], [None]) and not office.services.held())
