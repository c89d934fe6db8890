"""Tries the shapes of answers that others send on a running graph: several at once, some of several, all or none."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.types import Command

from gatepost import RunContext
from gatepost.state.errors import InvalidDecision

ALICE = RunContext(principal="alice")


def _say(shop: Any, answer: Any, who: RunContext | None = ALICE) -> Any:
    return shop.graph.invoke(Command(resume=answer), shop.config(), context=who)


def test_a_lone_question_takes_the_answer_of_an_inbox(shop: Any) -> None:
    shop.open()
    edit = {"type": "edit", "args": {"action": "charge", "args": {"customer": "ada", "cents": 5}}}
    with pytest.raises(InvalidDecision, match="does not say who"):
        _say(shop, [edit], who=None)
    result = _say(shop, [edit])
    assert (result["status"], result["decision"]["by"], shop.sold()) == ("succeeded", "alice", ["ada:5"])


def test_the_second_question_takes_only_an_answer_that_names_it(shop: Any) -> None:
    first = shop.open(goal="sell twice")
    second = _say(shop, {"decisions": [{"type": "approve"}]})["approval"]
    with pytest.raises(InvalidDecision, match=rf"the run asks {second.id}, and has asked 2"):
        _say(shop, {"decisions": [{"type": "approve"}]})
    with pytest.raises(InvalidDecision, match=f"{first.id} is not asked"):
        _say(shop, {first.id: {"type": "approve"}})
    assert shop.sold() == ["ada:1"]
    assert _say(shop, {second.id: {"type": "approve"}})["status"] == "succeeded"


def test_a_batch_is_answered_in_part_and_then_as_a_whole(shop: Any) -> None:
    shop.open(goal="sell to two")
    first, second = shop.asks()
    half = _say(shop, {"decisions": [{"type": "approve"}], "approvals": [second.id]})
    assert (half["status"], [asked.id for asked in half["approvals"]]) == ("blocked", [first.id])
    assert _say(shop, [first.approve(by="alice")])["status"] == "succeeded"


def test_a_batch_is_recorded_as_a_whole_or_not_at_all(shop: Any, owner: Any) -> None:
    shop.open(goal="sell to two")
    first, second = shop.asks()
    wrong = {
        first.id: {"type": "approve"},
        second.id: {"type": "edit", "edited_action": {"name": "charge", "args": {}}},
    }
    with pytest.raises(InvalidDecision, match="cannot be used"):
        _say(shop, wrong)
    assert owner.rows("SELECT FROM gatepost.decision WHERE approval_id = ANY(%s)", [first.id, second.id]) == []
    done = _say(shop, {first.id: {"type": "approve"}, second.id: {"type": "approve"}})
    assert (done["status"], len(done["decisions"]), sorted(shop.sold())) == ("succeeded", 2, ["ada:1", "bob:2"])
