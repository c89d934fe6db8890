"""Tries to wedge a run with values that Postgres or JSON cannot hold, in every place where a value enters: each is
refused where it enters or becomes a failed step with a readable reason, and the run ends or can still be answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from gatepost import (
    Artifact,
    Conclusion,
    Condition,
    EffectContext,
    Finding,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Retry,
    RunContext,
    Situation,
    Step,
    Workflow,
    tool,
)
from gatepost.state.errors import CallerMistake, InvalidDecision, InvalidValue, UnknownGoal
from gatepost.state.status import RUN_FINAL

ALL = Policy('@id("all") permit (principal, action, resource);')


def _deep(levels: int = 2000) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


def _same(value: Any) -> Any:
    return value


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text for you")


SMALL: dict[str, Any] = {
    "NUL": "a\x00b",
    "a lone surrogate": "\ud800",
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "2^53": 2**53,
    "2^65": 2**65,
    "minus 2^65": -(2**65),
    "depth 2000": _deep(),
    "a number as a key": {1: "one"},
    "None as a key": {None: 1},
    "a NUL in a key": {"a\x00": 1},
    "a set": {1, 2},
    "bytes": b"\xff\x00",
    "a datetime": datetime(2026, 1, 1, tzinfo=UTC),
    "a decimal": Decimal("1e400"),
    "an object": object(),
    "a function": len,
    "a complex number": 1j,
}
BIG: dict[str, Callable[[], Any]] = {
    "30 MB": lambda: "x" * 30_000_000,
    "a million keys": lambda: {str(n): n for n in range(1_000_000)},
    "a million members": lambda: [0] * 1_000_000,
}
HOSTILE: dict[str, Callable[[], Any]] = {**{name: partial(_same, value) for name, value in SMALL.items()}, **BIG}
TEXTS = ("NUL", "a lone surrogate", "30 MB", "bytes", "an object", "NaN")

MOST = [name for name in HOSTILE if name not in ("a million keys", "a million members")]
everything = pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
hostile = pytest.mark.parametrize("value", [HOSTILE[name] for name in MOST], ids=MOST)
hostile_text = pytest.mark.parametrize("value", [HOSTILE[name] for name in TEXTS], ids=TEXTS)


def _not_wedged(graph: GatepostGraph, config: Any, *, owner: Any) -> Mapping[str, Any]:
    """The run has ended, or asks somebody, and can be read and entered again."""
    before: Mapping[str, Any] = graph.get_state(config).values
    if not before["approvals"]:
        assert before["status"] in RUN_FINAL
    again = graph.invoke(None, config)
    assert again["status"] == before["status"]
    row = owner.run(config["configurable"]["thread_id"])
    assert (row["owner"], row["status"]) == (None, before["status"])
    assert len(list(graph.get_state_history(config, limit=100))) > 2
    return before


# what a caller gives


@hostile_text
def test_a_hostile_goal_is_refused(shop: Any, owner: Any, value: Callable[[], Any]) -> None:
    with pytest.raises(InvalidValue):
        shop.graph.invoke({"goal": value()}, shop.config())
    assert owner.rows("SELECT FROM gatepost.run WHERE run_id = %s", shop.run()) == []


@pytest.mark.parametrize("goal", [None, "", "   ", 7, ["sell"], "x" * 10_001])
def test_a_goal_that_is_none_is_refused(shop: Any, goal: Any) -> None:
    with pytest.raises(InvalidValue, match="goal"):
        shop.graph.invoke({"goal": goal}, shop.config())


def test_an_unknown_goal_lists_what_is_known(shop: Any) -> None:
    with pytest.raises(UnknownGoal, match="'sell', 'sell twice', 'sell to two'"):
        shop.graph.invoke({"goal": "\u202ebuy"}, shop.config())


@everything
def test_a_hostile_input_is_refused(shop: Any, owner: Any, value: Callable[[], Any]) -> None:
    for given_input in ({"here": value()}, value()):
        with pytest.raises(InvalidValue):
            shop.graph.invoke({"goal": "sell", "input": given_input}, shop.config())
    assert owner.rows("SELECT FROM gatepost.run WHERE run_id = %s", shop.run()) == []


@pytest.mark.parametrize("value", [[], "", 0, False, 0.0, ()])
def test_an_empty_input_of_another_type_is_not_taken_for_none(shop: Any, value: Any) -> None:
    with pytest.raises(InvalidValue, match="input"):
        shop.graph.invoke({"goal": "sell", "input": value}, shop.config())


@pytest.mark.parametrize(
    "thread_id", ["", " ", "a\x00b", "\ud800", "a b", "../x", "x" * 121, "é", "a\n", None, 7, 0.5, b"r1", ["r1"], "-x"]
)
def test_a_hostile_run_id_is_refused(shop: Any, thread_id: Any) -> None:
    config = {"configurable": {"thread_id": thread_id}}
    for given_input in ({"goal": "sell"}, None):
        with pytest.raises(InvalidValue, match="run id"):
            shop.graph.invoke(given_input, config)


@hostile_text
def test_a_hostile_principal_or_tenant_is_refused(value: Callable[[], Any]) -> None:
    for name in ("principal", "tenant"):
        with pytest.raises(InvalidValue, match=name):
            RunContext(**{name: value()})


@pytest.mark.parametrize("place", ["metadata", "configurable"])
@pytest.mark.parametrize("name", ["NUL", "a lone surrogate", "NaN", "infinity", "2^65", "30 MB"])
def test_hostile_config_is_refused(shop: Any, place: str, name: str) -> None:
    shop.open()
    config = shop.config()
    config.setdefault(place, {})["note"] = HOSTILE[name]()
    with pytest.raises(InvalidValue, match=place):
        shop.graph.invoke(None, config)
    shop.still_answerable()


@pytest.mark.parametrize("key", ["a\x00b", "\ud800", 7, None, ("a", "b")])
def test_a_hostile_key_in_the_config_is_refused(shop: Any, key: Any) -> None:
    shop.open()
    for place in ("metadata", "configurable"):
        for value in ("text", object()):
            config = shop.config()
            config.setdefault(place, {})[key] = value
            with pytest.raises(CallerMistake):
                shop.graph.invoke(None, config)
    shop.still_answerable()


@hostile
def test_config_that_is_not_stored_may_be_anything_else(shop: Any, value: Callable[[], Any]) -> None:
    """What is no primitive is never stored; it is let through, and refused where it would be."""
    config = shop.config()
    config["metadata"] = {"note": [value()]}
    try:
        shop.graph.invoke({"goal": "sell"}, config)
    except InvalidValue:
        shop.open()
    shop.still_answerable()


# what a person says


@hostile_text
def test_a_hostile_comment_or_name_is_refused(shop: Any, value: Callable[[], Any]) -> None:
    asked = shop.open()
    for field in ("comment", "by", "channel"):
        with pytest.raises(InvalidDecision):
            shop.answer({**asked.approve(by="alice"), field: value()})
    with pytest.raises(InvalidDecision):
        shop.answer({**asked.respond("why?", by="alice"), "comment": value()})
    shop.still_answerable()


@hostile
def test_hostile_arguments_of_an_edit_are_refused(shop: Any, value: Callable[[], Any]) -> None:
    asked = shop.open()
    for args in ({"customer": value(), "cents": 1}, {"customer": "ada", "cents": value()}, value()):
        with pytest.raises(InvalidDecision):
            shop.answer({**asked.approve(by="alice"), "type": "edit", "args": args})
    shop.still_answerable()


def name_of(value: Callable[[], Any]) -> str:
    return next(name for name, found in HOSTILE.items() if found is value)


def test_text_of_every_script_comes_back_as_it_went_in(shop: Any, owner: Any) -> None:
    asked = shop.open()
    said = "\u202e\u05e9\U0001f469\u200d\U0001f467 \u0007 \ufffe \u2028 ' ; -- {} %s \\u0000 \U0010ffff"
    result = shop.answer(asked.approve(by=said, comment=said))
    assert (result["decision"]["by"], result["decision"]["comment"]) == (said, said)
    (row,) = owner.rows("SELECT principal, comment FROM gatepost.decision WHERE approval_id = %s", asked.id)
    assert (row["principal"], row["comment"]) == (said, said)


# what a strategy plans


class Plans:
    """A strategy that answers with whatever it is given."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer

    def plan(self, situation: Situation) -> Plan | None:  # noqa: ARG002 (the protocol's)
        """The answer, whatever the situation."""
        found: Plan | None = self.answer()
        return found


@tool(effect="read")
def echo(value: JsonValue) -> JsonValue:
    """What it was given."""
    return value


def _planned(build: Callable[..., GatepostGraph], answer: Callable[[], Any]) -> GatepostGraph:
    return build([Workflow(name="w", goals=("w",), strategy=Plans(answer), tools=(echo,))])


@hostile
def test_a_plan_with_hostile_arguments_fails_the_run(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any, value: Callable[[], Any]
) -> None:
    ways: list[Callable[[], Any]] = [
        lambda: {"steps": [{"id": "a", "tool": "echo", "args": {"value": value()}}]},
        lambda: Plan(steps=(Step(id="a", tool="echo", args={"value": value()}),)),
        lambda: Plan.model_construct(steps=(Step.model_construct(id="a", tool="echo", args={"value": value()}),)),
        lambda: Plan(
            steps=(
                Step(id="a", tool="echo", args={"value": 1}),
                Step(id="b", tool="echo", args={"value": 1}, when=Condition(ref="a#", value=value())),
            )
        ),
        value,
    ]
    for n, way in enumerate(ways if name_of(value) in TEXTS[:2] else ways[:2]):
        graph = _planned(build, way)
        result = graph.invoke({"goal": "w"}, shop.config(f"r{n}"))
        assert result["status"] == "failed", (n, result)
        assert result["outcome"]["reason"].startswith("no plan: ")
        _not_wedged(graph, shop.config(f"r{n}"), owner=owner)


# what a tool takes, returns and raises

HAVE_A_FORM = (
    "a number as a key",
    "None as a key",
    "a set",
    "a datetime",
    "a decimal",
    "a complex number",
)
"""Pydantic writes these down in JSON, and that is what the step returned."""


def _returning(build: Callable[..., GatepostGraph], effect: str, value: Callable[[], Any]) -> GatepostGraph:
    @tool(effect=effect, retry=Retry(attempts=1))
    def give(ctx: EffectContext) -> Any:
        return value()

    steps = (Step(id="give", tool="give"),)
    return build([Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(give,))], policy=ALL)


@everything
def test_a_hostile_result_of_a_read_fails_its_step(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any, value: Callable[[], Any]
) -> None:
    graph = _returning(build, "read", value)
    result = graph.invoke({"goal": "w"}, shop.config())
    if name_of(value) in HAVE_A_FORM:
        assert result["status"] == "succeeded"
    else:
        assert result["status"] == "failed"
        assert "step give failed" in result["outcome"]["reason"]
    _not_wedged(graph, shop.config(), owner=owner)


@hostile
def test_a_hostile_result_of_an_effect_asks_what_happened(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any, value: Callable[[], Any]
) -> None:
    graph = _returning(build, "write", value)
    result = graph.invoke({"goal": "w"}, shop.config())
    if result["status"] == "blocked":
        assert result["approval"].kind == "doubt"
        _not_wedged(graph, shop.config(), owner=owner)
        shop.graph = graph
        assert shop.answer(result["approval"].edit(by="alice", result="it did"))["status"] == "succeeded"
    values = _not_wedged(graph, shop.config(), owner=owner)
    assert values["status"] == "succeeded"


ERRORS: dict[str, Callable[[], BaseException]] = {
    "NUL": lambda: ValueError("a\x00b"),
    "a lone surrogate": lambda: ValueError("\ud800"),
    "30 MB": lambda: ValueError("x" * 30_000_000),
    "nothing": ValueError,
    "an object": lambda: ValueError(object()),
    "no text": Unprintable,
    "a group": lambda: ExceptionGroup("\x00", [ValueError("\ud800")]),
    "a stop": StopIteration,
    "a name": lambda: type("E\x00\ud800", (Exception,), {})("x"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("effect", ["read", "write"])
def test_a_hostile_error_text_is_made_readable(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any, error: Callable[[], BaseException], effect: str
) -> None:
    def fail() -> Any:
        raise error()

    graph = _returning(build, effect, fail)
    result = graph.invoke({"goal": "w"}, shop.config())
    reason = result["outcome"]["reason"] if effect == "read" else result["approval"].reasons[0]
    assert 0 < len(reason) < 2000
    assert "\x00" not in reason
    _not_wedged(graph, shop.config(), owner=owner)


@hostile_text
@pytest.mark.parametrize("field", ["replan", "needs_approval"])
def test_a_hostile_finding_fails_its_step(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any, value: Callable[[], Any], field: str
) -> None:
    @tool(effect="read", retry=Retry(attempts=1))
    def find() -> Finding:
        return Finding.model_construct(**{field: value()})

    workflow = Workflow(
        name="w", goals=("w",), strategy=FixedPlan(Plan(steps=(Step(id="find", tool="find"),))), tools=(find,)
    )
    graph = build([workflow])
    assert graph.invoke({"goal": "w"}, shop.config())["status"] == "failed"
    _not_wedged(graph, shop.config(), owner=owner)


# what a workflow concludes


def _outcome(value: Any) -> Conclusion:
    return Conclusion(outcome={"x": value})


OK = Artifact(name="a.json", content="{}")
CONCLUSIONS: dict[str, Callable[[], Any]] = {
    **{f"an outcome with {name}": partial(_outcome, value) for name, value in SMALL.items()},
    "nothing": lambda: None,
    "an outcome that is none": lambda: Conclusion(outcome=[1]),  # type: ignore[arg-type]
    "content with NUL": lambda: Conclusion(artifacts=(Artifact(name="a", content="\x00"),)),
    "content with a surrogate": lambda: Conclusion(artifacts=(OK.model_copy(update={"content": "\ud800"}),)),
    "a name with NUL": lambda: Conclusion(artifacts=(Artifact(name="\x00", content=""),)),
    "a media type with NUL": lambda: Conclusion(artifacts=(Artifact(name="a", content="", media_type="\x00"),)),
    "a step with NUL": lambda: Conclusion(artifacts=(Artifact(name="a", content="", step="\x00"),)),
    "a parent with NUL": lambda: Conclusion(artifacts=(Artifact(name="a", content="", parents=("\x00",)),)),
    "a version beyond": lambda: Conclusion(artifacts=(Artifact(name="a", content="", version=2**65),)),
    "the same artifact twice": lambda: Conclusion(artifacts=(OK, OK)),
    "artifacts that are none": lambda: Conclusion(artifacts=("a.json",)),  # type: ignore[arg-type]
    "30 MB of content": lambda: Conclusion(artifacts=(Artifact(name="a", content="x" * 30_000_000),)),
}


@pytest.mark.parametrize("conclude", CONCLUSIONS.values(), ids=CONCLUSIONS.keys())
def test_a_hostile_conclusion_fails_the_run_readably(
    build: Callable[..., GatepostGraph], shop: Any, owner: Any, conclude: Callable[[], Any]
) -> None:
    steps = (Step(id="a", tool="echo", args={"value": 1}),)
    workflow = Workflow(
        name="w",
        goals=("w",),
        strategy=FixedPlan(Plan(steps=steps)),
        tools=(echo,),
        conclude=lambda _: conclude(),
    )
    graph = build([workflow])
    result = graph.invoke({"goal": "w"}, shop.config())
    assert result["status"] == "failed"
    assert "conclude() failed" in result["outcome"]["reason"]
    _not_wedged(graph, shop.config(), owner=owner)


# what is accepted comes back as it was

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ANYTHING = JSON | st.text(max_size=8) | st.floats() | st.integers() | st.binary(max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=ANYTHING)
def test_a_value_comes_back_as_it_went_in_or_is_refused(
    build: Callable[..., GatepostGraph], shop: Any, value: Any
) -> None:
    @tool(effect="write", on_doubt="retry", retry=Retry(attempts=1))
    def keep(value: JsonValue) -> JsonValue:
        return value

    steps = (Step(id="keep", tool="keep", args={"value": {"$ref": "input#/value"}}),)
    workflow = Workflow(name="w", goals=("w",), strategy=FixedPlan(Plan(steps=steps)), tools=(keep,))
    graph = build([workflow], policy=ALL)
    try:
        result = graph.invoke({"goal": "w", "input": {"value": value}})
    except InvalidValue:
        return
    assert result["status"] == "succeeded"
    state = graph.get_state({"configurable": {"thread_id": result["run_id"]}}).values
    for found in (result["steps"]["keep"].get("output"), state["steps"]["keep"].get("output"), state["input"]["value"]):
        assert (found, type(found)) == (value, type(value))
