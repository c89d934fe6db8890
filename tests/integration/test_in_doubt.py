"""Tries to get an effect repeated on a guess: a call whose end nobody saw, found again after a crash, after three days,
after other steps failed; and to have one recorded result answer another call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from tests.integration.conftest import Stubborn

from gatepost import (
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Lease,
    NotDone,
    Plan,
    Policy,
    Retry,
    Step,
    Workflow,
    build_graph,
    open_checkpointer,
    tool,
)
from gatepost.nodes.policy_sets import PolicySets
from gatepost.state.approval import decision_of
from gatepost.state.errors import AlreadyDecided, CallerMistake, InvalidDecision, RunOwned, UnknownEffect

ALL = Policy('@id("all") permit (principal, action, resource);')
ASK_TO_CHARGE = Policy("""
@id("rest") permit (principal, action == Action::"run", resource) unless { context.tool == "charge" };
@id("decide") permit (principal, action == Action::"decide", resource);
""")
SOON = timedelta(milliseconds=20)
ONCE = Retry(attempts=3, first=timedelta(milliseconds=1), longest=timedelta(milliseconds=2))


class Provider:
    """A provider whose answers get lost as often as it is told, and that can be asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.booked: dict[str, str] = {}
        self.asked: list[str] = []
        self.answers: list[Exception | None] = []
        """How each call ends: an error after it was booked, or well."""
        self.before_booking: Exception | None = None

    def send(self, ctx: EffectContext, what: str) -> str:
        """Book, then answer or not."""
        self.calls.append(ctx.idempotency_key)
        if self.before_booking is not None:
            raise self.before_booking
        self.booked[ctx.idempotency_key] = what
        if self.answers and (error := self.answers.pop(0)) is not None:
            raise error
        return f"sent {what}"

    def look_up(self, ctx: EffectContext, what: str) -> str | None:
        """What is booked under the key."""
        self.asked.append(ctx.idempotency_key)
        return f"found {what}" if ctx.idempotency_key in self.booked else None


@pytest.fixture
def provider() -> Provider:
    return Provider()


def _graph(
    build: Callable[..., GatepostGraph], provider: Provider, on_doubt: str, *more: Step, policy: Policy = ALL
) -> GatepostGraph:
    how: Any = {"lookup": provider.look_up, "settle": SOON, "timeout": SOON} if on_doubt == "lookup" else {}
    send = tool(effect="write", on_doubt=on_doubt, name="send", retry=ONCE, **how)(provider.send)

    @tool(effect="read", retry=Retry(attempts=1))
    def fail() -> str:
        raise ValueError("no")

    @tool(effect="irreversible", on_doubt="retry")
    def charge(cents: int) -> int:
        return cents

    steps = (Step(id="send", tool="send", args={"what": "x"}), *more)
    workflow = Workflow(name="w", goals=("w",), strategy=Stubborn(Plan(steps=steps)), tools=(send, fail, charge))
    return build([workflow], policy=policy)


# ask


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), ValueError("?"), httpx.ReadTimeout("")])
def test_a_call_whose_end_nobody_saw_asks_a_person_and_is_not_repeated(
    build: Any, shop: Any, owner: Any, provider: Provider, error: Exception
) -> None:
    provider.answers = [error]
    shop.graph = _graph(build, provider, "ask")
    result = shop.graph.invoke({"goal": "w"}, shop.config())
    asked = result["approval"]
    assert (result["status"], asked.kind, asked.step) == ("blocked", "doubt", "send")
    assert result["steps"]["send"]["status"] == "in_doubt"
    assert "nobody saw how it ended" in asked.describe()
    for _ in range(3):
        assert shop.graph.invoke(None, shop.config())["status"] == "blocked"
    (effect,) = owner.effects(shop.run())
    assert (effect["state"], effect["finished_at"], len(provider.calls)) == ("in_doubt", None, 1)


@pytest.mark.parametrize(
    ("answer", "status", "output"),
    [
        (lambda asked: asked.happened(by="alice", result="says the bank"), "succeeded", "says the bank"),
        (lambda asked: asked.edit(by="alice", result="says the bank"), "succeeded", "says the bank"),
        (lambda asked: asked.did_not_happen(by="alice"), "failed", None),
        (lambda asked: asked.reject(by="alice"), "failed", None),
    ],
    ids=["it happened", "as an edit", "it did not happen", "as a rejection"],
)
def test_a_person_says_what_happened(
    build: Any, shop: Any, owner: Any, provider: Provider, answer: Any, status: str, output: Any
) -> None:
    provider.answers = [TimeoutError()]
    shop.graph = _graph(build, provider, "ask", Step(id="charge", tool="charge", args={"cents": 1}, needs=("send",)))
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    result = shop.answer(answer(asked))
    assert result["status"] == status
    assert result["steps"]["send"].get("output") == output
    assert "alice" in result["steps"]["send"]["reason"]
    (effect,) = [effect for effect in owner.effects(shop.run()) if effect["step_id"] == "send"]
    assert (effect["state"], effect["result"]) == (status, output)
    assert len(provider.calls) == 1
    assert ("charge" in {effect["step_id"] for effect in owner.effects(shop.run())}) == (status == "succeeded")


@pytest.mark.parametrize("happened", [True, False])
def test_what_happened_can_be_told_by_the_key(
    build: Any, shop: Any, owner: Any, provider: Provider, happened: Any
) -> None:
    provider.answers = [TimeoutError()]
    graph = _graph(build, provider, "ask")
    graph.invoke({"goal": "w"}, shop.config())
    key = provider.calls[0]
    for wrong in ({"happened": True}, {"happened": True, "result": 7}, {"happened": False, "result": "x"}):
        with pytest.raises(InvalidDecision):
            graph.resolve(key, by="alice", **wrong)
    with pytest.raises(InvalidDecision, match="nothing undoes send"):
        graph.resolve(key, by="alice", happened=True, undo=True)
    told = {"happened": True, "result": "sent, says the bank"} if happened else {"happened": False}
    first, second = (graph.resolve(key, by="alice", **told) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.repeated, second.repeated) == (False, True)
    with pytest.raises(AlreadyDecided):
        graph.resolve(key, by="bob", happened=not happened, result=None if happened else "x")
    assert graph.invoke(None, shop.config())["status"] == ("succeeded" if happened else "failed")
    with pytest.raises(CallerMistake, match="is known"):
        graph.resolve(key, by="alice", **told)


def test_nobody_is_told_what_happened_before_the_run_has_looked_itself(build: Any, shop: Any, owner: Any) -> None:
    hangs = Hangs(build, "ask")
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    with pytest.raises(CallerMistake, match="gatepost run resume"):
        hangs.graph.resolve(hangs.calls[0], by="alice", happened=False)
    owner.change("UPDATE gatepost.effect SET tenant = 'other' WHERE run_id = %s", shop.run())
    with pytest.raises(UnknownEffect):
        hangs.graph.resolve(hangs.calls[0], by="alice", happened=False)


@pytest.mark.parametrize("happened", [True, False])
def test_what_happened_can_be_told_after_the_run_was_called_off(
    build: Any, shop: Any, owner: Any, provider: Provider, happened: Any
) -> None:
    provider.answers = [TimeoutError()]
    graph = _graph(build, provider, "ask")
    graph.invoke({"goal": "w"}, shop.config())
    owner.rows("SELECT gatepost.give_order(%s, 'cancel', 'bob', 'enough')", shop.run())
    assert owner.run(shop.run())["status"] == "cancelled"
    key, told = provider.calls[0], {"result": "sent, says the bank"} if happened else {}
    with pytest.raises(InvalidDecision):
        graph.resolve(key, by="alice", happened=True, result=7)
    assert graph.resolve(key, by="alice", happened=happened, **told) is None
    (effect,) = owner.effects(shop.run())
    assert (effect["state"], effect["result"]) == (("succeeded", told["result"]) if happened else ("failed", None))
    (noted,) = owner.rows(
        "SELECT actor, reason FROM gatepost.intervention WHERE kind = 'resolve' AND run_id = %s", shop.run()
    )
    assert (noted["actor"], "alice found out" in noted["reason"]) == ("alice", True)
    with pytest.raises(CallerMistake, match="is known"):
        graph.resolve(key, by="alice", happened=happened)


def test_doubt_takes_no_other_answer(build: Any, shop: Any, provider: Provider) -> None:
    provider.answers = [TimeoutError()]
    shop.graph = _graph(build, provider, "ask")
    asked = shop.graph.invoke({"goal": "w"}, shop.config())["approval"]
    for answer in (
        {"approval": asked.id, "type": "approve", "by": "alice"},
        asked.respond("try again", by="alice"),
        asked.happened(by="alice"),
        asked.happened(by="alice", result=7),
        {**asked.happened(by="alice"), "args": {}},
        {**asked.happened(by="alice"), "args": {"result": "x", "what": "y"}},
    ):
        with pytest.raises(InvalidDecision):
            shop.answer(answer)
    assert asked.allowed == ("edit", "reject")
    assert shop.answer(asked.happened(by="alice", result="x"))["status"] == "succeeded"


def test_no_clock_turns_doubt_into_try_again(
    gatepost_graph: Any, shop: Any, gatepost_database: Any, provider: Provider
) -> None:
    provider.answers = [TimeoutError()]
    graph = _graph(gatepost_graph, provider, "ask")
    graph.invoke({"goal": "w"}, shop.config())
    gatepost_database.clock.shift(timedelta(days=400))
    assert graph.invoke(None, shop.config())["approval"].kind == "doubt"
    assert len(provider.calls) == 1


def test_a_run_that_fails_elsewhere_still_asks_what_happened(
    build: Any, shop: Any, owner: Any, provider: Provider
) -> None:
    provider.answers = [TimeoutError()]
    shop.graph = _graph(build, provider, "ask", Step(id="fail", tool="fail"))
    result = shop.graph.invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["approval"].kind) == ("blocked", "doubt")
    result = shop.answer(result["approval"].happened(by="alice", result="x"))
    assert (result["status"], result["steps"]["send"]["status"]) == ("failed", "succeeded")
    assert "step fail failed" in result["outcome"]["reason"]


def test_a_no_and_a_wish_at_once_do_not_end_a_run_in_doubt(
    build: Any, shop: Any, owner: Any, provider: Provider
) -> None:
    """One person rejects, another wants a new plan, and nobody knows yet what a third step did."""
    provider.answers = [TimeoutError()]
    gated = [Step(id=name, tool="charge", args={"cents": 1}) for name in ("a", "b")]
    shop.graph = _graph(build, provider, "ask", *gated, policy=ASK_TO_CHARGE)
    asked = {one.step: one for one in shop.graph.invoke({"goal": "w"}, shop.config())["approvals"]}
    assert {step: one.kind for step, one in asked.items()} == {"a": "action", "b": "action", "send": "doubt"}
    shop.graph.decide(decision_of(asked["a"].reject(by="alice")))
    shop.graph.decide(decision_of(asked["b"].respond("something else", by="bob")))
    result = shop.graph.invoke(None, shop.config())
    assert (result["status"], [one.kind for one in result["approvals"]]) == ("blocked", ["doubt"])
    assert shop.answer(asked["send"].happened(by="alice", result="x"))["status"] == "rejected"


# after a crash


def _cut_off(graph: GatepostGraph, config: Any, inside: threading.Event) -> None:
    async def cut() -> None:
        running = asyncio.ensure_future(graph.ainvoke({"goal": "w"}, config))
        await asyncio.to_thread(inside.wait, 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cut())


class Hangs:
    """Books, then hangs the first time."""

    def __init__(
        self, build: Callable[..., GatepostGraph], on_doubt: str, *, books: bool = True, **declared: Any
    ) -> None:
        self.inside = threading.Event()
        self.calls: list[str] = []
        self.booked: set[str] = set()
        self.late: list[str] = []
        """Requests that arrive only after the first look-up."""
        self.looked = 0
        self.asked = threading.Event()

        async def send(ctx: EffectContext) -> str:
            self.calls.append(ctx.idempotency_key)
            if books or len(self.calls) > 1:
                self.booked.add(ctx.idempotency_key)
            if len(self.calls) == 1:
                self.inside.set()
                await asyncio.Event().wait()
            return "sent"

        def look_up(ctx: EffectContext) -> str | None:
            self.looked += 1
            self.asked.set()
            found = "found" if ctx.idempotency_key in self.booked else None
            self.booked.update(self.late)
            return found

        if on_doubt == "lookup":
            declared = {"lookup": look_up, "settle": SOON, "timeout": timedelta(seconds=0.2), **declared}
        sends = tool(effect="write", on_doubt=on_doubt, **declared)(send)
        plan = Plan(steps=(Step(id="send", tool="send"),))
        self.graph = build([Workflow(name="w", goals=("w",), strategy=FixedPlan(plan), tools=(sends,))], policy=ALL)


@pytest.mark.parametrize(
    ("on_doubt", "books", "calls", "output"),
    [
        ("retry", True, 2, "sent"),
        ("lookup", True, 1, "found"),
        ("lookup", False, 2, "sent"),
    ],
)
def test_a_call_that_was_cut_off_is_resolved_as_its_tool_declares(
    build: Any, shop: Any, owner: Any, on_doubt: str, books: Any, calls: int, output: str
) -> None:
    hangs = Hangs(build, on_doubt, books=books)
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], result["steps"]["send"]["output"]) == ("succeeded", output)
    assert (len(hangs.calls), len(set(hangs.calls)), len(hangs.booked)) == (calls, 1, 1)
    (effect,) = owner.effects(shop.run())
    assert (effect["state"], effect["attempts"]) == ("succeeded", calls)


def test_a_call_that_was_cut_off_and_cannot_be_asked_about_is_a_persons_matter(
    build: Any, shop: Any, owner: Any
) -> None:
    hangs = Hangs(build, "ask")
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], result["approval"].kind, len(hangs.calls)) == ("blocked", "doubt", 1)
    assert "cut off" in result["approval"].reasons[0]
    shop.graph = hangs.graph
    assert shop.answer(result["approval"].happened(by="alice", result="sent"))["status"] == "succeeded"
    assert len(hangs.calls) == 1


def test_a_request_that_arrives_after_the_look_up_is_not_made_twice(build: Any, shop: Any, owner: Any) -> None:
    """The first look-up finds nothing, because the request is still on its way."""
    hangs = Hangs(build, "lookup", books=False)
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    hangs.late = list(hangs.calls)
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], result["steps"]["send"]["output"]) == ("succeeded", "found")
    assert (len(hangs.calls), hangs.looked) == (1, 2)


def test_a_no_that_may_not_be_believed_for_long_is_waited_for_and_nobody_holds_the_run(
    gatepost_graph: Any, gatepost_database: Any, shop: Any
) -> None:
    hangs = Hangs(gatepost_graph, "lookup", books=False, settle=timedelta(hours=1))
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    gatepost_database.clock.shift(timedelta(minutes=58))
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], result["approval"], len(hangs.calls)) == ("waiting", None, 1)
    assert "found nothing, which proves nothing yet" in result["steps"]["send"]["reason"]
    gatepost_database.clock.shift(timedelta(minutes=3))
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], len(hangs.calls), hangs.looked) == ("succeeded", 2, 2)


def test_a_no_is_believed_once_the_request_can_no_longer_arrive(
    gatepost_graph: Any, gatepost_database: Any, shop: Any
) -> None:
    hangs = Hangs(gatepost_graph, "lookup", books=False, settle=timedelta(hours=1))
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    gatepost_database.clock.shift(timedelta(hours=1, seconds=1))
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], len(hangs.calls), hangs.looked) == ("succeeded", 2, 1)


def test_whoever_waits_to_believe_a_no_keeps_the_run(town: Any, shop: Any, owner: Any) -> None:
    short = Lease(ttl=timedelta(seconds=0.6), wait=False)
    with open_checkpointer(town.url, lease=short, migrate=False) as checkpointer:
        build = partial(build_graph, checkpointer=checkpointer)
        hangs = Hangs(build, "lookup", books=False, settle=timedelta(seconds=1))
        _cut_off(hangs.graph, shop.config(), hangs.inside)

        async def race() -> Any:
            waiting = asyncio.ensure_future(hangs.graph.ainvoke(None, shop.config()))
            await asyncio.to_thread(hangs.asked.wait, 20)
            epochs = {owner.run(shop.run())["epoch"]}
            while hangs.looked == 1:  # it waits; after that it may end between two lines of ours
                epochs.add(owner.run(shop.run())["epoch"])
                with pytest.raises((RunOwned, CallerMistake)):
                    await checkpointer.runs._take(shop.run(), "local", "a thief")
                await asyncio.wait({waiting}, timeout=0.2)
            return await waiting, epochs

        result, epochs = asyncio.run(race())
    assert (result["status"], len(hangs.calls), len(epochs)) == ("succeeded", 2, 1)


def test_past_the_providers_window_nothing_is_sent_again(
    gatepost_graph: Any, gatepost_database: Any, shop: Any
) -> None:
    hangs = Hangs(gatepost_graph, "retry", window=timedelta(hours=24))
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    gatepost_database.clock.shift(timedelta(hours=24) - timedelta(seconds=29))  # 30 s is the timeout of a call
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], result["approval"].kind, len(hangs.calls)) == ("blocked", "doubt", 1)
    assert "remembers a key for 1 day" in result["approval"].reasons[0]


def test_within_the_providers_window_it_is_sent_again(gatepost_graph: Any, gatepost_database: Any, shop: Any) -> None:
    hangs = Hangs(gatepost_graph, "retry", window=timedelta(hours=24))
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    gatepost_database.clock.shift(timedelta(hours=23))
    assert hangs.graph.invoke(None, shop.config())["status"] == "succeeded"
    assert len(hangs.calls) == 2


def test_a_policy_that_changed_its_mind_does_not_make_a_call_unmade(build: Any, shop: Any, owner: Any) -> None:
    hangs = Hangs(build, "retry")
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    forbids = Policy('@id("no") forbid (principal, action == Action::"run", resource);')
    object.__setattr__(hangs.graph.equipment, "policy", PolicySets(forbids))
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], result["approval"].kind, len(hangs.calls)) == ("blocked", "doubt", 1)
    assert "but an earlier attempt was cut off" in result["approval"].reasons[0]


@pytest.mark.parametrize("on_doubt", ["retry", "ask", "lookup"])
def test_a_recorded_result_is_returned_and_nothing_is_called(build: Any, shop: Any, owner: Any, on_doubt: str) -> None:
    hangs = Hangs(build, on_doubt)
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    owner.change(
        "UPDATE gatepost.effect SET state = 'succeeded', result = '\"recorded\"', finished_at = gatepost.now() "
        "WHERE run_id = %s",
        shop.run(),
    )
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], result["steps"]["send"]["output"]) == ("succeeded", "recorded")
    assert len(hangs.calls) == 1


def test_a_key_that_served_another_call_serves_no_second_one(build: Any, shop: Any, owner: Any) -> None:
    hangs = Hangs(build, "retry")
    _cut_off(hangs.graph, shop.config(), hangs.inside)
    owner.change("UPDATE gatepost.effect SET fingerprint = 'another' WHERE run_id = %s", shop.run())
    result = hangs.graph.invoke(None, shop.config())
    assert (result["status"], len(hangs.calls)) == ("failed", 1)
    assert "other arguments" in result["outcome"]["reason"]


# look-ups and retries


def test_a_lookup_that_finds_the_effect_ends_the_matter(build: Any, shop: Any, owner: Any, provider: Provider) -> None:
    provider.answers = [TimeoutError()]
    result = _graph(build, provider, "lookup").invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["steps"]["send"]["output"]) == ("succeeded", "found x")
    assert (len(provider.calls), len(provider.asked), len(provider.booked)) == (1, 1, 1)


def test_a_lookup_that_fails_is_no_answer(build: Any, shop: Any, owner: Any, provider: Provider) -> None:
    provider.answers = [TimeoutError()]
    graph = _graph(build, provider, "lookup")

    def broken(ctx: EffectContext, what: str) -> str | None:
        raise ConnectionError("down")

    object.__setattr__(graph.equipment.catalog.tools("w")["send"], "lookup", broken)
    result = graph.invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["approval"].kind, len(provider.calls)) == ("blocked", "doubt", 1)


@pytest.mark.parametrize(("failures", "status"), [(0, "succeeded"), (1, "succeeded"), (2, "succeeded"), (3, "blocked")])
def test_attempts_are_counted_in_the_ledger_and_bounded(
    build: Any, shop: Any, owner: Any, provider: Provider, failures: int, status: str
) -> None:
    provider.answers = [TimeoutError() for _ in range(failures)]
    result = _graph(build, provider, "retry").invoke({"goal": "w"}, shop.config())
    assert result["status"] == status
    (effect,) = owner.effects(shop.run())
    assert effect["attempts"] == len(provider.calls) == min(failures + 1, 3)
    assert len(set(provider.calls)) == 1


def _refusal(code: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://provider")
    return httpx.HTTPStatusError(str(code), request=request, response=httpx.Response(code, headers=headers))


@pytest.mark.parametrize(
    ("error", "kind", "calls"),
    [
        (_refusal(400), "validation", 1),
        (_refusal(401), "auth", 1),
        (_refusal(429, **{"Retry-After": "0"}), "throttled", 3),
        (httpx.ConnectError("refused"), "transient", 3),
    ],
)
@pytest.mark.parametrize("on_doubt", ["ask", "retry", "lookup"])
def test_a_definite_no_is_a_failure_and_no_doubt(
    build: Any, shop: Any, owner: Any, provider: Provider, error: Exception, kind: str, calls: int, on_doubt: str
) -> None:
    provider.before_booking = error
    result = _graph(build, provider, on_doubt).invoke({"goal": "w"}, shop.config())
    assert (result["status"], len(provider.calls)) == ("failed", calls)
    assert result["steps"]["send"]["failure"]["kind"] == kind
    (effect,) = owner.effects(shop.run())
    assert (effect["state"], effect["attempts"]) == ("failed", calls)


@pytest.mark.parametrize("on_doubt", ["ask", "retry"])
def test_a_no_to_the_second_attempt_says_nothing_about_the_first(
    build: Any, shop: Any, owner: Any, provider: Provider, on_doubt: str
) -> None:
    provider.answers = [TimeoutError(), _refusal(401)]
    result = _graph(build, provider, on_doubt).invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["approval"].kind) == ("blocked", "doubt")
    assert len(provider.calls) == {"ask": 1, "retry": 2}[on_doubt]


@pytest.mark.parametrize("on_doubt", ["ask", "retry", "lookup"])
@pytest.mark.parametrize(
    ("error", "calls", "kind"),
    [
        (NotDone("the card is blocked"), 1, "validation"),
        (NotDone("busy", again=True), 3, "transient"),
        (NotDone("slowly", retry_after=timedelta(0)), 3, "throttled"),
    ],
)
def test_a_tool_can_say_that_nothing_was_done(
    build: Any, shop: Any, owner: Any, provider: Provider, error: Exception, calls: int, kind: str, on_doubt: str
) -> None:
    provider.before_booking = error
    result = _graph(build, provider, on_doubt).invoke({"goal": "w"}, shop.config())
    assert (result["status"], len(provider.calls)) == ("failed", calls)
    assert result["steps"]["send"]["failure"]["kind"] == kind
    (effect,) = owner.effects(shop.run())
    assert (effect["state"], effect["attempts"]) == ("failed", calls)


def test_a_look_up_has_the_last_word_where_no_attempt_is_left(
    build: Any, shop: Any, owner: Any, provider: Provider
) -> None:
    """A bug in the tool is not tried again, but whether it had sent anything can be looked up."""
    provider.before_booking = ValueError("a bug")
    result = _graph(build, provider, "lookup").invoke({"goal": "w"}, shop.config())
    assert (result["status"], result["steps"]["send"]["failure"]["kind"]) == ("failed", "bug")
    assert (len(provider.calls), len(provider.asked)) == (1, 2)
