"""Tries to start with a policy set that does not fit the tools: each slip is refused where it stands, with the fix."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from gatepost import EffectContext, Policy, tool
from gatepost.nodes.policy import InvalidPolicy
from gatepost.nodes.policy_check import check, require_sound
from gatepost.nodes.policy_schema import schema_of, schemas_of
from gatepost.nodes.policy_text import Source


class Address(BaseModel):
    city: str
    zip: str | None = None


class Node(BaseModel):
    inner: list[Node] = []  # (it holds itself)


@tool(effect="irreversible")
def refund(ctx: EffectContext, charge: str) -> str:
    return charge


@tool(effect="write", on_doubt="retry", cost="cents")
def charge(
    ctx: EffectContext, customer: str, cents: int, to: Address, note: str | None = None, rate: float = 1.0
) -> str:
    return customer


@tool(effect="read")
def find(
    query: str, kinds: list[str], how: Literal["fast", "slow"] = "fast", extra: dict[str, Any] | None = None
) -> str:
    return query


TOOLS = schemas_of([charge, find, refund])
RUNS = 'permit (principal, action == Action::"run", resource)'
CHARGE = 'context.tool == "charge" &&'


def wrong(condition: str) -> list[str]:
    return [str(one) for one in check(Policy(f"{RUNS}\nwhen {{ {condition} }};", name="d"), TOOLS)]


SLIPS = [
    pytest.param('context.efect == "read"', "d:2:16: policy0: there is no context.efect", "`effect`", id="typo"),
    pytest.param('context.tool == "chrage"', '2:24: policy0: no tool is called "chrage"', "`charge`", id="tool"),
    pytest.param('["find", "chrage"].contains(context.tool)', '"chrage"', "`charge`", id="tool in a list"),
    pytest.param('context.effect == "raed"', 'no effect is called "raed"', "`read`", id="effect class"),
    pytest.param('"robot" != context.origin', 'no origin is called "robot"', "file, model, person", id="origin"),
    pytest.param(f"{CHARGE} context.args.cent > 5", "no tool takes an argument 'cent'", "`cents`", id="argument"),
    pytest.param("context.args.cnts > 5", "no tool takes an argument 'cnts'", "`cents`", id="argument of no tool"),
    pytest.param("context.args.cents > 5", "takes no argument 'cents'", "context.args has cents &&", id="unguarded"),
    pytest.param("context.args has cnts", "no tool takes an argument 'cnts'", "`cents`", id="has a typo"),
    pytest.param("context has bugdet", "there is no attribute 'bugdet'", "`budget`", id="context has a typo"),
    pytest.param(f'{CHARGE} context.args.cents > "5"', "2:36: policy0: unexpected type", "one type", id="type error"),
    pytest.param(f'{CHARGE} context.args.note == "x"', "args.note may be absent", "args has note &&", id="null"),
    pytest.param("context.budget > 5", "context.budget may be absent", "`context has budget &&`", id="optional"),
    pytest.param(f'{CHARGE} context.args.rate.lessThan(decimal("1.0"))', "may be absent", "has rate &&", id="float"),
    pytest.param(f'{CHARGE} context.args.to.town == "x"', "charge takes no args.to.town", "schema charge", id="member"),
    pytest.param('context.tool == "find" && context.args.extra.x == 1', "no type that Cedar", "fields", id="dict"),
    pytest.param('context.roles.contains("cfo")', "where a person decides", 'Action::"decide"', id="other action"),
    pytest.param('context.tool == "find" && context.args.kinds.contains(1)', "Long and String", "", id="member type"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "problem", "fix"), SLIPS)
def test_a_slip_is_found_where_it_stands_and_the_fix_is_named(condition: str, problem: str, fix: str) -> None:
    found = wrong(condition)
    assert len(found) == 1, found
    assert problem in found[0]
    assert fix in found[0]


SOUND = [
    f"{CHARGE} context.args.cents > 5",
    f'{CHARGE} context.args.to.city == "x"',
    'context.tool != "charge" || context.args.cents < 5',
    '["charge"].contains(context.tool) && context.args.cents < 5',
    "context.args has cents && context.args.cents > 5",
    'context.effect == "read" && context.time.hour >= 8 && context.time.weekday <= 5',
    "context has budget && context.spent + context.cost <= context.budget",
    f'{CHARGE} context.args has rate && context.args.rate.lessThan(decimal("1.5"))',
    'context.tool == "refund" && context.args.charge like "ch_*"',
    'context.tool == "find" && context.args.kinds.contains("x") && context.args.how == "fast"',
    'context.workflow == "sale" && context.requester == "ada" && context.tenant == "acme"',
]


@pytest.mark.parametrize("condition", SOUND)
def test_what_fits_is_left_alone(condition: str) -> None:
    assert wrong(condition) == []


def test_the_default_set_fits_all_tools() -> None:
    require_sound(Policy.default(), TOOLS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('permit (principal, action == Action::"rum", resource);', '1:38: policy0: there is no Action::"rum"'),
        ('permit (principal == Usr::"x", action, resource);', "1:22: policy0: there is no Usr. Did you mean `User`?"),
        ('permit (principal, action, resource) when { context.effect == "read" && context.cost > 1 };',
         'Write `action == Action::"run"` in the head'),
        ('@id("a") permit (principal, action, resource);\n@id("a") permit (principal, action, resource);',
         '2:1: a: another policy of this set is called @id("a")'),
        ('@widens("") permit (principal, action, resource);', "@widens says why"),
        ('@widens("x") forbid (principal, action, resource);', "stands on a permit"),
    ],
)  # fmt: skip
def test_heads_and_annotations(text: str, said: str) -> None:
    found = check(Policy(text, name="t"), TOOLS)
    assert any(said in str(one) for one in found), found


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_the_lines() -> None:
    first = f'// a note; with a semicolon\n{RUNS} when {{ context.efect == "x;" }};'
    text = f'{first}\n\n@id("b")\n{RUNS}\nwhen {{ context.orgin == "x" }};'
    with pytest.raises(InvalidPolicy) as refused:
        require_sound(Policy(text, name="t.cedar"), TOOLS)
    _, first, second = str(refused.value).splitlines()
    assert first.startswith("  t.cedar:2:70: policy0: ")
    assert second.startswith("  t.cedar:6:16: b: ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("permit (principal, action, resource);\npermit (who, action, resource);", ":2:9:"),
        ("permit (principal, action, resource) when { context.cost > 1.5 };", ":1:62:"),
        ("permit (principal, action, resource);\n\nallow x;", ":3:"),
        ('@id("a")\npermit (principal, action, resource)\n', ":1:1: a:"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, place: str) -> None:
    with pytest.raises(InvalidPolicy, match="cannot be read") as refused:
        Policy(text, name="t")
    assert f"t{place}" in str(refused.value)


def test_a_template_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match="template"):
        Policy("permit (principal == ?principal, action, resource);")


def test_types_of_arguments() -> None:
    @tool(effect="read")
    def odd(a: Decimal, b: int | str, c: list[float], d: Node, *, e: bool, f: list[Address]) -> None: ...

    found = schema_of(odd)
    assert found.arguments["a"] == {"type": "String"}
    assert found.arguments["c"] == {
        "type": "Set",
        "element": {"type": "Extension", "name": "decimal"},
        "required": False,
    }
    assert found.arguments["e"] == {"type": "Bool"}
    assert found.arguments["f"]["element"]["attributes"]["zip"] == {"type": "String", "required": False}
    assert found.untyped == {"b"}


def test_clauses_of_a_policy() -> None:
    conditions = 'when { context.a == "x && y" && (b || c) && f(d && e) } unless { g || h };'
    text = f"permit (principal, action, resource) {conditions}"
    (policy,) = Source(text, "t").policies()
    assert [(one.kind, one.text) for one in policy.clauses] == [
        ("when", 'context.a == "x && y"'), ("when", "(b || c)"), ("when", "f(d && e)"),
        ("unless", "g"), ("unless", "h"),
    ]  # fmt: skip
    whole = "permit (principal, action, resource) when { a || b && c } when { if a then b && c else d };"
    assert [one.text for one in Source(whole, "t").policies()[0].clauses] == ["a || b && c", "if a then b && c else d"]
