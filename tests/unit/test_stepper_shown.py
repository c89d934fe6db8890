"""Tries to get more into the notebook than there is room for, and markup or hidden characters into its page."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from gatepost.service.notebook import shown, static
from gatepost.state.errors import InvalidValue
from gatepost.state.transition import Cause, Transition

HOSTILE = "</details></style><script>alert(1)</script><img src=x onerror=alert(2)>\"' \u202e\x1b[31m"
HEAD = {"run": HOSTILE, "workflow": HOSTILE, "goal": HOSTILE, "status": "failed", "forked": HOSTILE, "first": 1}


class Marks(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def transition(seq: int, **given: Any) -> Transition:
    facts: dict[str, Any] = {
        "run_id": "r", "seq": seq, "at": datetime(2026, 1, 1, tzinfo=UTC), "nodes": ("executor",),
        "next": ("policy_gate",), "was": "running", "status": "running", "reason": "", "source": "loop", "actor": "ada",
        "cause": Cause("owner", "ada"), "epoch": 1, "seconds": 0.1, "waited": 0.0, "checkpoint_id": "c", "channels": (),
        "steps": (), "effects": (), "approvals": (), "orders": (), "made": (),
    }  # fmt: skip
    return Transition(**{**facts, **given})


def test_what_a_run_holds_is_text_on_the_page() -> None:
    made = ({"kind": HOSTILE, "name": HOSTILE, "detail": HOSTILE},)
    one = transition(1, nodes=(HOSTILE,), next=(HOSTILE,), cause=Cause("person", HOSTILE, HOSTILE), made=made)
    page = Marks(static.page(HEAD, [one], {1: {HOSTILE: {HOSTILE: [HOSTILE]}, "plain": HOSTILE}}, group="g"))
    assert page.tags == {"div", "style", "p", "strong", "span", "details", "summary", "ul", "li", "table", "tr", "td"}
    assert page.attributes == {"class", "name", "open"}
    assert page.text.count("<script>alert(1)</script>") >= 12
    assert not {"\u202e", "\x1b"} & set(page.text)


def test_a_page_has_a_greatest_size() -> None:
    big = {"steps": {f"s{number}": {"output": "x" * 100_000, "n": list(range(100))} for number in range(2_000)}}
    states = {seq: {**big, "seq": seq} for seq in range(1, 31)}
    page = static.page(HEAD, [transition(seq) for seq in range(1, 31)], states, group="g")
    assert len(page) < 3_000_000
    assert "no room for all of them" in page
    assert '"x' not in static.page(HEAD, [transition(1)], {}, group="g")


def test_a_transition_without_a_state_says_so() -> None:
    assert "No state was kept here" in static.page(HEAD, [transition(1, checkpoint_id=None)], {}, group="g")
    assert shown.entry(transition(1, checkpoint_id=None))["kept"] is False


def test_a_tree_is_filled_in_as_deep_and_as_wide_as_asked() -> None:
    value = {"steps": {f"s{number}": {"status": "ready"} for number in range(5)}, "goal": "sell", "none": []}
    top = shown.tree("state", value, deep=2, most=2)
    steps = top["members"][0]
    assert (top["size"], steps["size"], [one["name"] for one in steps["members"]], steps["more"]) == (
        3,
        5,
        ["s0", "s1"],
        3,
    )
    assert steps["members"][0]["members"] is None
    assert top["members"][1] == {"name": "goal", "key": "goal", "text": '"sell"'}
    assert top["more"] == 1
    rest = shown.tree("steps", shown.part(value, ["steps"]), deep=1, start=2, most=2)
    assert ([one["name"] for one in rest["members"]], rest["more"]) == (["s2", "s3"], 1)
    assert shown.tree("none", [], deep=1)["text"] == "[]"


def test_a_key_of_a_path_is_the_key_and_not_what_is_shown_of_it() -> None:
    node = shown.tree("state", {"a\u202eb": {"c": 1}}, deep=1)["members"][0]
    assert "\u202e" not in node["name"]
    assert shown.part({"a\u202eb": {"c": 1}}, [node["key"], "c"]) == 1


@pytest.mark.parametrize("path", [["nowhere"], ["list", "9"], ["list", "x"], ["text", "0"], ["list", "-1"]])
def test_a_path_to_nothing_is_refused(path: list[str]) -> None:
    with pytest.raises(InvalidValue, match="there is no"):
        shown.part({"list": [1], "text": "abc"}, path)


def test_differences_are_short_and_counted() -> None:
    found = shown.changes({}, {f"k{number}": "x" * 5_000 for number in range(500)})
    assert (len(found["changes"]), found["more"]) == (shown.CHANGES, 300)
    assert all(len(change["after"]) < 300 for change in found["changes"])
    assert shown.changes({"a": 1}, {"a": 1}) == {"changes": [], "more": 0}
