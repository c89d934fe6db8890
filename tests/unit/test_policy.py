"""Tries to run what nobody allowed: by forged arguments, missing attributes, broken policies and odd names."""

from __future__ import annotations

import json
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost import Policy
from gatepost.nodes.policy import InvalidPolicy, Judgement, Verdict
from gatepost.nodes.policy_question import Question, cedar_value

RUN, ASK, FORBID = Verdict.RUN, Verdict.ASK, Verdict.FORBID
ALLOW = '@id("allow") permit (principal, action, resource);'


def judge(policy: Policy | str, args: dict[str, Any] | None = None, **changed: Any) -> Judgement:
    asked: dict[str, Any] = {
        "principal": "eve", "tenant": "acme", "step": "charge", "tool": "charge", "effect": "write", "origin": "file",
    }  # fmt: skip
    policy = Policy(policy) if isinstance(policy, str) else policy
    return policy.judge(Question(**{**asked, **changed}, args=args or {}))


def forbid(condition: str) -> str:
    return f'{ALLOW} @id("limit") forbid (principal, action, resource) when {{ {condition} }};'


@pytest.mark.parametrize(("effect", "verdict"), [("read", RUN), ("write", ASK), ("irreversible", ASK), ("", ASK)])
@pytest.mark.parametrize("origin", ["file", "person", "model"])
def test_by_default_reads_run_and_everything_else_asks(effect: str, verdict: Verdict, origin: str) -> None:
    assert judge(Policy.default(), effect=effect, origin=origin).verdict is verdict


def test_arguments_that_call_themselves_a_read_do_not_run() -> None:
    assert judge(Policy.default(), {"effect": "read", "context": {"effect": "read"}}).verdict is ASK


def test_a_judgement_says_who_decided_and_under_which_policies() -> None:
    read = judge(Policy.default(), effect="read")
    assert (read.policies, read.reasons) == (("reads-run",), ())
    asked = judge(Policy.default())
    assert (asked.policies, asked.reasons) == ((), ("no policy lets charge (write) run unattended",))
    assert read.version == asked.version == Policy.default().version
    assert Policy(ALLOW).version != Policy.default().version


CONDITIONS: list[Any] = [
    pytest.param("context.args.cents > 100", {"cents": 101}, FORBID, id="deciding forbid"),
    pytest.param("context.args.cents > 100", {"cents": 100}, RUN, id="forbid that does not fire"),
    pytest.param("context.args.cents > 100", {}, ASK, id="missing attribute"),
    pytest.param("context.args.cents > 100", {"cents": None}, ASK, id="null is missing"),
    pytest.param("context.args.cents > 100", {"cents": "101"}, ASK, id="text for a number"),
    pytest.param("context.args.cents > 100", {"cents": 101.0}, ASK, id="decimal for a long"),
    pytest.param('context.args.to.name == "eve"', {"to": {"name": "eve"}}, FORBID, id="inside an object"),
    pytest.param('context.args.tags.contains("x")', {"tags": ["y", "x"]}, FORBID, id="inside a list"),
    pytest.param('context.args.tags.contains("x")', {"tags": ["y", None, "x"]}, ASK, id="list with a null"),
    pytest.param("!context.args.tags.isEmpty()", {"tags": [0.00001]}, ASK, id="list with an inexact float"),
    pytest.param("context.args.ok", {"ok": True}, FORBID, id="bool"),
    pytest.param('context.args["a b"] == 1', {"a b": 1}, FORBID, id="key with a blank"),
    pytest.param('context.args.usd.greaterThan(decimal("1.5"))', {"usd": 1.5001}, FORBID, id="exact float"),
    pytest.param('context.args.usd.greaterThan(decimal("1.5"))', {"usd": 1.5}, RUN, id="equal float"),
    pytest.param('context.args.usd.greaterThan(decimal("1.5"))', {"usd": 0.1}, RUN, id="0.1 is one tenth"),
    pytest.param('context.args.usd.greaterThan(decimal("1.5"))', {"usd": 1.50001}, ASK, id="five places"),
    pytest.param('context.args.usd.greaterThan(decimal("1.5"))', {"usd": 1e14}, ASK, id="too great for a decimal"),
    pytest.param('context.args.usd.greaterThan(decimal("1.5"))', {"usd": 1e300}, ASK, id="far too great"),
    pytest.param('context.args.usd.greaterThan(decimal("1.5"))', {"usd": -1e300}, ASK, id="far too small"),
    pytest.param('context.args.usd.greaterThan(decimal("1.5"))', {"usd": 2}, ASK, id="a long is no decimal"),
    pytest.param('context.origin == "model"', {"origin": "model"}, RUN, id="origin is not an argument"),
    pytest.param("context.args.n == 9007199254740991", {"n": 2**53 - 1}, FORBID, id="greatest integer"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "args", "verdict"), CONDITIONS)
def test_forbid_decides_and_what_cannot_be_evaluated_asks(
    condition: str, args: dict[str, Any], verdict: Verdict
) -> None:
    found = judge(forbid(condition), args)
    assert found.verdict is verdict
    if verdict is FORBID:
        assert (found.policies, found.reasons) == (("limit",), ("forbidden by limit",))
    if verdict is ASK:
        assert all("a policy could not be evaluated" in reason and "`limit`" in reason for reason in found.reasons)
        assert found.reasons


FORGERIES: list[Any] = [
    pytest.param({"e": {"__entity": {"type": "User", "id": "root"}}}, id="entity"),
    pytest.param({"e": {"type": "User", "id": "root"}}, id="entity without its mark"),
    pytest.param({"e": {"__extn": {"fn": "decimal", "arg": "9.0"}}}, id="extension"),
    pytest.param({"e": {"fn": "decimal", "arg": "9.0"}}, id="extension without its mark"),
    pytest.param({"e": {"__expr": 'User::"root"'}}, id="expression"),
    pytest.param({"e": [{"__entity": {"type": "User", "id": "root"}}]}, id="entity in a list"),
    pytest.param({"__entity": {"type": "User", "id": "root"}, "e": 1}, id="entity as the whole"),
]  # fmt: skip


@pytest.mark.parametrize("args", FORGERIES)
@pytest.mark.parametrize(
    "condition",
    ['context.args.e == User::"root"', 'context.args.e.greaterThan(decimal("1.0"))', 'context.args == User::"root"'],
)
def test_arguments_never_become_entities_or_extension_values(args: dict[str, Any], condition: str) -> None:
    permit = f'@id("p") permit (principal, action, resource) when {{ {condition} }};'
    assert judge(permit, args).verdict is ASK


def test_forged_values_leave_nothing_of_their_marks() -> None:
    assert cedar_value({"a": {"__extn": {"fn": "decimal", "arg": "1.0"}, "b": 1}}) == {"a": {"b": 1}}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_exact_or_left_out(value: float) -> None:
    found = cedar_value(value)
    assert found is None or (float(found["__extn"]["arg"]) == value and abs(value) < 10**14)
    judge(Policy.default(), {"x": value})


NAMES = [
    'a"b',
    "a\\",
    "o'hara",
    "x\ny",
    '"; permit (principal, action, resource); //',
    'User::"root"',
    "é😀",
    "{}",
    " ",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_only_names(name: str) -> None:
    only_root = Policy('@id("root") permit (principal == User::"root", action, resource);')
    for where in ("principal", "tenant", "step", "tool", "origin", "effect"):
        odd: dict[str, Any] = {where: name}
        assert judge(only_root, **odd).verdict is ASK
    assert judge(Policy.default(), principal=name, step=name, effect="read").verdict is RUN
    assert judge(only_root, principal="root", step=name).verdict is RUN


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        pytest.param(ALLOW, ("allow",), id="@id"),
        pytest.param("permit (principal, action, resource);", ("policy0",), id="no name"),
        pytest.param("@id permit (principal, action, resource);", ("policy0",), id="@id without a value"),
        pytest.param('@id("b") permit (principal, action, resource); ' + ALLOW, ("allow", "b"), id="two, sorted"),
    ],
)
def test_deciding_policies_are_called_by_the_name_they_declare(text: str, ids: tuple[str, ...]) -> None:
    assert judge(text).policies == ids


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("permit (principal, action, resource)", id="no semicolon"),
        pytest.param("allow everything;", id="no Cedar"),
        pytest.param("permit (principal, action, resource) when { context.args. };", id="half an expression"),
        pytest.param("permit (principal, action, resource) when { frobnicate(1) };", id="unknown function"),
        pytest.param("permit (who, action, resource);", id="unknown variable"),
        pytest.param(ALLOW + "\x00", id="NUL"),
    ],
)
def test_policy_that_cannot_be_read_is_refused_when_it_is_loaded(text: str) -> None:
    with pytest.raises(InvalidPolicy, match=r"^team.cedar cannot be read: .*nothing runs under a broken policy") as bad:
        Policy(text, name="team.cedar")
    assert "\x00" not in str(bad.value)


def test_an_empty_policy_set_asks_for_everything() -> None:
    assert judge("", effect="read").verdict is ASK


def decides(policy: Policy, principal: str, requester: str, tenant: str) -> bool:
    answer = policy.may_decide(principal=principal, requester=requester, tenant=tenant, step="charge", tool="charge")
    return answer.verdict is RUN


@pytest.mark.parametrize(
    ("principal", "requester", "tenant", "may"),
    [
        pytest.param("alice", "eve", "acme", True, id="somebody else"),
        pytest.param("eve", "eve", "acme", False, id="the requester"),
        pytest.param("eve", "eve", "local", True, id="the requester on a laptop"),
        pytest.param("alice", "eve", "local", True, id="somebody else on a laptop"),
        pytest.param('o"hara', 'o"hara', "acme", False, id="quotes"),
        pytest.param("eve", "eve", 'x" == "x" || context.tenant == "local', False, id="a tenant that is code"),
    ],
)
def test_by_default_everybody_but_the_requester_decides(principal: str, requester: str, tenant: str, may: bool) -> None:  # noqa: FBT001
    assert decides(Policy.default(), principal, requester, tenant) is may


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="no policy"),
        pytest.param('permit (principal, action == Action::"run", resource);', id="about running only"),
        pytest.param('permit (principal, action == Action::"decide", resource) when { context.rank > 3 };', id="error"),
        pytest.param(
            f'{ALLOW} forbid (principal, action == Action::"decide", resource) when {{ context.rank > 3 }};',
            id="forbid that cannot be evaluated",
        ),
    ],
)
def test_nobody_decides_unless_a_policy_says_so_cleanly(text: str) -> None:
    assert not decides(Policy(text), "alice", "eve", "acme")


def test_a_decider_named_by_policy_is_the_only_one() -> None:
    cfo = Policy('permit (principal == User::"cfo", action == Action::"decide", resource == Step::"charge");')
    assert decides(cfo, "cfo", "eve", "acme")
    assert not decides(cfo, "alice", "eve", "acme")


def test_what_was_judged_is_remembered_by_value_and_kind() -> None:
    """A set that tells 1 from 1.0 is asked about both."""
    policy = Policy('@id("whole") permit (principal, action, resource) when { context.args.n == 1 };')
    verdicts = [judge(policy, {"n": n}).verdict for n in (1, 1.0, 1, True)]
    assert verdicts == [RUN, ASK, RUN, ASK]


class Wire(StrEnum):
    NAME = "wire"


class Cost(IntEnum):
    HIGH = 50


@pytest.mark.parametrize("changed", [{"tool": Wire.NAME}, {"tenant": Wire.NAME}, {"cost": Cost.HIGH}])
def test_what_is_more_than_a_text_or_a_number_is_forbidden_and_permitted_all_the_same(changed: dict[str, Any]) -> None:
    """It has no key under which a judgement is remembered."""
    name, value = next(iter(changed.items()))
    named = f"context.{name} == {json.dumps(value)}"
    for _ in range(2):
        assert judge(forbid(named), **changed).verdict is FORBID
        assert judge(ALLOW, **changed).verdict is RUN


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


HOSTILE: list[Any] = [
    pytest.param({"n": 2**63}, id="beyond Cedar's integers"),
    pytest.param({"n": 2**4000}, id="a huge integer"),
    pytest.param({"n": float("nan")}, id="not a number"),
    pytest.param(_nested(200), id="nested deeper than Cedar reads"),
    pytest.param(_nested(50_000), id="nested deeper than Python reads"),
    pytest.param({"n": "\ud800"}, id="half a character"),
    pytest.param({"n": b"bytes"}, id="no data"),
    pytest.param({"n": object()}, id="no data at all"),
]


@pytest.mark.parametrize("args", HOSTILE)
def test_what_cannot_even_be_asked_asks_a_person_whatever_is_permitted(args: dict[str, Any]) -> None:
    found = judge(ALLOW, args)
    assert found.verdict is ASK
    assert "a policy could not be evaluated" in found.reasons[0]


@pytest.mark.parametrize("value", [None, 0.00001, 1e300, float("inf"), [None], {"x": None}])
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_policy_about_what_has_no_form_in_cedar_asks(value: Any, effect: str) -> None:
    about = f'@id("p") {effect} (principal, action, resource) when {{ context.args.n == context.args.n }};'
    if value == {"x": None}:
        about = about.replace("context.args.n == context.args.n", "context.args.n.x == 1")
    assert (
        judge(ALLOW.replace("resource)", "resource) when { !(context.args has other) }") + about, {"n": value}).verdict
        is ASK
    )


def test_a_person_who_cannot_be_asked_about_does_not_decide() -> None:
    assert not decides(Policy(ALLOW), "\ud800", "eve", "acme")
