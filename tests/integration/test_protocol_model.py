"""Drives the effect protocol at random beside a model that fits on a page: a charge that is undone because of what is
found out after it, against a provider with all its moods, with calls that are cut off, answers, and time that passes.

The model is the provider's own books, and what must hold of them whatever happened:

- nothing is booked twice, under all keys of a step together;
- what the ledger says happened is booked, and what it says did not is not;
- once a run has ended, nobody is called; and what was undone was done.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from langgraph.types import Command

from gatepost import (
    ApprovalRequest,
    Checkpointer,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    NotDone,
    Plan,
    Policy,
    Retry,
    RunStatus,
    Step,
    Tool,
    Workflow,
    build_graph,
    tool,
)
from gatepost.state.status import RUN_FINAL
from gatepost.testing import Database

KINDS = ("retry", "lookup", "ask")
MOODS = ("well", "answer lost", "refuses", "busy", "not now", "dies before", "dies after")
SETTLE = timedelta(minutes=30)
HOUR = timedelta(hours=1)
QUICK = Retry(attempts=3, first=timedelta(milliseconds=1), longest=timedelta(milliseconds=1))
SOME = Policy("""
@id("run") permit (principal, action == Action::"run", resource) unless { context.tool == "charge" };
@id("decide") permit (principal, action == Action::"decide", resource);
""")


class Provider:
    """Its books and its moods, for one run."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.moods: list[str] = []
        self.acts: Counter[tuple[str, str]] = Counter()
        """By what is done and the key it is done under."""
        self.calls = 0
        self.dying = asyncio.Event()

    async def act(self, what: str, key: str) -> str:
        """Act, or not, and say so, or not."""
        self.calls += 1
        mood = self.moods.pop(0) if self.moods else "well"
        if mood == "refuses":
            raise NotDone("no")
        if mood == "busy":
            raise NotDone("busy", again=True)
        if mood == "not now":
            raise NotDone("come back later", retry_after=HOUR)
        if mood != "dies before" and (self.kind != "retry" or not self.acts[what, key]):
            self.acts[what, key] += 1
        if mood.startswith("dies"):
            self.dying.set()
            await asyncio.Event().wait()
        if mood == "answer lost":
            raise TimeoutError
        return key

    def found(self, what: str, key: str) -> str | None:
        """What it knows under a key."""
        return key if self.acts[what, key] else None

    def total(self, what: str) -> int:
        """How often it has done something."""
        return sum(times for (done, _), times in self.acts.items() if done == what)


PROVIDERS: dict[str, Provider] = {}
"""By run."""


def _effect(kind: str, name: str, **declared: Any) -> Tool[..., Any]:
    async def call(ctx: EffectContext) -> str:
        return await PROVIDERS[ctx.run_id].act(name, ctx.idempotency_key)

    def look_up(ctx: EffectContext) -> str | None:
        return PROVIDERS[ctx.run_id].found(name, ctx.idempotency_key)

    how: Any = {"lookup": look_up, "settle": SETTLE} if kind == "lookup" else {}
    declared = {"on_doubt": kind, "retry": QUICK, **how, **declared}
    return tool(effect="write", name=name, **declared)(call)


def _workflow(kind: str) -> Workflow:
    @tool(effect="read", retry=QUICK)
    def check() -> None:
        raise NotDone("it should not have been charged")

    charge = _effect(kind, "charge", compensate=_effect(kind, "refund"))
    steps = (Step(id="charge", tool="charge"), Step(id="check", tool="check", needs=("charge",)))
    undone = frozenset({RunStatus.FAILED})
    plan = FixedPlan(Plan(steps=steps))
    return Workflow(name=kind, goals=(kind,), strategy=plan, tools=(charge, check), compensate_on=undone)


class Protocol(RuleBasedStateMachine):
    """One run and its provider."""

    graph: ClassVar[GatepostGraph]
    checkpointer: ClassVar[Checkpointer]
    database: ClassVar[Database]
    kind: ClassVar[str]

    @initialize()
    def start(self) -> None:
        self.run = f"model-{secrets.token_hex(6)}"
        self.provider = PROVIDERS[self.run] = Provider(self.kind)
        self.config: Any = {"configurable": {"thread_id": self.run}}
        self.ended_after: int | None = None
        self.asked: ApprovalRequest | None = None
        self.status = "queued"

    @rule(moods=st.lists(st.sampled_from(MOODS), max_size=4))
    def go_on(self, moods: list[str]) -> None:
        self._enter(moods, {"goal": self.kind})

    @precondition(lambda self: self.asked is not None)
    @rule(moods=st.lists(st.sampled_from(MOODS), max_size=3))
    def answer(self, moods: list[str]) -> None:
        assert self.asked is not None
        self._enter(moods, Command(resume=self._truth(self.asked)))

    @rule()
    def time_passes(self) -> None:
        self.database.clock.shift(HOUR)

    @invariant()
    def books_and_ledger_agree(self) -> None:
        if not hasattr(self, "run"):
            return
        assert max(self.provider.total("charge"), self.provider.total("refund")) <= 1, self.provider.acts
        for row in self._ledger():
            times = self.provider.acts[row["tool"], row["key"]]
            if row["state"] in ("succeeded", "failed"):
                assert times == (row["state"] == "succeeded"), (row["tool"], row["state"], times)

    @invariant()
    def whoever_has_ended_calls_nobody(self) -> None:
        if getattr(self, "ended_after", None) is not None:
            assert self.provider.calls == self.ended_after

    def teardown(self) -> None:
        """In good weather, with people who answer, every run comes to its end."""
        if not hasattr(self, "run"):
            return
        for _ in range(20):
            self.go_on([]) if self.asked is None else self.answer([])
            if RunStatus(self.status) in RUN_FINAL or self.status == "compensation_failed":
                break
            self.time_passes()
        assert RunStatus(self.status) in RUN_FINAL or self.status == "compensation_failed", self.status
        self.books_and_ledger_agree()
        if self.status == "compensated":
            assert (self.provider.total("charge"), self.provider.total("refund")) == (1, 1)

    def _enter(self, moods: list[str], given: Any) -> None:
        self.provider.moods = list(moods)
        bridge = self.checkpointer.bridge
        result = bridge.run(self._until_it_dies(given))
        if result is None:
            result = self.graph.get_state(self.config).values
        self.status, self.asked = result.get("status", "queued"), result.get("approval")
        if RunStatus(self.status) in RUN_FINAL and self.ended_after is None:
            self.ended_after = self.provider.calls

    async def _until_it_dies(self, given: Any) -> Any:
        """Enter the run; None where the call was cut off."""
        self.provider.dying = asyncio.Event()
        running = asyncio.ensure_future(self.graph.ainvoke(given, self.config))
        dying = asyncio.ensure_future(self.provider.dying.wait())
        await asyncio.wait({running, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if running.done():
            return running.result()
        running.cancel()
        await asyncio.wait({running})
        return None

    def _truth(self, asked: ApprovalRequest) -> Any:
        if asked.kind != "doubt":
            return asked.approve(by="alice")
        assert asked.effect_key is not None
        receipt = self.provider.found(asked.tool, asked.effect_key)
        return asked.did_not_happen(by="alice") if receipt is None else asked.happened(by="alice", result=receipt)

    def _ledger(self) -> list[dict[str, Any]]:
        return self.checkpointer.bridge.run(self.checkpointer.history.effects(self.run))


@pytest.fixture
def model(gatepost_database: Database, checkpointer: Checkpointer) -> Iterator[type[Protocol]]:
    Protocol.graph = build_graph([_workflow(kind) for kind in KINDS], checkpointer, policy=SOME)
    Protocol.checkpointer, Protocol.database = checkpointer, gatepost_database
    yield Protocol
    PROVIDERS.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_the_protocol_holds_whatever_happens(model: type[Protocol], kind: str) -> None:
    model.kind = kind
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=20,
            stateful_step_count=12,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
        ),
    )
