"""An operator's hands on a run: recover it, call it off, try a step again, leave one out.

Invariant: a hand only writes down what is to become of the run, once, with who said it and why; the
gate of the run acts on it, under the lease of whoever moves the run next.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gatepost.checkpointing.open import Checkpointer
from gatepost.checkpointing.orders import Answer
from gatepost.checkpointing.saver import next_nodes
from gatepost.nodes.instructions import SKIPPABLE
from gatepost.nodes.outlook import Outlook, prospects
from gatepost.nodes.visit import Equipment
from gatepost.state.board import Board
from gatepost.state.errors import CallerMistake, NotFound
from gatepost.state.recovery import STANDS, UNFINISHED, Instruction, Mode, refusal
from gatepost.state.status import RUN_PARKED, RunStatus, StepStatus

POLICY = "policy"
"""Who acts where a workflow has said beforehand what is to be done."""
_TO_RETRY = (StepStatus.FAILED, StepStatus.COMPENSATION_FAILED)
_SAID: Mapping[Mode, Instruction] = {Mode.RESUME: "resume", Mode.ROLLBACK: "rollback", Mode.ESCALATE: "escalate"}
_OPEN = UNFINISHED | {RunStatus.FAILED}
"""Runs whose steps an operator may have tried again or left out."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What an operator does to the runs of one tenant.

    Every method raises `NotFound` where the tenant has no such run or the run no such step, and `CallerMistake` where
    they do not stand so that it could be done; it says what to do instead.
    """

    saver: Checkpointer
    equipment: Equipment
    tenant: str
    actor: str
    """Who it is; on record with every act."""

    async def outlook(self, run_id: str, mode: Mode) -> Outlook:
        """What recovering a run would do. Nothing is done."""
        row, board = await self._look(run_id)
        status = _allowed(row, mode)
        found = prospects(mode, board.records.values(), lambda name: self.equipment.catalog.tool(row["workflow"], name))
        if mode is Mode.ESCALATE and not found:
            raise CallerMistake(
                f"run {run_id} cannot be escalated: no step of it has failed for certain, so there is nothing to ask "
                "about. Recover it with --mode resume, or undo what it did with --mode rollback."
            )
        return Outlook(run_id=run_id, status=status, mode=mode, steps=found)

    async def recover(self, run_id: str, mode: Mode, *, why: str = "") -> Answer:
        """Recover a run; see `Mode`."""
        outlook = await self.outlook(run_id, mode)
        if mode is Mode.ABANDON:
            return await self.saver.orders.give("cancel", run_id, self.tenant, actor=self.actor, why=why)
        if mode is Mode.RESUME and outlook.status in RUN_PARKED and not outlook.steps and await self._has_a_way(run_id):
            status = await self.saver.orders.release(run_id, self.tenant, actor=self.actor, why=why)
            return Answer(status, owner=None)
        return await self._instruct(_SAID[mode], run_id, STANDS[mode], why=why)

    async def cancel(self, run_id: str, *, why: str = "") -> Answer:
        """Call a run off; what it did is undone where its workflow says so (`compensate_on`)."""
        row = await self.saver.runs.get(run_id, self.tenant)
        workflow = self.equipment.catalog.named(row["workflow"])
        if RunStatus.CANCELLED in workflow.compensate_on and row["finished_at"] is None and row["seq"]:
            return await self._instruct("cancel", run_id, UNFINISHED, why=why)
        return await self.saver.orders.give("cancel", run_id, self.tenant, actor=self.actor, why=why)

    async def retry(self, run_id: str, step: str, *, why: str = "") -> Answer:
        """Have a step that failed tried again, or an undo that failed: a new call, under a new key."""
        status, planned = await self._step(run_id, step)
        if status is StepStatus.IN_DOUBT:
            raise CallerMistake(
                f"step {step} is in doubt: it may have happened, so it is not tried again. Find out, and say so. "
                "`gatepost effect list --unknown` has its key, `gatepost effect resolve KEY` takes what you found."
            )
        if status not in _TO_RETRY:
            raise CallerMistake(f"step {step} is {status}; only a step that failed, or its undo, is tried again.")
        if status is StepStatus.FAILED and not planned:
            raise CallerMistake(f"step {step} is no part of the plan any more, so it is not tried again.")
        return await self._instruct("retry", run_id, _OPEN, why=why, step=step)

    async def skip(self, run_id: str, step: str, *, why: str = "") -> Answer:
        """Have a step left out that has not happened; what refers to its output is left out with it."""
        status, _ = await self._step(run_id, step)
        if status not in SKIPPABLE:
            raise CallerMistake(
                f"step {step} is {status}; only a step of which nothing has happened is left out "
                f"({', '.join(SKIPPABLE)})."
            )
        return await self._instruct("skip", run_id, _OPEN, why=why, step=step)

    async def _step(self, run_id: str, step: str) -> tuple[StepStatus, bool]:
        """How a step stands, and whether the plan in force has it."""
        row, board = await self._look(run_id)
        if (status := RunStatus(row["status"])) not in _OPEN:
            raise CallerMistake(
                f"run {run_id} has ended ({status}); none of its steps is done any more. "
                f"`gatepost fork {run_id} --at N` starts another run from its past."
            )
        known = {planned.id for planned in board.plan.steps} if board.plan else set()
        if step not in known | board.records.keys():
            raise NotFound(f"run {run_id} has no step {step!r}; it has {', '.join(sorted(known)) or 'none yet'}.")
        undone = {StepStatus.COMPENSATED, StepStatus.COMPENSATING}
        if board.status(step) is not StepStatus.COMPENSATION_FAILED and any(
            record.status in undone for record in board.records.values()
        ):
            raise CallerMistake(f"run {run_id} is being undone, so none of its steps is done. Start another run.")
        return board.status(step), step in known

    async def _look(self, run_id: str) -> tuple[Mapping[str, Any], Board]:
        row = await self.saver.runs.get(run_id, self.tenant)
        self.equipment.catalog.named(row["workflow"])
        board = await self.saver.history.board(run_id, plan_version=row["plan_version"], run_input=row["input"])
        return row, board

    async def _has_a_way(self, run_id: str) -> bool:
        """Whether the graph of a parked run has not come to its end."""
        place = await self.saver.aget_tuple({"configurable": {"thread_id": run_id, "checkpoint_ns": ""}})
        return place is None or bool(next_nodes(place.checkpoint))

    async def _instruct(
        self, instruction: Instruction, run_id: str, stands: frozenset[RunStatus], *, why: str, step: str | None = None
    ) -> Answer:
        return await self.saver.orders.instruct(
            instruction, run_id, self.tenant, stands=stands, actor=self.actor, why=why, step=step
        )


async def recover_given_up(saver: Checkpointer, equipment: Equipment) -> list[str]:
    """Do what workflows say about runs that movers gave up (`on_stranded`), once for each run; gives their ids."""
    policies = {name: found.on_stranded for name, found in equipment.catalog.workflows.items() if found.on_stranded}
    if not policies:
        return []
    recovered = []
    for row in await saver.orders.given_up(policies):
        hands = Hands(saver, equipment, row["tenant"], POLICY)
        with suppress(CallerMistake):  # another worker, or a person, was faster
            await hands.recover(row["run_id"], Mode(policies[row["workflow"]]), why="nobody could move it")
            recovered.append(row["run_id"])
    return recovered


def _allowed(row: Mapping[str, Any], mode: Mode) -> RunStatus:
    status = RunStatus(row["status"])
    if why := refusal(mode, status, row["run_id"]):
        raise CallerMistake(f"run {row['run_id']} is {status}, so it cannot be recovered with --mode {mode}: {why}.")
    return status
