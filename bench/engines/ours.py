"""Gatepost: a chain of steps under a policy that lets each run unattended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bench.engines.engine import PAGE, TEXT, in_tasks, in_threads
from bench.marks import Marks
from gatepost import (
    Checkpointer,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Plan,
    Policy,
    Step,
    Workflow,
    build_graph,
    ref,
    tool,
)
from gatepost.checkpointing.address import resolve
from gatepost.checkpointing.books import Books
from gatepost.checkpointing.migrate import migrate
from gatepost.checkpointing.runs import Lease
from gatepost.state.checkpoints import CheckpointPolicy

UNATTENDED = Policy('@id("bench") permit (principal, action == Action::"run", resource);', name="bench")
LEASE = Lease(ttl=timedelta(minutes=10))
"""So long that no heartbeat falls into a measurement: they are a matter of time, not of steps."""
PATIENCE = timedelta(hours=1)
"""A step may wait at a mark."""


class Gatepost:
    """A chain of steps.

    Args:
        effect: "read" (no intent, no result in the ledger) or "write".
        door: "async" (ainvoke, async tools) or "sync" (invoke, sync tools).
        linked: each step takes the output of the one before, so that it can only be judged after it.
        checkpoints: the workflow's policy.
        on_doubt: "retry" (the intent travels with the dispatch) or "ask" (a commit of its own).
        text: what a step is given.
        lease: of the runs.
    """

    def __init__(
        self,
        *,
        effect: str,
        door: str = "async",
        linked: bool = False,
        checkpoints: CheckpointPolicy = "after_each_step",
        on_doubt: str = "retry",
        text: Callable[[int], str] = lambda _: TEXT,
        lease: Lease = LEASE,
    ) -> None:
        self._effect, self._door, self._linked, self._checkpoints = effect, door, linked, checkpoints
        self._text, self._lease, self._on_doubt = text, lease, on_doubt

    def prepare(self, url: str) -> None:
        migrate(resolve(url))

    def open(self, url: str, *, width: int) -> None:
        self._checkpointer = Checkpointer(Books(resolve(url), lease=self._lease, max_connections=width))

    def close(self) -> None:
        self._checkpointer.close()

    def drive(self, runs: Sequence[str], steps: int, marks: Marks) -> None:
        graph = self._graph(steps, marks)

        def one(run: str) -> None:
            _ended(graph.invoke({"goal": "bench"}, _config(run)))

        async def one_async(run: str) -> None:
            _ended(await graph.ainvoke({"goal": "bench"}, _config(run)))

        if self._door == "sync":
            in_threads(one, runs, marks)
        else:
            self._checkpointer.bridge.run(in_tasks(one_async, runs, marks))

    def build(self, steps: int, marks: Marks) -> None:
        """Make the graph that the following ask."""
        self._built = self._graph(steps, marks)

    def resume(self, run: str) -> None:
        """Go on with a run whose process was killed, to its end."""
        _ended(self._built.invoke(None, _config(run)))

    def state(self, run: str) -> object:
        """What a reader is shown of the run."""
        return self._built.get_state(_config(run))

    def page(self, run: str) -> int:
        """Read the newest `PAGE` checkpoints; how many there were."""
        return sum(1 for _ in self._built.get_state_history(_config(run), limit=PAGE))

    def _graph(self, steps: int, marks: Marks) -> GatepostGraph:
        @tool(effect=self._effect, on_doubt=self._on_doubt, timeout=PATIENCE, name="work")
        async def soon(ctx: EffectContext, text: str) -> dict[str, str]:
            await marks.at_async(_index(ctx))
            return {"text": text}

        @tool(effect=self._effect, on_doubt=self._on_doubt, timeout=PATIENCE, name="work")
        def now(ctx: EffectContext, text: str) -> dict[str, str]:
            marks.at(_index(ctx))
            return {"text": text}

        work = now if self._door == "sync" else soon
        plan = Plan(steps=tuple(self._step(index) for index in range(steps)))
        workflow = Workflow(
            name="bench",
            goals=("bench",),
            strategy=FixedPlan(plan),
            tools=(work,),
            checkpoints=self._checkpoints,
        )
        return build_graph([workflow], self._checkpointer, policy=UNATTENDED)

    def _step(self, index: int) -> Step:
        before = f"s{index - 1}"
        text: Any = ref(before, "/text") if self._linked and index else self._text(index)
        return Step(id=f"s{index}", tool="work", args={"text": text}, needs=(before,) if index else ())


def _index(ctx: EffectContext) -> int:
    return int(ctx.step_id[1:])


def _config(run: str) -> Any:
    return {"configurable": {"thread_id": run}}


def _ended(result: Mapping[str, Any]) -> None:
    if result["status"] != "succeeded":
        raise RuntimeError(f"a run {result['status']}: {result.get('outcome')}")
