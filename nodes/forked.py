"""Forked: what a call is in a run that was forked from another.

Invariant: unless the fork fires effects, nothing is called, reads included: a call with a recorded
result is that result, marked as inherited, and any other one is not made. A fork that fires makes
effects under keys of its own, each under an approval of its own, and never one whose twin in the
parent may have happened without anybody knowing.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from gatepost.checkpointing.effect_rows import Intent
from gatepost.checkpointing.forks import Inherited
from gatepost.nodes.outcome import Outcome, failed, succeeded
from gatepost.nodes.tool import AnyTool, InvalidResult
from gatepost.nodes.visit import Visit
from gatepost.state.effect import key_of
from gatepost.state.errors import InvalidValue
from gatepost.state.step import Failure

_DRY = "dry run:"
"""How the reason of a result begins that was got for other arguments; no fork passes it on as more than that."""


async def in_a_fork(visit: Visit, tool: AnyTool, intent: Intent) -> Outcome | None:
    """How a call of a fork ends without being made; None: it is made."""
    run, forks = visit.session.run, visit.equipment.forks
    if run.fork_effects is None:
        return None
    if forks is None:
        return _not_made("what its parent did cannot be looked up here")
    if run.fork_effects == "fire":
        if intent.purpose != "run" and not _made_here(visit, intent):
            return _not_made(f"{tool.name} would undo what run {run.parent_run_id} did")
        key = await forks.unknown(run, step=intent.step, purpose=intent.purpose, fingerprint=intent.fingerprint)
        return None if key is None else _not_made(f"whether {tool.name} happened under key {key} is not known yet")
    if intent.purpose != "run":
        return _not_made(f"{tool.name} would undo what run {run.parent_run_id} did")
    known = await forks.inherited(run, step=intent.step, tool=tool.name, fingerprint=intent.fingerprint)
    if known is None:
        return _not_made(f"step {intent.step} has never succeeded in run {run.parent_run_id}")
    if known.record.fingerprint == intent.fingerprint and not known.record.reason.startswith(_DRY):
        return _result(tool, known, note=f"inherited from run {known.run_id} (key {known.record.key})")
    if run.fork_effects == "dry-run":
        return _result(tool, known, note=f"{_DRY} the result that run {known.run_id} got for other arguments")
    return _not_made(f"run {known.run_id} called {tool.name} with other arguments")


def _made_here(visit: Visit, intent: Intent) -> bool:
    """Whether the effect that is undone was made by this run: then its key is one of this run's."""
    run, record = visit.session.run, visit.board.record(intent.step)
    own = key_of(
        tenant=run.tenant, root_run=run.root_run_id, step=intent.step, purpose="run", generation=record.generation
    )
    return record.key == own


def _result(tool: AnyTool, known: Inherited, *, note: str) -> Outcome:
    try:
        return replace(succeeded(tool, known.record.output), note=note)
    except (InvalidResult, InvalidValue, ValidationError) as error:
        return failed(Failure(kind="validation", message=f"the result of run {known.run_id} is refused now: {error}"))


def _not_made(why: str) -> Outcome:
    cure = "Fork it with --effects fire to make the call, or say what it returned: --set steps.STEP.output=…"
    return failed(Failure(kind="policy_denied", message=f"not called in this fork: {why}. {cure}"))
