"""Forks: a new run from a state of another one, with changes, that acts only where a person says so.

Invariant: the parent is not written, whatever stands in it. A fork begins at the gate: what was
ready, asked or under way in the parent is judged anew, so no authority and no key is taken along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateUpdate

from gatepost.checkpointing.forks import Effects, Fork
from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext, who_acts
from gatepost.graph.forkchanges import Changed, change
from gatepost.nodes.spending import SPENT, counted
from gatepost.state.board import Board
from gatepost.state.canonical import digest_of
from gatepost.state.errors import CallerMistake, InvalidValue, RunExists, UnknownVersion
from gatepost.state.ids import new_run_id, run_id_of
from gatepost.state.status import STEP_SETTLED, RunStatus, StepStatus
from gatepost.state.step import StepRecord

_KEPT = frozenset({"schema_version", "goal", "workflow", "plan_version", "planning", "responses", "counters"})
_TOLD = frozenset({"planned", "replan", "exhausted"})
"""Signals that say something about the plan; the others are about questions that a fork does not ask."""
_UNDOING = frozenset({StepStatus.COMPENSATING, StepStatus.COMPENSATED, StepStatus.COMPENSATION_FAILED})


def fork(
    graph: GatepostGraph,
    run: str,
    *,
    at: str | int,
    changes: Mapping[str, Any] | None = None,
    effects: Effects = "reuse",
    run_id: str | None = None,
    context: RunContext | None = None,
) -> Fork:
    """Start a new run from a state of another one; go on with it by `graph.invoke(None, fork.config)`.

    Args:
        graph: whose workflows.
        run: the run that is forked. Nothing of it changes.
        at: a transition's number, or a checkpoint's id (or its beginning); a checkpoint must have been kept there.
        changes: by path: `input.<name>`, `steps.<step>.args.<name>` of a step that has not begun,
            `steps.<step>.output` of one that has succeeded, or has not begun. Checked as anything that enters a run.
        effects: `reuse`: a call that succeeded in the parent with the same arguments has its recorded result, any
            other one is not made. `dry-run`: also a recorded result of other arguments will do. `fire`: calls are made
            anew, under keys of the fork, and what has an effect waits for an approval of its own.
        run_id: of the fork; minted when it is left out.
        context: who forks, and for whom.

    Raises:
        UnknownRun: the tenant has no such run.
        RunExists: `run_id` belongs to another run.
        CallerMistake: no state is kept there, or none that a run can go on from; a change that is none.
    """
    return graph.saver.bridge.run(
        afork(graph, run, at=at, changes=changes, effects=effects, run_id=run_id, context=context)
    )


async def afork(
    graph: GatepostGraph,
    run: str,
    *,
    at: str | int,
    changes: Mapping[str, Any] | None = None,
    effects: Effects = "reuse",
    run_id: str | None = None,
    context: RunContext | None = None,
    kept: bool = True,
) -> Fork:
    """As `fork`, for async callers; what is not `kept` for the caller any mover takes at once."""
    who = who_acts(context)
    row = await graph.saver.runs.get(run, who.tenant)
    _checked(graph, row, effects)
    if run_id is not None and await graph.saver.forks.taken(run_id_of(run_id)):
        raise RunExists(f"the id {run_id!r} belongs to another run. Give the fork another one.")
    made = Fork(
        run_id=new_run_id() if run_id is None else run_id_of(run_id),
        parent=run,
        seq=(place := await _place(graph, run, str(at)))["seq"],
        effects=effects,
        changes=dict(changes or {}),
    )
    channels = await _channels(graph, run, place)
    board = await graph.saver.history.board(
        run, plan_version=channels["plan_version"], run_input=channels["input"], seq=made.seq
    )
    stands = _stands(board, channels)
    unsent = sum(counted(board.records[one.step]) for one in stands.changed)  # it is counted again here
    workflow = graph.equipment.catalog.named(row["workflow"])
    after = change(stands, made.changes, workflow=workflow, tools=graph.equipment.catalog.tools(workflow.name))
    drafted = f"draft-{uuid4().hex}"
    try:
        checkpoint = await _write_state(graph, drafted, made.seq, _state(channels, after, made.run_id, unsent=unsent))
        await graph.saver.forks.make(
            made,
            actor=who.actor,
            run_input=after.run_input,
            fingerprint=digest_of(workflow.name, after.run_input, made.run_id),
            plan=after.plan,
            plan_version=after.plan_version,
            changed=after.changed,
            drafted=drafted,
            checkpoint_id=checkpoint,
            kept=graph.saver.runs.lease.ttl if kept else None,
        )
    except BaseException:
        await graph.saver.adelete_thread(drafted)
        raise
    return made


def _checked(graph: GatepostGraph, row: Mapping[str, Any], effects: str) -> None:
    if effects not in get_args(Effects):
        raise InvalidValue(f"effects={effects!r} is none of {', '.join(get_args(Effects))}.")
    if row["graph_version"] != graph.version:
        raise UnknownVersion(
            f"run {row['run_id']} was made under graph version {row['graph_version']}; this release has "
            f"{graph.version}. Fork it with the release that made it."
        )


async def _place(graph: GatepostGraph, run: str, at: str) -> dict[str, Any]:
    found = await graph.saver.forks.places(run, at)
    if len(found) != 1:
        what = "could be several checkpoints; give more of the id" if found else "is no transition and no checkpoint"
        raise CallerMistake(f"{at!r} {what} of run {run}. `gatepost history {run}` shows its transitions.")
    place = found[0]
    if place["checkpoint_id"] is None:
        raise CallerMistake(
            f"no state of run {run} was kept at transition {place['seq']} (its workflow's checkpoint policy). "
            "Choose one that has a checkpoint."
        )
    return place


async def _channels(graph: GatepostGraph, run: str, place: Mapping[str, Any]) -> dict[str, Any]:
    """The state at a place, if a run can go on from there."""
    address = {"thread_id": run, "checkpoint_ns": "", "checkpoint_id": place["checkpoint_id"]}
    found = await graph.saver.aget_tuple({"configurable": address})
    if found is None:
        raise CallerMistake(f"the checkpoint of transition {place['seq']} of run {run} is gone. Choose another one.")
    channels: dict[str, Any] = dict(found.checkpoint["channel_values"])
    if not channels.get("plan_version"):
        raise CallerMistake(f"run {run} had no plan yet at transition {place['seq']}: start a new run instead.")
    if channels.get("ending") or channels.get("outcome"):
        raise CallerMistake(
            f"at transition {place['seq']} it was settled how run {run} ends. Fork it from an earlier one: "
            f"`gatepost history {run}`."
        )
    return channels


def _stands(board: Board, channels: Mapping[str, Any]) -> Changed:
    """How the parent stood: what was between pending and settled begins anew."""
    if undoing := [record.step for record in board.records.values() if record.status in _UNDOING]:
        raise CallerMistake(f"{', '.join(undoing)} had been undone by then. Fork from before that.")
    unsettled = [
        record
        for record in board.records.values()
        if record.status not in STEP_SETTLED or (channels.get("frontier") or {}).get(record.step, {}).get("approval")
    ]
    again = [_pending(record) for record in unsettled if record.status is not StepStatus.PENDING]
    return Changed(board=board, run_input=dict(channels["input"]), changed=again, plan_version=channels["plan_version"])


def _pending(record: StepRecord) -> StepRecord:
    why = "begins anew in a fork"
    version, generation = record.plan_version, record.generation
    return StepRecord(step=record.step, tool=record.tool, plan_version=version, generation=generation, reason=why)


def _state(channels: Mapping[str, Any], after: Changed, run_id: str, *, unsent: int) -> dict[str, Any]:
    anew = {record.step for record in after.changed}
    seen = {
        step: entry
        for step, entry in (channels.get("frontier") or {}).items()
        if entry["status"] in STEP_SETTLED and not entry.get("approval") and step not in anew
    }
    kept = {name: channels[name] for name in _KEPT if name in channels}
    if unsent:
        kept["counters"] = {**kept["counters"], SPENT: kept["counters"][SPENT] - unsent}
    return {
        **kept,
        "run_id": run_id,
        "input": after.run_input,
        "plan_version": after.plan_version,
        "status": RunStatus.RUNNING.value,
        "frontier": seen,
        "approvals": {},
        "signals": [signal for signal in channels.get("signals") or [] if signal["kind"] in _TOLD],
        "ending": None,
        "outcome": None,
    }


async def _write_state(graph: GatepostGraph, drafted: str, seq: int, state: dict[str, Any]) -> str:
    """Write the first state of the fork down, under a name that nobody looks for: the fork's own may be another's."""
    config = cast("RunnableConfig", {"configurable": {"thread_id": drafted}, "metadata": {"seq": seq}})
    update = StateUpdate(state, "planner", None)  # as after the planner: the gate comes next
    written = await super(GatepostGraph, graph).abulk_update_state(config, [[update]])
    return str(written["configurable"]["checkpoint_id"])
