"""Pins what keys, fingerprints and digests are: a release that changes one would do an effect again under a new name.

A failure here is no reason to change the value: runs in flight have the old one in their ledger.
"""

from __future__ import annotations

import inspect
import json
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gatepost import tool
from gatepost.state.approval import digest_of_action
from gatepost.state.artifact import Artifact
from gatepost.state.canonical import canonical, checksum, digest_of
from gatepost.state.effect import fingerprint_of, key_of
from gatepost.state.errors import InvalidValue
from gatepost.state.ids import is_step_id, new_approval_id, new_run_id, run_id_of
from gatepost.state.values import storable

KEY: dict[str, Any] = {"tenant": "acme", "root_run": "run_1", "step": "charge"}
ACTION: dict[str, Any] = {
    "tenant": "acme",
    "run": "run_1",
    "step": "charge",
    "tool": "charge",
    "args": {"customer": "ada"},
    "effect": "write",
    "evidence": {"look": "00"},
}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        pytest.param({}, "eff_0b472d4fe04beee4c4f8069e74e26b751a2c1e9e", id="plain"),
        pytest.param({"purpose": "compensate"}, "eff_bce0e8c3b1fcb42a06ca2aa1b2709f6f48d92527", id="undo"),
        pytest.param({"generation": 1}, "eff_f7bb340f55d2c64197587e833a7dbc0daae952ff", id="second generation"),
        pytest.param({"call_path": "0/1"}, "eff_22c05a445b52a4ddb280f51a351a74ba56fe302b", id="second call"),
    ],
)
def test_key_is_the_one_that_earlier_releases_minted(changed: dict[str, Any], key: str) -> None:
    assert key_of(**KEY, **changed) == key


def test_fingerprint_is_the_one_that_earlier_releases_recorded() -> None:
    found = fingerprint_of("charge", {"customer": "ada", "amount": "1.5"})
    assert found == "716a78d98d2af8b13c9bddefb55326a10b5ea449d97e081af22f623bda668cc9"


def test_approval_digest_is_the_one_that_people_have_answered_for() -> None:
    assert digest_of_action(**ACTION) == "25d9c015889e34395faf138aa03f87cd53cfecb263b9c5143cfd1e5e26a839d5"


def test_checksum_of_an_artifact_is_that_of_its_bytes() -> None:
    expected = "sha256:066ec1d7b7f5828db80b4f295a923851979d32fa0d98e2ce2160177994606a9c"
    assert checksum(b"gatepost") == Artifact(name="a.txt", content="gatepost").sha256 == expected


@pytest.mark.parametrize(
    ("value", "data"),
    [
        pytest.param({"b": 1, "a": [True, None, 1.5, "é\n"]}, '{"a":[true,null,1.5,"é\\n"],"b":1}', id="keys sorted"),
        pytest.param({"\U0001f600": 0, "\ufb33": 0}, '{"\U0001f600":0,"\ufb33":0}', id="by UTF-16, not by code point"),
        pytest.param([1.0, -0.0, 1e21, 1e-7, 1e20], "[1,0,1e+21,1e-7,100000000000000000000]", id="floats"),
        pytest.param("</script>\u2028\x7f", '"</script>\u2028\x7f"', id="nothing escaped that need not be"),
        pytest.param('\x01\b\t"\\', '"\\u0001\\b\\t\\"\\\\"', id="escapes"),
        pytest.param({}, "{}", id="empty"),
    ],
)  # fmt: skip
def test_canonical_bytes_are_those_of_rfc_8785(value: Any, data: str) -> None:
    assert canonical(value) == data.encode()


def test_a_key_depends_on_the_intended_call_and_on_nothing_else() -> None:
    assert list(inspect.signature(key_of).parameters) == [
        "tenant", "root_run", "step", "call_path", "purpose", "generation"
    ]  # fmt: skip
    state = random.getstate()
    assert len({key_of(**KEY) for _ in range(5)}) == 1
    assert random.getstate() == state


@pytest.mark.parametrize("field", ["tenant", "root_run", "step", "call_path", "purpose"])
def test_every_part_of_a_key_tells_calls_apart(field: str) -> None:
    assert key_of(**{**KEY, field: "other"}) != key_of(**KEY)


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    assert key_of(tenant="a", root_run="bc", step="d") != key_of(tenant="ab", root_run="c", step="d")
    assert key_of(**KEY, call_path="1", generation=0) != key_of(**KEY, call_path="", generation=1)
    assert digest_of("a", "b") != digest_of(["a", "b"]) != digest_of('a","b')


@pytest.mark.parametrize("field", sorted(ACTION))
def test_approval_digest_covers_every_field(field: str) -> None:
    other = {"args": {"customer": "bob"}, "evidence": {"look": "01"}}.get(field, "other")
    assert digest_of_action(**{**ACTION, field: other}) != digest_of_action(**ACTION)


def test_approval_digest_has_no_field_besides() -> None:
    assert set(inspect.signature(digest_of_action).parameters) == {*ACTION, "undo"}


def test_approval_digest_says_which_undo_it_covers_and_is_what_it_was_where_there_is_none() -> None:
    found = [digest_of_action(**ACTION, undo=undo) for undo in (None, "refund", "refund_half")]
    assert len(set(found)) == 3
    assert found[0] == digest_of_action(**ACTION)


def shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        dice.shuffle(items)
        return {key: shuffled(member, dice) for key, member in items}
    return [shuffled(member, dice) for member in value] if isinstance(value, list) else value


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé\ufb33\U0001f600", max_size=3), inner),
    max_leaves=10,
)  # fmt: skip


@given(PLAIN, st.randoms(use_true_random=False))
def test_order_of_keys_is_no_difference(args: Any, dice: random.Random) -> None:
    assert fingerprint_of("t", shuffled(args, dice)) == fingerprint_of("t", args)


@given(PLAIN)
def test_fingerprint_survives_every_store(args: Any) -> None:
    assert fingerprint_of("t", json.loads(json.dumps(storable(args, where="it")))) == fingerprint_of("t", args)


@given(PLAIN)
def test_whoever_writes_the_bytes_they_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [2**53, "\ud800", {1: 2}, {"a": {None: 1}}, [{1}], float("nan")])
def test_what_rfc_8785_refuses_is_refused(value: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical(value)


@given(PLAIN, PLAIN)
def test_different_arguments_have_different_bytes(one: Any, two: Any) -> None:
    same_json = json.loads(rfc8785.dumps(one), parse_int=float) == json.loads(rfc8785.dumps(two), parse_int=float)
    assert (canonical(one) == canonical(two)) == (same_json and repr_of_bools(one) == repr_of_bools(two))


def repr_of_bools(value: Any) -> Any:
    """Python takes 1 for True; JSON does not."""
    if isinstance(value, dict):
        return {key: repr_of_bools(member) for key, member in value.items()}
    if isinstance(value, list):
        return [repr_of_bools(member) for member in value]
    return repr(value) if isinstance(value, bool) else 0


@tool(effect="write", on_doubt="retry")
def pay(amount: Decimal, more: dict[str, list[Decimal]] | None = None, on: date | None = None) -> None: ...


def fingerprint(**args: Any) -> str:
    return fingerprint_of("pay", pay.normalise(args))


@pytest.mark.parametrize("same", ["1.50", "1.5000", "15E-1", "0.15e1", " 1.5", 1.5, "+1.5", "01.5"])
def test_equal_decimals_have_one_fingerprint(same: Any) -> None:
    assert pay.normalise({"amount": same})["amount"] == "1.5"
    assert fingerprint(amount=same, more={"k": [same]}) == fingerprint(amount="1.5", more={"k": ["1.5"]})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        pytest.param("1E+3", "1000", id="exponent"),
        pytest.param("100", "100", id="zeros that count"),
        pytest.param("-0.00", "0", id="minus zero"),
        pytest.param("0E+5", "0", id="zero with an exponent"),
        pytest.param("-0.10", "-0.1", id="negative"),
        pytest.param(
            "123456789012345678901234567890.12", "123456789012345678901234567890.12", id="more than 28 digits"
        ),
        pytest.param("0.1234567890123456789012345678901", "0.1234567890123456789012345678901", id="many places"),
    ],
)
def test_decimal_is_written_with_every_digit_it_has(given: str, text: str) -> None:
    assert pay.normalise({"amount": given})["amount"] == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40))
def test_decimal_comes_back_equal(amount: Decimal) -> None:
    said = pay.normalise({"amount": amount})  # type: ignore[dict-item]
    assert Decimal(str(said["amount"])) == amount
    assert pay.normalise(said) == said


@pytest.mark.parametrize("amount", ["1E+999999999", "1E-999999999", "1E+1001"])
def test_decimal_that_would_fill_the_memory_is_refused(amount: str) -> None:
    with pytest.raises(InvalidValue, match=r"beyond 10\^±1000\. Send it as a text"):
        pay.normalise({"amount": amount})


def test_left_out_and_named_defaults_are_the_same_call() -> None:
    assert fingerprint(amount="1") == fingerprint(amount="1", more=None, on=None)
    assert fingerprint(amount="1", on="2026-11-21") == fingerprint(amount="1", on=date(2026, 11, 21))


def test_another_tool_is_another_fingerprint() -> None:
    assert fingerprint_of("a", {}) != fingerprint_of("b", {})


@pytest.mark.parametrize("value", ["run_1", "r", "0", "A.b_c:d@e-f", "x" * 120])
def test_run_id_that_travels_is_taken_as_it_is(value: str) -> None:
    assert run_id_of(value) == value


@pytest.mark.parametrize(
    "value", ["", " ", "a b", "a/b", "-a", ".a", "a\n", "é", "x" * 121, "a\x00", 7, None, ["a"], "'"]
)
def test_run_id_that_does_not_travel_is_refused_with_the_rule(value: object) -> None:
    with pytest.raises(InvalidValue, match="Use 1 to 120 letters, digits and") as refused:
        run_id_of(value)
    assert len(str(refused.value)) < 400


def test_minted_ids_are_usable_and_of_their_own() -> None:
    minted = {new_run_id() for _ in range(100)}
    assert len(minted) == 100
    assert all(run_id_of(run_id) == run_id for run_id in minted)


def test_an_approval_id_follows_from_what_opens_it() -> None:
    digest = digest_of("run_1", "charge", datetime(2026, 1, 1, tzinfo=UTC).isoformat())
    assert new_approval_id(digest) == new_approval_id(digest) == f"apr_{digest[:12]}"


@pytest.mark.parametrize(
    ("value", "is_one"),
    [("a", True), ("a_1", True), ("x" * 64, True), ("x" * 65, False), ("", False), ("A", False), ("1a", False),
     ("_a", False), ("a-b", False), ("a\n", False), ("\u0430", False), ("a\u0661", False), ("\uff41", False)],
)  # fmt: skip
def test_step_ids_are_plain_ascii(value: str, is_one: bool) -> None:  # noqa: FBT001
    assert is_step_id(value) is is_one
