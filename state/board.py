"""The board: a plan and its step records side by side, and which steps are ready.

Pure and incremental: taking a record costs the number of steps that depend on it, so a run of
ten thousand steps costs ten thousand of these and not their square.

Invariant: `ready()` is exactly the pending steps of the plan whose needs are all met, in plan order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from gatepost.state.plan import Plan, Step
from gatepost.state.reference import RUN_INPUT, Unresolvable, parse_ref, point, references, resolve
from gatepost.state.status import STEP_SETTLED, StepStatus
from gatepost.state.step import StepRecord

_MET = frozenset({StepStatus.SUCCEEDED, StepStatus.SKIPPED})


class Board:
    """Where every step of a run stands.

    Args:
        plan: the plan version in force, or None before there is one.
        records: the latest record of each step that has one.
        run_input: what the run was started with; references find it as `input#/…`.
    """

    def __init__(
        self, plan: Plan | None, records: Iterable[StepRecord] = (), *, run_input: Mapping[str, JsonValue] | None = None
    ) -> None:
        self.records: dict[str, StepRecord] = {record.step: record for record in records}
        self.run_input: dict[str, JsonValue] = dict(run_input or {})
        self.plan = plan
        self._shown: dict[str, dict[str, JsonValue]] = {}
        """Recorded steps as readers see them; those in `_unshown` have changed since."""
        self._unshown: dict[str, None] = dict.fromkeys(self.records)
        self._all_shown: dict[str, dict[str, JsonValue]] | None = None
        self._shown_plan: dict[str, JsonValue] | None = None
        self._index()

    def adopt(self, plan: Plan) -> None:
        """Put another plan version in force; what is recorded stays recorded."""
        self.plan = plan
        self._index()

    def take(self, record: StepRecord) -> None:
        """Note what became of a step."""
        before = self.status(record.step)
        self.records.pop(record.step, None)  # so that the last one stands last
        self.records[record.step] = record
        self._unshown[record.step] = None
        if record.step not in self._position:
            return
        self._weigh(record.step)
        if (record.status in STEP_SETTLED) != (before in STEP_SETTLED):
            self._unsettled += 1 if before in STEP_SETTLED else -1
        if (record.status in _MET) != (before in _MET):
            for dependent in self._dependents.get(record.step, ()):
                self._unmet[dependent] += 1 if before in _MET else -1
                self._weigh(dependent)

    def status(self, step: str) -> StepStatus:
        """The status of a step; pending when nothing is recorded."""
        record = self.records.get(step)
        return record.status if record else StepStatus.PENDING

    def record(self, step: str) -> StepRecord:
        """The latest record of a step; a pending one when there is none yet."""
        if step in self.records:
            return self.records[step]
        return StepRecord(step=step, tool=self.step(step).tool, plan_version=self.plan.version if self.plan else 1)

    def step(self, step: str) -> Step:
        """The step as planned.

        Raises:
            KeyError: the plan in force does not have it.
        """
        if self.plan is None:
            raise KeyError(step)
        return self.plan.by_id[step]

    def shown(self) -> dict[str, dict[str, JsonValue]]:
        """Every step as plain data, those not yet recorded as pending; each is made once, however often it is shown."""
        changed = {step: shown(self.records[step]) for step in self._unshown}
        self._unshown.clear()
        self._shown.update(changed)
        if self._all_shown is None:
            self._all_shown = {**(pending(self.plan) if self.plan else {}), **self._shown}
        self._all_shown.update(changed)
        return self._all_shown.copy()

    def shown_plan(self) -> dict[str, JsonValue] | None:
        """The plan in force as plain data, made once."""
        if self._shown_plan is None and self.plan is not None:
            self._shown_plan = self.plan.plain()
        return self._shown_plan

    def ready(self) -> list[Step]:
        """Pending steps whose needs are met, in plan order."""
        if self.plan is None:
            return []
        return [self.plan.by_id[step] for step in sorted(self._ready, key=self._position.__getitem__)]

    def judged(self) -> list[Step]:
        """Steps judged before their turn, in plan order."""
        return (
            [self.plan.by_id[step] for step in sorted(self._judged, key=self._position.__getitem__)]
            if self.plan
            else []
        )

    def only_judged(self) -> Step | None:
        """The one step whose turn it is, if it was judged beforehand and is the only one."""
        due = [step for step in self._judged if not self._unmet[step]]
        if self.plan is None or len(due) != 1 or self._ready:
            return None
        return self.plan.by_id[due[0]]

    def next_alone(self, before: str, foreseen: set[str]) -> Step | None:
        """The one step whose turn comes with the end of `before`, once all that is foreseen has succeeded."""
        due = [
            step
            for step in self._dependents.get(before, ())
            if self.status(step) is StepStatus.PENDING
            and all(need in foreseen or self.status(need) in _MET for need in self.step(step).needs)
        ]
        return self.step(due[0]) if len(due) == 1 and not self._ready else None

    def is_due(self, step: str) -> bool:
        """Whether everything that a step of the plan needs is done with."""
        return not self._unmet[step]

    def waiting_for(self, step: str) -> list[Step]:
        """The steps of the plan that need this one directly."""
        return [self.step(one) for one in self._dependents.get(step, ())]

    def place(self, step: str) -> int:
        """Where a step stands in the plan."""
        return self._position[step]

    @property
    def settled(self) -> bool:
        """Every step of the plan has come to an end."""
        return self._unsettled == 0

    def output(self, step: str) -> JsonValue:
        """The output of a step, or the run's input under `input`.

        Raises:
            Unresolvable: the step has not succeeded.
        """
        if step == RUN_INPUT:
            return dict(self.run_input)
        record = self.records.get(step)
        if record is None or record.status is not StepStatus.SUCCEEDED:
            raise Unresolvable(f"step {step!r} has no output ({self.status(step)})")
        return record.output

    def arguments(self, step: Step) -> dict[str, JsonValue]:
        """The step's arguments with every reference resolved.

        Raises:
            Unresolvable: a reference leads nowhere.
        """
        resolved = resolve(dict(step.args), self.output)
        assert isinstance(resolved, dict)
        return resolved

    def skip_reason(self, step: Step) -> str | None:
        """Why a ready step need not run: its condition does not hold, or its input was skipped."""
        for text in references(dict(step.args)):
            source, _ = parse_ref(text)
            if source != RUN_INPUT and self.status(source) is StepStatus.SKIPPED:
                return f"{source} was skipped"
        if step.when is None:
            return None
        return None if _holds(step, self) else f"condition on {step.when.ref} does not hold"

    def demands(self, step: Step) -> list[str]:
        """Reasons why findings of the steps it needs demand an approval of it."""
        found = [self.records[need] for need in step.needs if need in self.records]
        return [f"{record.step}: {record.needs_approval}" for record in found if record.needs_approval]

    def _index(self) -> None:
        steps = self.plan.steps if self.plan else ()
        self._all_shown, self._shown_plan = None, None
        self._position = {step.id: index for index, step in enumerate(steps)}
        self._dependents: dict[str, list[str]] = {}
        self._unmet: dict[str, int] = {}
        self._ready: set[str] = set()
        self._judged: set[str] = set()
        self._unsettled = 0
        for step in steps:
            self._unmet[step.id] = sum(self.status(need) not in _MET for need in step.needs)
            for need in step.needs:
                self._dependents.setdefault(need, []).append(step.id)
            self._unsettled += self.status(step.id) not in STEP_SETTLED
            self._weigh(step.id)

    def _weigh(self, step: str) -> None:
        """A step may become pending again (its approval was voided), and a need may be undone: both ways, then."""
        status = self.status(step)
        if not self._unmet[step] and status is StepStatus.PENDING:
            self._ready.add(step)
        else:
            self._ready.discard(step)
        if status is StepStatus.READY:
            self._judged.add(step)
        else:
            self._judged.discard(step)


def shown(record: StepRecord) -> dict[str, JsonValue]:
    """A step as readers see it."""
    return {**record.plain(), "status": record.status.value}


def pending(plan: Plan) -> dict[str, dict[str, JsonValue]]:
    """Every step of a plan as readers see it before anything is recorded of it."""
    return {step.id: unrecorded(step.tool) for step in plan.steps}


def unrecorded(tool: str) -> dict[str, JsonValue]:
    """A step as readers see it before anything is recorded of it."""
    return {"status": StepStatus.PENDING.value, "tool": tool}


def _holds(step: Step, board: Board) -> bool:
    condition = step.when
    assert condition is not None
    try:
        found = point(condition.ref, board.output)
    except Unresolvable:
        return condition.op == "differs"
    if condition.op == "present":
        return found is not None
    if condition.op == "in":
        return isinstance(condition.value, list) and found in condition.value
    return (found == condition.value) == (condition.op == "equals")
