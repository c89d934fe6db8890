"""Tries to find an unfinished run of which the database does not say who moves it, or says something else than the
claim query does.
"""

from __future__ import annotations

import itertools
from datetime import UTC, timedelta
from typing import Any

import pytest
from tests.integration.yard import HOUR, Yard

from gatepost import Checkpointer, RunStatus
from gatepost.service.why import Why, why
from gatepost.state.errors import UnknownRun
from gatepost.state.status import RUN_FINAL, RUN_PARKED

PAST = -timedelta(seconds=5)
LEASES = {"free": None, "held": HOUR, "left": PAST}
TIMERS = {"no time": None, "due": PAST, "later": HOUR}
QUESTIONS: dict[str, list[dict[str, Any]]] = {
    "no question": [],
    "asked": [{"status": "open"}],
    "asked until": [{"status": "open", "decide_by": HOUR}],
    "late": [{"status": "open", "decide_by": PAST}],
    "answered": [{"status": "decided"}],
    "answer taken": [{"status": "decided", "taken": 3}],
    "void": [{"status": "void"}],
    "half": [{"status": "open"}, {"status": "decided"}],
}
KINDS = {"owner", "queue", "timer", "approval", "event", "operator", "nobody"}
Shape = tuple[str, str, str, str, str]


@pytest.fixture
def yard(town_hall: Checkpointer, owner: Any) -> Yard:
    return Yard(town_hall, owner)


def test_every_shape_of_a_row_has_one_mover_and_the_queue_is_what_a_claim_takes(yard: Yard) -> None:
    shapes = [*_shapes()]
    for number, shape in enumerate(shapes):
        _put(yard, str(number), shape)
    named = {row["run_id"].removeprefix(f"{yard.name}-"): row["kind"] for row in _movers(yard)}
    assert len(named) == len(shapes)
    claimed = {*yard.claim(slots=10_000)}
    for number, shape in enumerate(shapes):
        assert named[str(number)] == _expected(shape), shape
        assert (named[str(number)] == "queue") == (str(number) in claimed), shape
    assert set(named.values()) == KINDS


def test_a_run_that_has_ended_has_no_mover(yard: Yard) -> None:
    yard.admit("a")
    yard.owner.change("UPDATE gatepost.run SET status = 'failed', finished_at = now() WHERE workflow = %s", yard.name)
    assert _movers(yard) == []
    assert _why(yard, "a").kind == "ended"


def test_another_tenants_run_is_no_run(yard: Yard) -> None:
    yard.admit("a")
    with pytest.raises(UnknownRun):
        yard.hall.bridge.run(yard.movers.why(f"{yard.name}-a", "acme"))


def test_who_is_said_in_a_sentence_with_a_command(yard: Yard) -> None:
    run, tenant = f"{yard.name}-a", yard.name
    yard.admit("before", "a", tenant=tenant)
    found = _why(yard, "a", tenant)
    assert found.sentence == (
        f"{run} is queued with 1 before it; any worker that knows the workflow {yard.name} may take it, "
        "but no worker is listening."
    )
    assert found.command == ("run", "resume", run)
    yard.hold("a", -timedelta(seconds=5), setbacks=2, trouble="ValueError: no")
    found = _why(yard, "a", tenant)
    assert "was left behind by somebody, whose lease ran out at " in found.sentence
    assert "has been tried 2 times at transition 0; the last one failed: ValueError: no." in found.sentence
    yard.hold("a", HOUR)
    found = _why(yard, "a", tenant)
    assert (found.kind, found.command) == ("owner", ("history", run))
    assert f"{run} is moved by somebody, whose lease runs until " in found.sentence


def test_a_timer_is_said_with_its_time_and_its_reason(yard: Yard) -> None:
    yard.admit("a")
    yard.set("a", status="waiting", wake_at=HOUR, wake_reason="429: ask again later")
    found = _why(yard, "a")
    assert ", in 60 min (429: ask again later), but no worker is listening." in found.sentence
    assert found.command == ("worker",)


def test_a_question_is_said_with_its_limit(yard: Yard) -> None:
    yard.admit("a")
    yard.ask("a", "open", decide_by=25 * HOUR)
    (row,) = _movers(yard)
    found = _why(yard, "a")
    assert f" waits until {row['until'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC for a person" in found.sentence
    assert found.sentence.endswith(f" for a person to answer {row['detail']}.")
    assert found.command == ("approval", "show", row["detail"])
    assert row["until"] is not None


@pytest.mark.parametrize("status", sorted(RUN_PARKED))
def test_what_is_parked_is_an_operators(yard: Yard, status: str) -> None:
    yard.admit("a")
    yard.set("a", status=status, reason="it went wrong")
    found = _why(yard, "a")
    assert found.kind == "operator"
    assert f"is {status}, and only an operator moves it (it went wrong)." in found.sentence


def test_what_nobody_moves_is_an_alarm(yard: Yard) -> None:
    yard.admit("a")
    yard.set("a", status="waiting")
    found = _why(yard, "a")
    assert (found.kind, found.command) == ("nobody", ("run", "resume", f"{yard.name}-a"))
    assert found.sentence.startswith("nobody will ever move ")


def _shapes() -> itertools.product[Shape]:
    """Every status with every lease, timer and question."""
    open_ends = [str(status) for status in RunStatus if status not in RUN_FINAL]
    return itertools.product(open_ends, LEASES, TIMERS, ["a reason", "no reason"], QUESTIONS)


def _put(yard: Yard, name: str, shape: Shape) -> None:
    status, lease, timer, reason, question = shape
    yard.admit(name)
    for asked in QUESTIONS[question]:
        yard.ask(name, **asked)
    left, wake = LEASES[lease], TIMERS[timer]
    yard.owner.change_named(
        "UPDATE gatepost.run SET status = %(status)s::gatepost.run_status, wake_reason = %(reason)s, "
        "owner = CASE WHEN %(left)s::interval IS NOT NULL THEN 'somebody' END, "
        "lease_expires_at = gatepost.now() + %(left)s::interval, wake_at = gatepost.now() + %(wake)s::interval "
        "WHERE run_id = %(run)s",
        status=status,
        reason=reason if reason == "a reason" else None,
        left=left,
        wake=wake,
        run=f"{yard.name}-{name}",
    )


def _expected(shape: Shape) -> str:
    """Who moves it, in words of the test's own."""
    status, lease, timer, reason, question = shape
    if lease == "held":
        return "owner"
    if status in RUN_PARKED:
        return "operator"
    if status == "blocked":
        return {
            "answered": "queue", "half": "queue", "late": "queue", "asked": "approval", "asked until": "approval",
        }.get(question, "nobody")  # fmt: skip
    if status == "waiting" and question in ("late", "answered", "half"):
        return "queue"
    if timer == "later":
        return "timer"
    if status == "waiting" and timer == "no time" and lease == "free":
        return "event" if reason == "a reason" else "nobody"
    return "queue"


def _movers(yard: Yard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yard.owner.rows("SELECT * FROM gatepost.next_mover WHERE workflow = %s", yard.name)
    return found


def _why(yard: Yard, name: str, tenant: str = "local") -> Why:
    return why(yard.hall.bridge.run(yard.movers.why(f"{yard.name}-{name}", tenant)))
