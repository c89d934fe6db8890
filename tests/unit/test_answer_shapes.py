"""Tries to answer in the shapes of others: with what means something, what means nothing, and what could mean something
else by the time that it arrives.
"""

from __future__ import annotations

from typing import Any

import pytest

from gatepost import ApprovalRequest, Decision
from gatepost.state.answer_shapes import answer_to, decisions, read
from gatepost.state.errors import InvalidDecision

ARGS: dict[str, Any] = {"customer": "ada", "cents": 100}
ASKED = ApprovalRequest(id="apr_1", run="r", step="s", tool="charge", args=ARGS, effect="write", digest="00")
OTHER = ASKED.model_copy(update={"id": "apr_2", "tool": "refund"})
LESS = {"name": "charge", "args": {"customer": "ada", "cents": 1}}
INBOX_LESS = {"action": "charge", "args": LESS["args"]}


def only(answer: object, *, asked: ApprovalRequest = ASKED) -> Decision:
    (found,) = decisions(read(answer), open_now=(asked,), asked_so_far=1, by="alice")
    return found


def said(kind: str, comment: str = "", args: Any = None) -> Decision:
    return Decision.model_validate({"approval": "apr_1", "type": kind, "by": "alice", "comment": comment, "args": args})


MEANINGS = [
    ({"type": "approve"}, said("approve")),
    ({"type": "reject", "message": "too dear"}, said("reject", "too dear")),
    ({"type": "reject"}, said("reject")),
    ({"type": "respond", "message": "ask bob"}, said("respond", "ask bob")),
    ({"type": "edit", "edited_action": LESS}, said("edit", args=LESS["args"])),
]


@pytest.mark.parametrize(("one", "meant"), MEANINGS)
def test_langchains_decisions_mean_the_same_in_each_of_its_shapes(one: dict[str, Any], meant: Decision) -> None:
    assert only({"decisions": [one]}) == meant
    assert only({"decisions": [one], "approvals": ["apr_1"]}) == meant
    assert only({"apr_1": one}) == meant
    assert only(one) == meant


@pytest.mark.parametrize(
    ("one", "meant"),
    [
        ({"type": "accept", "args": None}, said("approve")),
        ({"type": "accept"}, said("approve")),
        ({"type": "ignore", "args": None}, said("reject")),
        ({"type": "response", "args": "ask bob"}, said("respond", "ask bob")),
        ({"type": "edit", "args": INBOX_LESS}, said("edit", args=LESS["args"])),
    ],
)
def test_the_older_inbox_is_understood(one: dict[str, Any], meant: Decision) -> None:
    assert only([one]) == only(one) == meant


def test_a_text_to_a_planner_that_is_none_is_a_no_with_the_text() -> None:
    fixed = ASKED.model_copy(update={"allowed": ("approve", "edit", "reject")})
    assert only([{"type": "response", "args": "ask bob"}], asked=fixed) == said("reject", "ask bob")


def test_our_own_shape_needs_nothing_beside_it_and_comes_in_lists() -> None:
    ours = [ASKED.approve(by="alice"), OTHER.reject(by="bob")]
    found = decisions(read(ours), open_now=(), asked_so_far=9, by="")
    assert [(one.approval, one.type, one.by) for one in found] == [
        ("apr_1", "approve", "alice"),
        ("apr_2", "reject", "bob"),
    ]
    with pytest.raises(InvalidDecision, match="one approval twice"):
        read([ours[0], ASKED.reject(by="bob")])


def test_addressed_answers_find_their_questions_in_any_order_and_need_not_be_to_all() -> None:
    three = (ASKED, OTHER, ASKED.model_copy(update={"id": "apr_3"}))
    keyed = {"apr_3": {"type": "reject"}, "apr_1": {"type": "approve"}}
    listed = {"decisions": list(keyed.values()), "approvals": list(keyed)}
    for answer in (keyed, listed):
        found = decisions(read(answer), open_now=three, asked_so_far=5, by="alice")
        assert [(one.approval, one.type) for one in found] == [("apr_3", "reject"), ("apr_1", "approve")]


@pytest.mark.parametrize(
    ("answer", "open_now", "asked"),
    [
        ({"decisions": [{"type": "approve"}]}, (ASKED, OTHER), 2),
        ({"decisions": [{"type": "approve"}]}, (OTHER,), 2),
        ({"decisions": [{"type": "approve"}, {"type": "reject"}]}, (ASKED, OTHER), 2),
        ({"decisions": [{"type": "approve"}, {"type": "reject"}]}, (ASKED,), 1),
        ({"decisions": [{"type": "approve"}]}, (), 1),
        ([{"type": "accept"}], (ASKED, OTHER), 2),
        ({"type": "approve"}, (OTHER,), 2),
    ],
)
def test_what_may_be_to_another_question_by_now_is_refused(answer: Any, open_now: Any, asked: int) -> None:
    with pytest.raises(InvalidDecision, match=r"not clear what this answers.*'approvals': \['apr_…'\]"):
        decisions(read(answer), open_now=open_now, asked_so_far=asked, by="alice")


REFUSED = [
    ({"decisions": []}, "not a list of decisions"),
    ({"decisions": "approve"}, "not a list of decisions"),
    ({"decisions": ["approve"]}, "number 1 is of no known type"),
    ({"decisions": [{"type": "Approve"}]}, "of no known type"),
    ({"decisions": [{"type": "approve", "approved": True}]}, r"malformed \(approved: Extra.*Send {'type': 'approve'}"),
    ({"decisions": [{"type": "approve"}], "by": "admin"}, "beside 'decisions' there is by"),
    ({"decisions": [{"type": "approve"}], "approvals": []}, "one approval for each of the 1"),
    ({"decisions": [{"type": "approve"}] * 2, "approvals": ["apr_1"] * 2}, "each once"),
    ({"decisions": [{"type": "edit", "edited_action": {"args": {}}}]}, r"edited_action.name: Field required"),
    ({"decisions": [{"type": "respond"}]}, r"message: Field required.*Send {'type': 'respond'"),
    ({"apr_1": "approve"}, "for apr_1 is of no known type"),
    ({"type": "edit", "args": {"cents": 1}}, "as an inbox does"),
    ([{"type": "response", "args": None}], "Send {'type': 'response', 'args': <text>}"),
    ([{"type": "accept"}, "yes"], "number 2 is of no known type"),
    ([ASKED.approve(by="a"), {"type": "approve", "approval": "apr_2"}], "by: Field required"),
    ({"apr_1": {"type": "reject", "message": "\x00"}}, "NUL"),
]


@pytest.mark.parametrize(("answer", "why"), REFUSED)
def test_wrong_shapes_are_refused_with_what_is_right(answer: Any, why: str) -> None:
    with pytest.raises(InvalidDecision, match=why):
        read(answer)


@pytest.mark.parametrize(
    ("answer", "by", "why"),
    [
        ({"apr_9": {"type": "approve"}}, "alice", "apr_9 is not asked by this run .it asks apr_1"),
        ({"type": "approve"}, "", r"RunContext\(principal='alice'\)"),
        ({"type": "edit", "edited_action": {"name": "wire", "args": {}}}, "alice", "changes arguments, not the tool"),
        ([{"type": "edit", "args": {"action": "wire", "args": {}}}], "alice", "changes arguments, not the tool"),
        ({"type": "respond", "message": " "}, "alice", "`respond` needs its text"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(answer: Any, by: str, why: str) -> None:
    with pytest.raises(InvalidDecision, match=why):
        decisions(read(answer), open_now=(ASKED,), asked_so_far=1, by=by)


def test_an_answer_beside_its_question_needs_no_address() -> None:
    assert answer_to(ASKED, {"type": "approve"}, by="alice") == [said("approve").plain()]
    assert answer_to(ASKED, OTHER.approve(by="bob"), by="alice") == [OTHER.approve(by="bob")]
