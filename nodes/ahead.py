"""Going ahead: where one step runs alone, the gate judges the steps that follow it one by one, and the
executor goes straight on to the next of them.

Invariant: nothing else changes. The next step's exact arguments were judged, its key was minted and
checkpointed by an earlier superstep, and the executor checks its authority anew. Two steps that
could run at once always meet in the gate, and so does everything that did not go as foreseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.nodes.draft import dispatched
from gatepost.nodes.foretelling import foretell
from gatepost.nodes.judging import Judging
from gatepost.nodes.policy import Verdict
from gatepost.nodes.tool import InvalidArguments
from gatepost.nodes.visit import Visit
from gatepost.state.effect import fingerprint_of, key_of
from gatepost.state.errors import InvalidValue
from gatepost.state.plan import Step
from gatepost.state.reference import Unresolvable
from gatepost.state.status import StepStatus
from gatepost.state.step import StepRecord

LOOK_AHEAD = 16
"""Steps judged beforehand in one visit: enough that the gate's own superstep hardly counts, few enough
that a checkpoint stays small and little is judged in vain."""


def look_ahead(gate: Judging) -> None:
    """Judge the steps that follow the only running one, as far as each is certain to be the only next."""
    running = [entry for entry in gate.frontier.values() if entry["status"] == StepStatus.RUNNING]
    if len(running) != 1 or gate.ending is not None or gate.planning is not None:
        return
    before = running[0]["step"]
    foreseen = {before}
    for _ in range(LOOK_AHEAD):
        step = gate.visit.board.next_alone(before, foreseen)
        if step is None or not _judged(gate, step):
            break
        before = step.id
        foreseen.add(before)
    running[0]["alone"] = len(foreseen) > 1


def onward(visit: Visit, task: Mapping[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """What the executor leaves behind: its step's outcome, and the next step where that was judged already."""
    step_id = task["step"]
    succeeded = visit.board.status(step_id) is StepStatus.SUCCEEDED
    if not task.get("alone") or not succeeded or "signals" in update:
        return update
    step = visit.board.only_judged()
    if step is None or visit.board.demands(step):
        return update
    now = visit.session.now.isoformat()
    record = visit.board.record(step.id).to(StepStatus.RUNNING, now=now)
    visit.session.stage_step(visit.task, record)
    _foretell(visit, step, record)
    return {
        "frontier": {step_id: None, step.id: {**dispatched(record, now), "alone": True}},
        "counters": {StepStatus.SUCCEEDED.value: 1},
    }


def _foretell(visit: Visit, step: Step, record: StepRecord) -> None:
    """Announce the next step with this one's result, where this owner judged it and so knows its arguments."""
    fingerprint, args = visit.session.foreseen.pop(step.id, ("", {}))
    if fingerprint == record.fingerprint:
        foretell(visit, step, visit.tool(step.tool), args, record)


def _judged(gate: Judging, step: Step) -> bool:
    """Whether the policy lets the step run with arguments that are known already; if so it is noted."""
    visit = gate.visit
    if step.when is not None or step.relies_on or step.id in gate.frontier or visit.board.skip_reason(step) is not None:
        return False
    tool = visit.tool(step.tool)
    try:
        args = tool.normalise(visit.board.arguments(step))
    except (Unresolvable, InvalidArguments, InvalidValue):
        return False
    if tool.cost_of(args) or visit.policy.timed:
        return False  # what it costs, and when it runs, is known when it is its turn
    judgement = gate.judged(step, tool, args)
    if judgement.verdict is not Verdict.RUN:
        return False
    run = visit.session.run
    version = visit.board.plan.version if visit.board.plan else 1
    record = visit.board.record(step.id).model_copy(update={"plan_version": version, "tool": step.tool})
    fingerprint = fingerprint_of(tool.name, args)
    visit.session.foreseen[step.id] = (fingerprint, args)
    visit.session.stage_step(
        visit.task,
        record.to(
            StepStatus.READY,
            key=key_of(tenant=run.tenant, root_run=run.root_run_id, step=step.id, generation=record.generation),
            fingerprint=fingerprint,
            policies=judgement.policies,
            spent=gate.spent,
        ),
    )
    return True
