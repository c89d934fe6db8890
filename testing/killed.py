"""Killing a workflow everywhere: it is run once for each instant that it passes, dies there as by `kill -9`, and is
finished by another process.

An instant is a transition or a step of the effect protocol (`gatepost.state.crash`), the first time it is passed,
the second, and so on. Workers are forks of one process that has imported everything and started nothing, so that
an instant costs a fork and not an interpreter; they die for real.

    def test_survives(gatepost_killed_everywhere):
        killed = gatepost_killed_everywhere("shop:WORKFLOW", goal="charge ada")
        assert_survived(killed, booked=lambda key: books.count(key))
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from langgraph.types import Command

from gatepost.checkpointing.open import open_checkpointer
from gatepost.checkpointing.runs import Lease
from gatepost.graph.build import build_graph
from gatepost.nodes.policy import Policy
from gatepost.nodes.workflow import Workflow
from gatepost.state import crash
from gatepost.state.approval import ApprovalRequest
from gatepost.state.status import RUN_FINAL, EffectState, RunStatus
from gatepost.testing.database import DatabaseClock
from gatepost.testing.forks import forked, side_by_side

if TYPE_CHECKING:
    from gatepost.graph.compiled import GatepostGraph

TTL = timedelta(seconds=2)
_KNOWN = (EffectState.SUCCEEDED, EffectState.FAILED)


@dataclass(frozen=True, slots=True)
class Script:
    """What is run, and killed."""

    workflow: str
    """`module:ATTRIBUTE`, as the processes import it."""
    goal: str
    database: str
    input: Mapping[str, Any] = field(default_factory=dict)
    answer: str = ""
    """`module:FUNCTION` that answers what is asked, or gives None to leave it; by default actions are approved."""
    then: str = ""
    """`module:FUNCTION(graph, run_id)`: what an operator does once the run stands still; it is gone on with after
    that. It is called again in the process that goes on, so it looks how the run stands."""
    policy: str = ""
    """Cedar text; empty for the default one."""
    instants: Sequence[str] = ()
    """Where to kill (`intent.after`, or `intent.after:2` for its second time); empty for everywhere."""
    prefix: str = "killed"
    """Of the runs' ids."""
    later: float = TTL.total_seconds()
    """Seconds after which they are gone on with, by the database's clock; at least a lease's time."""


@dataclass(frozen=True, slots=True)
class Killed:
    """What became of a run that was killed."""

    instant: str
    """Where; empty for the run that was left alone."""
    run: str
    killed: bool
    """Whether it came by there."""
    status: str
    asked: Sequence[str] = ()
    """What was asked of people after it had gone on: `action`, `doubt`, `undo doubt`, …"""
    effects: Sequence[Mapping[str, Any]] = ()
    """Its ledger: `key`, `step`, `purpose`, `state` and `attempts` of each effect."""
    error: str = ""
    """Why it could not go on, if it could not."""


def kill_everywhere(*scripts: Script, folder: Path | None = None, timeout: float = 600) -> list[Killed]:
    """Run a script once for each instant, in processes of their own, and say what became of each run.

    Args:
        scripts: what is run; several of them at the same time, on one database. Their prefixes tell their runs apart.
        folder: where the processes work, and from where they import; by default here.
        timeout: seconds for all of it.

    Raises:
        ValueError: several scripts have one prefix, or several databases.
        CalledProcessError: the processes could not be started; their own words are on stderr.
    """
    databases = {script.database for script in scripts}
    if len(databases) != 1 or len({script.prefix for script in scripts}) < len(scripts):
        raise ValueError("scripts that are run together have one database, and each a prefix= of its own.")
    here = str(folder or Path.cwd())
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "gatepost.testing.killed"],
        input=json.dumps([asdict(script) for script in scripts]),
        cwd=here,
        env={**os.environ, "PYTHONPATH": path, "GATEPOST_DATABASE_URL": databases.pop()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=timeout,
    )
    return [Killed(**json.loads(line)) for line in done.stdout.splitlines()]


def assert_survived(killed: Iterable[Killed], *, booked: Callable[[str], int] | None = None) -> None:
    """Check that every run was killed, came to its end, and knows what became of each of its effects.

    Args:
        killed: from `kill_everywhere`.
        booked: how often the provider has booked an idempotency key, by its own books: at most once each, and
            exactly once where the ledger says that it happened.

    Raises:
        AssertionError: names every run that did not survive, and why.
    """
    wrong = [f"{one.instant or 'not killed'} ({one.run}): {why}" for one in killed for why in _harm(one, booked)]
    if wrong:
        raise AssertionError("\n".join(["these did not survive:", *wrong]))


def _harm(one: Killed, booked: Callable[[str], int] | None) -> Iterable[str]:
    if one.instant and not one.killed:
        yield "it never came by there"
    if one.error:
        yield one.error
    elif RunStatus(one.status) not in RUN_FINAL:
        yield f"it did not come to its end, and is {one.status}"
    for effect in one.effects:
        if effect["state"] not in _KNOWN:
            yield f"nobody knows what became of {effect['step']} ({effect['state']})"
        if booked is None:
            continue
        times = booked(effect["key"])
        if times > 1 or (times == 0 and effect["state"] == EffectState.SUCCEEDED):
            yield f"{effect['step']} ({effect['purpose']}) is {effect['state']}, and was booked {times} times"


# the processes


def main() -> None:
    """Run what is described on standard input; one line of JSON for each run."""
    works = [_Work(Script(**script)) for script in json.load(sys.stdin)]
    anyio.run(anyio.sleep, 0)  # imports what every fork would import anew
    side_by_side([partial(_kill_and_finish, work) for work in works])


def _kill_and_finish(work: _Work) -> None:
    script = work.script
    clock = DatabaseClock(script.database)
    passed = work.left_alone()
    instants = list(script.instants) or numbered(passed)
    runs = {f"{script.prefix}-{number}": instant for number, instant in enumerate(instants, start=1)}
    killed = {run for run, instant in runs.items() if work.kill(run, instant)}
    clock.shift(timedelta(seconds=script.later))  # the leases of the dead run out
    work.finish(runs, killed)


class _Work:
    """What a fork does. The parent imports, and nothing else."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._workflows = _workflows(script.workflow)
        self._policy = Policy(script.policy) if script.policy else None
        self._answer: Callable[[ApprovalRequest], Any] = (
            _imported(script.answer) if script.answer else _different_people()
        )
        self._then: Callable[[GatepostGraph, str], Any] | None = _imported(script.then) if script.then else None

    def left_alone(self) -> list[str]:
        """The instants that a run passes when nobody kills it."""
        reader, writer = os.pipe()

        def work() -> None:
            fate = crash.Fate(passed=[])
            crash.meet(fate)
            self._drive(self._graph(), self.script.prefix)
            os.write(writer, json.dumps(fate.passed).encode())

        forked(work)
        os.close(writer)
        with os.fdopen(reader) as told:
            return list(json.loads(told.read()))

    def kill(self, run: str, instant: str) -> bool:
        """Run until the instant, and die there; whether it came by."""

        def work() -> None:
            crash.meet(crash.Fate.at(instant))
            self._drive(self._graph(), run)

        return forked(work, may_die=True) != 0

    def finish(self, runs: Mapping[str, str], killed: set[str]) -> None:
        """Go on with every run, in one process, and tell what became of it."""

        def work() -> None:
            graph = self._graph()
            for run, instant in {self.script.prefix: "", **runs}.items():
                told = self._told(graph, run, instant, killed=run in killed)
                sys.stdout.write(json.dumps(asdict(told)) + "\n")
                sys.stdout.flush()

        forked(work)

    def _graph(self) -> GatepostGraph:
        checkpointer = open_checkpointer(self.script.database, lease=Lease(ttl=TTL), migrate=False)
        return build_graph(self._workflows, checkpointer, policy=self._policy)

    def _told(self, graph: GatepostGraph, run: str, instant: str, *, killed: bool) -> Killed:
        try:
            status, asked = self._drive(graph, run)
            error = ""
        except Exception as raised:  # noqa: BLE001 (whatever it is, it is what the test wants to know)
            status, asked, error = "", [], f"{type(raised).__name__}: {raised}"
        rows = graph.saver.bridge.run(graph.saver.history.effects(run))
        effects = [
            {
                "key": row["key"],
                "step": row["step_id"],
                **{name: row[name] for name in ("purpose", "state", "attempts")},
            }
            for row in rows
        ]
        return Killed(instant, run, killed, status, asked, effects, error)

    def _drive(self, graph: GatepostGraph, run: str) -> tuple[str, list[str]]:
        """Start the run, or go on with it, and answer what is asked, as far as it is answered."""
        asked: list[str] = []
        given: Any = {"goal": self.script.goal, "input": dict(self.script.input)}
        status = self._moved(graph, run, given, asked)
        if self._then is not None:
            self._then(graph, run)
            status = self._moved(graph, run, None, asked)
        return status, asked

    def _moved(self, graph: GatepostGraph, run: str, given: Any, asked: list[str]) -> str:
        config: Any = {"configurable": {"thread_id": run}}
        result = graph.invoke(given, config)
        while (question := result["approval"]) is not None and (answer := self._answer(question)) is not None:
            asked.append(question.kind if question.purpose == "run" else f"undo {question.kind}")
            result = graph.invoke(Command(resume=answer), config)
        return str(result["status"])


def _different_people() -> Callable[[ApprovalRequest], Mapping[str, Any] | None]:
    """Approve actions, each time as somebody else: a gate may ask for several people."""
    asked_before: Counter[str] = Counter()

    def approve(asked: ApprovalRequest) -> Mapping[str, Any] | None:
        asked_before[asked.id] += 1
        number = asked_before[asked.id]
        by = "somebody" if number == 1 else f"somebody {number}"
        return asked.approve(by=by) if asked.kind == "action" else None

    return approve


def numbered(passed: Iterable[str]) -> list[str]:
    """Each instant, with how often it was passed until then."""
    seen: Counter[str] = Counter()
    found = []
    for point in passed:
        seen[point] += 1
        found.append(point if seen[point] == 1 else f"{point}:{seen[point]}")
    return found


def _workflows(named: str) -> list[Workflow]:
    found = _imported(named)
    return [found] if isinstance(found, Workflow) else list(found)


def _imported(named: str) -> Any:
    module, _, attribute = named.partition(":")
    return getattr(import_module(module), attribute)


if __name__ == "__main__":
    main()
