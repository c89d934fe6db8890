"""Tries to make the log of a run say something else than what was committed: a line twice, a line of the past, an
answer that nobody gave, another log for whoever reads it in pieces.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gatepost.checkpointing.history import StepChange
from gatepost.service.log import Committed, RunLog
from gatepost.state.status import StepStatus
from gatepost.state.step import Failure, StepRecord

AT = datetime(2026, 1, 1, tzinfo=UTC)
QUIET = frozenset({StepStatus.PENDING, StepStatus.READY, StepStatus.RUNNING, StepStatus.CANCELLED})


def row(seq: int, *nodes: str, then: str = "policy_gate", status: str = "running", reason: str = "") -> dict[str, Any]:
    return {
        "seq": seq,
        "source": "loop" if nodes else "input",
        "nodes": list(nodes) or ["input"],
        "next": [then] if then else [],
        "status": status,
        "reason": reason,
    }


def record(step: str, status: StepStatus, **more: Any) -> StepRecord:
    return StepRecord(step=step, status=status, **more)


def change(seq: int, step: str, status: StepStatus, **more: Any) -> StepChange:
    return StepChange(seq=seq, at=AT, record=record(step, status, **more))


def lines(*changes: StepChange, log: RunLog | None = None, **news: Any) -> list[str]:
    transitions = [row(seq, "executor") for seq in sorted({one.seq for one in changes})]
    return (log or RunLog("r1")).lines(Committed(transitions=transitions, changes=changes, **news))


def reviewed(until: int = 99, after: int = 0) -> Committed:
    """A review with everything in it: a finding, an answer, another plan, an artifact."""
    transitions = [
        row(1),
        row(2, "planner"),
        row(3, "executor"),
        row(4, "policy_gate", then="approval", status="blocked"),
        row(5, "approval"),
        row(6, "planner"),
        row(7, "policy_gate", then="approval", status="blocked"),
        row(8, "approval"),
        row(9, "executor"),
        row(10, "finalizer", then="", status="succeeded"),
    ]
    changes = [
        change(3, "screen", StepStatus.SUCCEEDED, label="ok", needs_approval="manual approval"),
        change(4, "decide", StepStatus.BLOCKED, approval="apr_1", reason="screen: manual approval; policy"),
        change(5, "decide", StepStatus.PENDING),
        change(7, "decide", StepStatus.BLOCKED, approval="apr_2", reason="the policy asks"),
        change(8, "decide", StepStatus.RUNNING, approval="apr_2"),
        change(9, "decide", StepStatus.SUCCEEDED, label="approved"),
    ]
    inside = [one for one in transitions if after < one["seq"] <= until]
    seen = {one["seq"] for one in inside}
    return Committed(
        transitions=inside,
        changes=[one for one in changes if one.seq in seen],
        artifacts=[{"name": "decision.json", "seq": 10}] if 10 in seen else [],
        plans=[plan for seq, plan in ((2, (1, "")), (6, (2, "more"))) if seq in seen],
        answers={"apr_1": "respond", "apr_2": "approve"},
    )


WHOLE = [
    "[workflow] id=r1 started",
    "[step] screen=blocked(manual approval)",
    "[resume] response_received",
    "[plan] v2 (more)",
    "[step] decide=blocked(the policy asks)",
    "[resume] approval_received",
    "[step] decide=approved",
    "[artifact] decision.json",
]


def test_whole_log() -> None:
    assert RunLog("r1").lines(reviewed()) == WHOLE


@pytest.mark.parametrize("cut", range(1, 11))
def test_read_in_pieces_it_is_the_same_log(cut: int) -> None:
    log = RunLog("r1")
    assert log.lines(reviewed(until=cut)) + log.lines(reviewed(after=cut)) == WHOLE


@pytest.mark.parametrize("cut", range(1, 11))
def test_whoever_comes_late_prints_the_end_of_the_same_log(cut: int) -> None:
    early, late = RunLog("r1"), RunLog("r1")
    before = reviewed(until=cut)
    printed = early.lines(before)
    late.skip({one.record.step: one.record for one in before.changes}.values())
    assert printed + late.lines(reviewed(after=cut)) == WHOLE


@pytest.mark.parametrize(
    ("status", "more", "said"),
    [
        (StepStatus.SUCCEEDED, {"label": "approved"}, "approved"),
        (StepStatus.SUCCEEDED, {}, "ok"),
        (StepStatus.SUCCEEDED, {"label": " \n "}, "ok"),
        (StepStatus.SUCCEEDED, {"label": "ok", "needs_approval": "odd"}, "blocked(odd)"),
        (StepStatus.BLOCKED, {"reason": "the policy asks"}, "blocked(the policy asks)"),
        (StepStatus.BLOCKED, {}, "blocked"),
        (StepStatus.FAILED, {"failure": Failure(kind="bug", message="x"), "reason": "boom"}, "failed(bug: boom)"),
        (StepStatus.FAILED, {"reason": "boom"}, "failed(unknown: boom)"),
        (StepStatus.SKIPPED, {"reason": "no need"}, "skipped(no need)"),
        (StepStatus.IN_DOUBT, {"reason": "cut off"}, "in_doubt(cut off)"),
        (StepStatus.WAITING, {"reason": "a timer"}, "waiting(a timer)"),
        (StepStatus.COMPENSATING, {"reason": "may it be undone?"}, "compensating(may it be undone?)"),
        (StepStatus.COMPENSATED, {"reason": "undone"}, "compensated"),
        (StepStatus.COMPENSATION_FAILED, {"reason": "stuck"}, "compensation_failed(stuck)"),
    ],
)
def test_line_of_a_step(status: StepStatus, more: dict[str, Any], said: str) -> None:
    assert lines(change(1, "pay", status, **more)) == [f"[step] pay={said}"]


def test_every_other_status_of_a_step_has_no_line() -> None:
    for status in QUIET:
        assert lines(change(1, "pay", status, reason="x", label="x")) == []


def test_every_status_either_has_a_line_or_is_quiet() -> None:
    loud = {status for status in StepStatus if lines(change(1, "pay", status))}
    assert loud | QUIET == set(StepStatus)
    assert not loud & QUIET


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("approve", ["[resume] approval_received"]),
        ("edit", ["[resume] edit_received"]),
        ("reject", ["[resume] rejection_received"]),
        ("respond", ["[resume] response_received"]),
        (None, []),
    ],
)
def test_line_of_an_answer(given: str | None, line: list[str]) -> None:
    log = RunLog("r1")
    log.skip([record("pay", StepStatus.BLOCKED, approval="apr_1")])
    answers = {"apr_2": "approve"} if given is None else {"apr_1": given}
    assert lines(change(1, "pay", StepStatus.PENDING), log=log, answers=answers) == line


def test_answer_about_doubt() -> None:
    log = RunLog("r1")
    log.skip([record("pay", StepStatus.IN_DOUBT)])
    assert lines(change(1, "pay", StepStatus.SUCCEEDED), log=log) == ["[resume] answer_received", "[step] pay=ok"]


@pytest.mark.parametrize(("order", "step"), [("retry", "pay"), ("resume", "")])
def test_a_step_that_an_operator_has_tried_again_was_not_answered(order: str, step: str) -> None:
    log = RunLog("r1")
    log.skip([record("pay", StepStatus.FAILED, reason="boom")])
    spoken = {"kind": order, "actor": "olga", "reason": "let us see", "data": {"step": step} if step else {}, "seq": 1}
    rows = [row(1, "operator"), row(2, "policy_gate"), row(3, "executor")]
    changes = [change(2, "pay", StepStatus.RUNNING), change(3, "pay", StepStatus.SUCCEEDED)]
    said = log.lines(Committed(transitions=rows, changes=changes, told=[spoken]))
    assert said == [f"[operator] {' '.join(filter(None, (order, step)))} by olga(let us see)", "[step] pay=ok"]
    log.skip([record("pay", StepStatus.FAILED)])
    later = Committed(transitions=[row(4, "policy_gate")], changes=[change(4, "pay", StepStatus.RUNNING)])
    assert log.lines(later) == ["[resume] answer_received"]


def test_an_undo_whose_wait_is_over_was_not_answered() -> None:
    log = RunLog("r1")
    log.skip([record("pay", StepStatus.COMPENSATING, wake_at="2026-01-01T00:00:00+00:00")])
    assert lines(change(1, "pay", StepStatus.COMPENSATED), log=log) == ["[step] pay=compensated"]


def test_answer_about_an_undo() -> None:
    log = RunLog("r1")
    log.skip([record("pay", StepStatus.COMPENSATING, reason="cut off")])
    assert lines(change(1, "pay", StepStatus.COMPENSATED), log=log) == [
        "[resume] answer_received",
        "[step] pay=compensated",
    ]


def test_step_that_stays_blocked_was_not_answered() -> None:
    log = RunLog("r1")
    log.skip([record("pay", StepStatus.BLOCKED, approval="apr_1", reason="a")])
    again = change(1, "pay", StepStatus.BLOCKED, approval="apr_1", reason="b")
    assert lines(again, log=log, answers={"apr_1": "approve"}) == ["[step] pay=blocked(b)"]


def test_finding_of_another_step_announces_nothing() -> None:
    found = change(1, "screen", StepStatus.SUCCEEDED, needs_approval="odd")
    asked = change(2, "pay", StepStatus.BLOCKED, reason="screen_2: odd too")
    assert lines(found, asked) == ["[step] screen=blocked(odd)", "[step] pay=blocked(screen_2: odd too)"]


def test_approvals_that_a_log_wants_to_know_about() -> None:
    log = RunLog("r1")
    log.skip([record("pay", StepStatus.BLOCKED, approval="apr_1"), record("look", StepStatus.SUCCEEDED)])
    changes = [
        change(1, "pay", StepStatus.RUNNING, approval="apr_1"),
        change(1, "ship", StepStatus.BLOCKED, approval="apr_2"),
        change(2, "look", StepStatus.COMPENSATING),
    ]
    assert log.asked(changes) == ["apr_1", "apr_2"]


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        ([(1, "whatever")], []),
        ([(2, "")], ["[plan] v2"]),
        ([(2, "more\nof it")], ["[plan] v2 (more of it)"]),
        ([], []),
    ],
)
def test_line_of_a_plan(plans: list[tuple[int, str]], said: list[str]) -> None:
    assert RunLog("r1").lines(Committed(transitions=[row(1, "planner")], plans=plans)) == said


@pytest.mark.parametrize(
    ("status", "then", "said"),
    [
        ("failed", "", ["[workflow] id=r1 failed(why)"]),
        ("rejected", "", ["[workflow] id=r1 rejected(why)"]),
        ("stranded", "", ["[workflow] id=r1 stranded(why)"]),
        ("held", "", ["[workflow] id=r1 held(why)"]),
        ("compensated", "", ["[workflow] id=r1 compensated(why)"]),
        ("failed", "finalizer", []),
        ("succeeded", "", []),
        ("blocked", "", []),
    ],
)
def test_line_of_an_end(status: str, then: str, said: list[str]) -> None:
    ending = row(1, "finalizer", then=then, status=status, reason="why")
    assert RunLog("r1").lines(Committed(transitions=[ending])) == said


def test_artifact_is_named_once_where_it_was_made() -> None:
    made = [{"name": "old.json", "seq": 1}, {"name": "new.json", "seq": 2}]
    news = Committed(transitions=[row(2, "finalizer", then="", status="succeeded")], artifacts=made)
    assert RunLog("r1").lines(news) == ["[artifact] new.json"]


def test_long_and_broken_texts_stay_one_short_line() -> None:
    said = lines(change(1, "pay", StepStatus.SUCCEEDED, label="a\r\nb\t\u2028c " + 500 * "x"))
    (line,) = said
    assert line.startswith("[step] pay=a b c xxx")
    assert line.endswith("x…")
    assert len(line) < 200
