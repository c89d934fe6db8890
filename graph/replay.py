"""Replays: a recorded run executed again and compared, transition by transition, and the cause of the first difference.

A cause is established by experiment where one is possible: the clock is moved and the difference
moves with it; the recorded policy is put back and the difference is gone. Otherwise it follows from
what the stand-ins noticed and from which recorded facts are others now. After the first divergence
nothing is compared: whatever differs there follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gatepost.graph.build import wired
from gatepost.graph.cause import Evidence, cause_of
from gatepost.graph.difference import difference, same
from gatepost.graph.isolated import isolated
from gatepost.graph.sandbox import Made, Sandbox
from gatepost.graph.seal import clock_at, sealed
from gatepost.graph.tape import Tape
from gatepost.nodes.circumstances import facts_of, unlike
from gatepost.nodes.policy import InvalidPolicy, Policy
from gatepost.nodes.policy_sets import PolicySets
from gatepost.nodes.visit import Equipment
from gatepost.state.errors import InvalidValue, UnknownVersion
from gatepost.state.recording import Recording
from gatepost.state.report import Cause, Difference, Divergence, Report

SHIFTS = (timedelta(days=401, hours=7), timedelta(days=-3, hours=-11))
"""How the wall clock is moved to see what depends on it: other year, day of the week, half of the day."""
UNGUARDED = "this system does not seal what code in C connects to (libpq, gRPC): only what Python opens was refused"


async def replay_recording(
    recording: Recording,
    equipment: Equipment,
    *,
    graph_version: str,
    begin: int = 0,
    until: int | None = None,
    brake: str | None = None,
    clocks: bool = True,
    whole_process: bool = False,
) -> Report:
    """Execute a run again and compare.

    Args:
        recording: the run.
        equipment: today's workflows, tools and policy.
        graph_version: today's.
        begin: the first transition to make again; the nearest state on record before it is taken as it is.
        until: the last transition to compare.
        brake: stop before this node runs, and show the state.
        clocks: also execute it under other wall clocks, to find code that reads them.
        whole_process: refuse the network to every thread of the process, too.

    Raises:
        UnknownVersion: the run belongs to a workflow or a graph version that is not here.
        InvalidValue: the recording has gaps, or no state to start from; there is no node `brake`; what `check_stretch`
            raises.
    """
    check_stretch(recording.run_id, recording.last, begin=begin, until=until)
    tape = Tape(recording)
    _readable(tape, equipment, graph_version)
    if brake is not None and brake not in (nodes := wired(equipment).nodes):
        raise InvalidValue(f"there is no node {brake!r}; there are {', '.join(sorted(nodes))}.")
    start = _start(tape, max(0, begin - 1))
    end = min(recording.last, until or recording.last)

    async def examined(guarded: bool) -> Report:  # noqa: FBT001 (what `isolated` says)
        with sealed(whole_process=whole_process) as refused:
            trial = _Trial(tape, equipment, begin=start, end=end, refused=refused)
            report = await trial.report(brake=brake, clocks=clocks)
        return report if guarded else replace(report, warnings=(*report.warnings, UNGUARDED))

    return await isolated(examined)


class _Trial:
    """One recording under examination."""

    def __init__(self, tape: Tape, equipment: Equipment, *, begin: int, end: int, refused: list[str]) -> None:
        self._tape, self._equipment, self._begin, self._end, self._refused = tape, equipment, begin, end, refused

    async def report(self, *, brake: str | None, clocks: bool) -> Report:
        """Execute, compare, explain."""
        box, made, first = await self._compared(brake=brake)
        if box.braked and first is None:
            return self._report(box.session.seq, stopped_at=box.session.seq + 1, state=await box.state())
        if first is None and made.error is None:
            late = await self._by_the_clock() if clocks and brake is None else None
            return self._report(self._end if late is None else late.seq - 1, divergence=late)
        seq = first if first is not None else max(made.seen, default=self._begin) + 1
        return self._report(seq - 1, divergence=await self._explained(seq, made, clocks=clocks))

    async def _compared(
        self, *, equipment: Equipment | None = None, brake: str | None = None, clock: datetime | None = None
    ) -> tuple[Sandbox, Made, int | None]:
        """Execute until the first transition that differs; its number."""
        found: list[int] = []

        def differs(seq: int, seen: dict[str, Any]) -> bool:
            if not same(seen, self._tape.seen(seq, seen)):
                found.append(seq)
            return bool(found)

        self._tape.notes.clear()
        self._refused.clear()
        box = await self._executed(equipment, differs, brake=brake, clock=clock)
        return box, box.made, found[0] if found else None

    async def _executed(
        self,
        equipment: Equipment | None,
        stop: Callable[[int, dict[str, Any]], bool],
        *,
        brake: str | None = None,
        clock: datetime | None = None,
    ) -> Sandbox:
        box = Sandbox(
            self._tape, equipment or self._equipment, start=self._begin, until=self._end, stop=stop, brake=brake
        )
        with clock_at(clock or self._recorded_time()):
            await box.run()
        return box

    def _recorded_time(self) -> datetime:
        return datetime.fromisoformat(self._tape.transitions[max(self._begin, self._tape.first)]["at"])

    async def _by_the_clock(self) -> Divergence | None:
        """Whether the run goes another way at another time, although nobody told it of the time."""
        for shift in SHIFTS:
            _, other, first = await self._compared(clock=self._recorded_time() + shift)
            if first is not None or other.error is not None:
                seq = first or max(other.seen, default=self._begin) + 1
                why = f"it is the same only at the time of the record; {_shifted(shift)} it is not"
                return self._divergence(seq, other, Cause.WALL_CLOCK, why)
        return None

    async def _explained(self, seq: int, made: Made, *, clocks: bool) -> Divergence:
        noted = [note for note in self._tape.notes if note.seq == seq]
        refused = list(self._refused)
        now = self._seen(seq, made)
        run = self._tape.recording.run
        evidence = Evidence(
            seq=seq,
            recorded=self._tape.seen(seq, now) if seq in self._tape.transitions else {},
            replayed=now,
            error=made.error,
            notes=tuple(noted),
            refused=tuple(refused),
            then=self._tape.facts(seq),
            now=facts_of(self._equipment, run["workflow"], run["tenant"]),
            given=self._input(),
            clock=await self._moves_with_the_clock(seq, made) if clocks else False,
            policy=await self._gone_under_the_recorded_policy(seq),
        )
        cause, why = cause_of(evidence)
        return self._divergence(seq, made, cause, why)

    async def _moves_with_the_clock(self, seq: int, made: Made) -> bool:
        """Whether the transition comes out differently at different times."""
        for shift in SHIFTS:
            box = await self._executed(None, lambda at, _: at >= seq, clock=self._recorded_time() + shift)
            if not same(self._seen(seq, box.made), self._seen(seq, made)):
                return True
        return False

    async def _gone_under_the_recorded_policy(self, seq: int) -> bool:
        """Whether the transition comes out as recorded under the policy set that the run was moved by."""
        run = self._tape.recording.run
        then = (self._tape.facts(seq) or {}).get("policy", {})
        now = self._equipment.policy.layers(workflow=run["workflow"], tenant=run["tenant"])
        if not then or then["version"] == now.version:
            return False
        try:
            policy = _recorded_policy(then, workflow=run["workflow"], tenant=run["tenant"])
        except InvalidPolicy:
            return False
        _, made, first = await self._compared(equipment=unlike(self._equipment, policy=policy))
        return made.error is None if first is None else first > seq

    def _input(self) -> Any:
        """The input as today's workflow takes it; what it says where it does not take it."""
        run = self._tape.recording.run
        try:
            return self._equipment.catalog.named(run["workflow"]).checked_input(run["input"])
        except InvalidValue as error:
            return str(error)

    def _seen(self, seq: int, made: Made) -> dict[str, Any]:
        return made.seen.get(seq, {"error": made.error} if made.error else {})

    def _divergence(self, seq: int, made: Made, cause: Cause, why: str) -> Divergence:
        row = self._tape.transitions.get(seq, {})
        recorded = self._tape.seen(seq, self._seen(seq, made)) if row else {}
        changes = difference(recorded, made.seen[seq]) if seq in made.seen else []
        found = [Difference(change.path, change.before, change.after) for change in changes]
        if seq not in made.seen and made.error:
            found.append(Difference("error", None, made.error))
        return Divergence(seq, tuple(row.get("nodes", ())), cause, why, tuple(found))

    def _report(self, same: int, *, divergence: Divergence | None = None, **more: Any) -> Report:
        run = self._tape.recording.run
        after = range(divergence.seq + 1, self._tape.recording.last + 1) if divergence else ()
        return Report(
            run_id=run["run_id"],
            workflow=run["workflow"],
            transitions=max(0, same - self._begin),
            last=self._tape.recording.last,
            divergence=divergence,
            consequences=tuple(after),
            warnings=tuple(_warnings(self._tape, self._input())),
            **more,
        )


def _recorded_policy(facts: Mapping[str, Any], *, workflow: str, tenant: str) -> PolicySets:
    sets = {layer["layer"]: Policy(layer["text"], name="a recorded policy set") for layer in facts.get("layers", ())}
    base = sets.get("deployment") or Policy(facts["text"], name="the recorded policy set")
    own = {workflow: sets["workflow"]} if "workflow" in sets else {}
    return PolicySets(base, workflows=own, tenants={tenant: sets["tenant"]} if "tenant" in sets else {})


def _readable(tape: Tape, equipment: Equipment, graph_version: str) -> None:
    run = tape.recording.run
    equipment.catalog.named(run["workflow"])
    if run["graph_version"] != graph_version:
        raise UnknownVersion(
            f"run {run['run_id']} was made under graph version {run['graph_version']}; this release has "
            f"{graph_version}. Replay it with the release that made it."
        )


def check_stretch(run_id: str, last: int, *, begin: int, until: int | None) -> None:
    """Check that there is something to replay: who asks for what there is not would be told "identical", of nothing.

    Args:
        run_id: the run.
        last: its last transition on record; 0: there is none yet.
        begin: the first transition to make again.
        until: the last one to compare; None: all.

    Raises:
        InvalidValue: nothing is there, or nothing lies between.
    """
    if not last:
        raise InvalidValue(f"run {run_id} has not begun; there is nothing to replay.")
    if begin > last:
        raise InvalidValue(f"there is no transition {begin}: the last one on record is {last}.")
    if until is not None and begin > until:
        raise InvalidValue(f"nothing lies between: transition {begin}, the first, comes after {until}, the last.")


def _start(tape: Tape, wanted: int) -> int:
    """The transition to begin after: the wanted one, or the nearest before it whose state was kept."""
    first = tape.first if tape.transitions[tape.first]["source"] == "fork" else 0
    kept = [seq for seq in tape.states if seq <= wanted and tape.transitions[seq]["next"]]
    kept = [seq for seq in kept if tape.transitions[seq]["next"] != ["planner"]]
    return max([first, *(seq for seq in kept if wanted and seq > first)])


def _shifted(shift: timedelta) -> str:
    hours = abs(shift) // timedelta(hours=1)
    return f"{hours // 24} days and {hours % 24} hours {'later' if shift > timedelta(0) else 'earlier'}"


def _warnings(tape: Tape, given: Any) -> Iterable[str]:
    if given != tape.recording.run["input"]:
        yield f"today's workflow takes this input otherwise, which only a new run would notice: {given}"
    if not tape.entries:
        yield "the run was made before Gatepost recorded when its owners took it: times are those of the transitions"
