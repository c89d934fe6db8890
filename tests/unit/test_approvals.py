"""Tries to answer without saying for what, as whom, or with something that is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import JsonValue

from gatepost import ApprovalRequest, Decision
from gatepost.state.approval import DECISION_TYPES, decision_of
from gatepost.state.errors import InvalidDecision

ARGS: dict[str, JsonValue] = {"customer": "ada", "cents": 100, "by": "courier"}
ASKED = ApprovalRequest(
    id="apr_1",
    run="run_1",
    step="charge",
    tool="charge",
    args=ARGS,
    effect="write",
    digest="00",
    reasons=("look: high risk", "no policy lets charge (write) run unattended"),
    evidence={"look": "00"},
    args_schema={"type": "object"},
    requested_by="eve",
)
ANSWER = {"approval": "apr_1", "type": "approve", "by": "alice"}

REFUSED = [
    pytest.param(None, "addressed to no approval", id="nothing"),
    pytest.param(True, "addressed to no approval", id="a mere yes"),
    pytest.param("approve", "addressed to no approval", id="a word"),
    pytest.param([ANSWER], "addressed to no approval", id="a list"),
    pytest.param({}, "names no approval", id="empty"),
    pytest.param(
        {"decisions": [{"type": "approve"}]}, r"names no approval \(keys: \['decisions'\]\)", id="HITLResponse"
    ),
    pytest.param({"a" * 32: {"type": "approve"}}, "names no approval", id="map by interrupt id"),
    pytest.param({1: 2, None: 3}, "names no approval", id="keys that are no text"),
    pytest.param({**ANSWER, "type": "accept"}, r"malformed \(type: ", id="unknown type"),
    pytest.param({"approval": "apr_1", "type": "approve"}, r"malformed \(by: Field required", id="nobody"),
    pytest.param({"approval": "apr_1", "by": "alice"}, r"malformed \(type: Field required", id="no type"),
    pytest.param({**ANSWER, "approval": None}, r"malformed \(approval: ", id="id that is no text"),
    pytest.param({**ANSWER, "digest": "00"}, r"malformed \(digest: Extra inputs", id="extra field"),
    pytest.param({**ANSWER, "args": [1]}, r"malformed \(args: ", id="arguments that are no object"),
]
INCOMPLETE = [
    pytest.param({**ANSWER, "by": ""}, "names nobody. Say who answers: by='alice'", id="empty name"),
    pytest.param({**ANSWER, "by": " \n"}, "names nobody", id="blank name"),
    pytest.param({**ANSWER, "type": "edit"}, "`args` goes with type 'edit' and only with it", id="edit of nothing"),
    pytest.param({**ANSWER, "args": {}}, "only with it: send all arguments", id="approve with arguments"),
    pytest.param({**ANSWER, "type": "reject", "args": {"x": 1}}, "only with it", id="reject with arguments"),
    pytest.param({**ANSWER, "type": "respond"}, "`respond` needs its text in `comment`", id="respond without text"),
    pytest.param({**ANSWER, "type": "respond", "comment": " "}, "`respond` needs its text", id="respond with blanks"),
    pytest.param({**ANSWER, "comment": "\x00"}, "the decision at '/comment' contains a NUL", id="NUL"),
    pytest.param({**ANSWER, "by": "\ud800"}, "the decision at '/by' contains a lone surrogate", id="surrogate"),
    pytest.param(
        {**ANSWER, "type": "edit", "args": {"n": 2**60}}, "at '/args/n' is an integer beyond", id="big integer"
    ),
]


@pytest.mark.parametrize(("answer", "said"), REFUSED)
def test_answer_of_another_shape_is_refused_with_the_right_one(answer: object, said: str) -> None:
    with pytest.raises(InvalidDecision, match=said) as refused:
        decision_of(answer)
    assert "Command(resume=result['approval'].approve(by='alice'))" in str(refused.value)
    assert "{'approval': 'apr_…', 'type': 'approve', 'by': 'alice'}" in str(refused.value)


@pytest.mark.parametrize(("answer", "said"), INCOMPLETE)
def test_answer_that_says_too_little_or_too_much_is_refused_with_what_is_missing(answer: object, said: str) -> None:
    with pytest.raises(InvalidDecision) as refused:
        decision_of(answer)
    assert said in str(refused.value)


def test_refusal_of_a_huge_answer_stays_short() -> None:
    with pytest.raises(InvalidDecision) as refused:
        decision_of("x" * 1_000_000)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(ASKED.approve(by="alice", comment="fine"), "approve", id="approve"),
        pytest.param(ASKED.reject(by="alice"), "reject", id="reject"),
        pytest.param(ASKED.edit(by="alice", cents=1), "edit", id="edit"),
        pytest.param(ASKED.edit(by="alice"), "edit", id="edit of nothing is still all arguments"),
        pytest.param(ASKED.respond("more documents", by="alice"), "respond", id="respond"),
    ],
)
def test_what_the_request_offers_is_a_flat_addressed_answer(answer: dict[str, Any], kind: str) -> None:
    decision = decision_of(json.loads(json.dumps(answer)))
    assert (decision.approval, decision.type, decision.by) == ("apr_1", kind, "alice")
    assert decision.plain() == answer
    assert decision_of(decision) == decision


def test_edit_keeps_arguments_that_it_does_not_name() -> None:
    assert ASKED.edit(by="alice", cents=50)["args"] == {"customer": "ada", "cents": 50, "by": "courier"}
    assert ASKED.args == ARGS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({"comment": "fine"}, {"comment": "really"}, True),
        ({"channel": "cli"}, {"authenticated": "token"}, True),
        ({}, {"by": "bob"}, False),
        ({}, {"type": "reject"}, False),
        ({"type": "edit", "args": {"n": 1}}, {"type": "edit", "args": {"n": 2}}, False),
        ({"type": "respond", "comment": "a"}, {"type": "respond", "comment": "b"}, False),
        ({"type": "respond", "comment": "a"}, {"type": "respond", "comment": "a"}, True),
    ],
)
def test_repeat_is_the_same_person_saying_the_same(one: Any, other: Any, same: bool) -> None:  # noqa: FBT001
    first, second = (Decision.model_validate({**ANSWER, **changed}) for changed in (one, other))
    assert first.same_answer(second) is same
    assert second.same_answer(first) is same


def test_payload_is_what_langchain_inboxes_read() -> None:
    payload = ASKED.payload()
    assert set(payload) == {"action_requests", "review_configs", "approval"}
    [action], [review] = payload["action_requests"], payload["review_configs"]
    assert set(action) == {"name", "args", "arguments", "description"}
    assert action["name"] == review["action_name"] == "charge"
    assert action["args"] == action["arguments"] == ARGS
    assert set(review) == {"action_name", "allowed_decisions", "args_schema"}
    assert review["allowed_decisions"] == list(DECISION_TYPES) == ["approve", "edit", "reject", "respond"]
    assert payload["approval"]["id"] == "apr_1"
    assert json.loads(json.dumps(payload)) == payload


def test_payload_of_a_doubt_does_not_offer_what_cannot_be_answered() -> None:
    doubt = ASKED.model_copy(update={"kind": "doubt", "allowed": ("edit", "reject")})
    assert doubt.payload()["review_configs"][0]["allowed_decisions"] == ["edit", "reject"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        pytest.param(ASKED, ["charge", "(write)", "look: high risk", "no policy lets"], id="action"),
        pytest.param(ASKED.model_copy(update={"reasons": ()}), ["the policy asks"], id="no reasons"),
        pytest.param(
            ASKED.model_copy(update={"kind": "doubt"}),
            ["nobody saw how it ended", "Find out", "it happened, and what it returned", "it did not happen"],
            id="doubt",
        ),
        pytest.param(
            ASKED.model_copy(update={"kind": "doubt", "tool": "refund", "undoes": "charge"}),
            ["called refund (write), to undo charge, and nobody saw"],
            id="doubt about an undo",
        ),
        pytest.param(
            ASKED.model_copy(update={"undo": "refund"}), ["refund would undo it, and is approved with it"], id="undo"
        ),
        pytest.param(
            ASKED.model_copy(update={"purpose": "compensate", "tool": "refund", "undoes": "charge"}),
            ["Step charge is to be undone: charge by refund (write)"],
            id="to undo",
        ),
    ],
)
def test_a_person_is_told_what_is_asked_and_why(request_: ApprovalRequest, words: list[str]) -> None:
    assert all(word in request_.describe() for word in words)


def test_a_plain_yes_is_no_answer_to_what_happened_and_a_finding_none_to_may_it_run() -> None:
    doubt = ASKED.model_copy(update={"kind": "doubt", "args": {"result": None}})
    with pytest.raises(InvalidDecision, match=r"a plain yes is no answer.*happened\(by=…, result=…\)"):
        doubt.approve(by="alice")
    assert decision_of(doubt.happened(by="alice", result="r_7")).args == {"result": "r_7"}
    assert decision_of(doubt.did_not_happen(by="alice")).type == "reject"
    for answer in (ASKED.happened, ASKED.did_not_happen):
        with pytest.raises(InvalidDecision, match="asks whether charge may run, not what happened"):
            answer(by="alice")


def test_request_is_the_same_after_a_round_trip_through_a_channel() -> None:
    assert ApprovalRequest.model_validate(json.loads(json.dumps(ASKED.plain()))) == ASKED
