"""Replays from Python: of a run in the database, or of a recorded history."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from gatepost.checkpointing.bridge import Bridge
from gatepost.checkpointing.recordings import record_of, unfinished
from gatepost.graph.build import GRAPH_VERSION, policy_sets
from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext, who_acts
from gatepost.graph.replay import replay_recording
from gatepost.nodes.catalog import Catalog
from gatepost.nodes.policy import Policy
from gatepost.nodes.policy_sets import TenantPolicies
from gatepost.nodes.visit import Equipment
from gatepost.nodes.workflow import Workflow
from gatepost.state.errors import InvalidValue
from gatepost.state.recording import Recording, read_recording
from gatepost.state.report import Report


def replay(
    run: str | Recording | Path,
    graph: GatepostGraph | Iterable[Workflow],
    *,
    policy: Policy | None = None,
    context: RunContext | None = None,
    **options: Any,
) -> Report:
    """Execute a run again, by today's code, against its own record, and say where it goes another way and why.

    Nothing is called: no tool, no model, no provider. Strategies, routing, result types and `conclude` are executed,
    sealed off from the network, and the wall clock of the process is moved meanwhile.

    Args:
        run: a run's id; or a recorded history, or the file that `gatepost export ID --replayable` wrote.
        graph: whose code; for a recorded history a list of workflows will do, and no database is needed.
        policy: with a list of workflows: what the gate asks; by default reads run and everything else asks.
        context: for whom, when the run is looked up.
        options: `begin` (a transition to begin at), `until` (the last to compare), `brake` (a node to stop before),
            `clocks=False` (do not try other wall clocks), `whole_process=True` (seal every thread).

    Raises:
        UnknownRun: the tenant has no such run.
        UnknownVersion: the run was made by a workflow or a graph version that is not here.
        InvalidValue: the history cannot be read.
    """
    if isinstance(graph, GatepostGraph):
        return graph.saver.bridge.run(areplay(run, graph, context=context, **options))
    bridge = Bridge()
    try:
        return bridge.run(areplay(run, graph, policy=policy, **options))
    finally:
        bridge.close()


async def areplay(
    run: str | Recording | Path,
    graph: GatepostGraph | Iterable[Workflow],
    *,
    policy: Policy | None = None,
    context: RunContext | None = None,
    **options: Any,
) -> Report:
    """As `replay`, for async callers."""
    recording = await _recording(run, graph, context)
    equipment = graph.equipment if isinstance(graph, GatepostGraph) else offline(graph, policy)
    return await replay_recording(recording, equipment, graph_version=GRAPH_VERSION, **options)


def record(graph: GatepostGraph, run_id: str, *, context: RunContext | None = None) -> Recording:
    """A run's record; its `lines()` make a file that can be replayed for ever.

    Raises:
        UnknownRun: the tenant has no such run.
    """
    return graph.saver.bridge.run(record_of(graph.saver, run_id, who_acts(context).tenant))


async def areplay_unfinished(graph: GatepostGraph, *, context: RunContext | None = None) -> list[Report]:
    """Replay every run that has begun and not ended: those that today's code would move elsewhere are to be seen.

    Raises:
        UnknownVersion: one belongs to a workflow or a graph version that is not here.
    """
    tenant = who_acts(context).tenant
    recordings = [await record_of(graph.saver, run, tenant) for run in await unfinished(graph.saver, tenant)]
    return [
        await replay_recording(recording, graph.equipment, graph_version=GRAPH_VERSION)
        for recording in recordings
        if recording.transitions
    ]


def offline(
    workflows: Iterable[Workflow], policy: Policy | None = None, tenant_policies: TenantPolicies = None
) -> Equipment:
    """What a replay needs of a graph, without a database: everything else of it is replaced in the sandbox."""
    nothing = cast("Any", None)
    catalog = Catalog(workflows)
    return Equipment(
        catalog=catalog,
        policy=policy_sets(catalog, policy, tenant_policies),
        ledger=nothing,
        approvals=nothing,
        breakers=nothing,
    )


async def _recording(
    run: str | Recording | Path, graph: GatepostGraph | Iterable[Workflow], context: RunContext | None
) -> Recording:
    if isinstance(run, Recording):
        return run
    if isinstance(run, Path):
        return read_file(run)
    if not isinstance(run, str):
        raise InvalidValue(f"a run is named by its id, not by a {type(run).__name__}. Write replay('run_4f', graph).")
    if not isinstance(graph, GatepostGraph):
        raise InvalidValue(f"run {run!r} is in a database: pass the graph of build_graph(), not a list of workflows.")
    return await record_of(graph.saver, run, who_acts(context).tenant)


def read_file(path: Path) -> Recording:
    """A recorded history.

    Raises:
        InvalidValue: the file cannot be read, or is none.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return read_recording(lines, name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(
            f"{path} cannot be read ({error}). Make one with `gatepost export ID --replayable`."
        ) from None
