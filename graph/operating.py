"""Operating: an operator's hands, as methods of the compiled graph."""

from __future__ import annotations

from gatepost.checkpointing.orders import Answer
from gatepost.graph.context import RunContext, who_acts
from gatepost.graph.holding import HoldingGraph
from gatepost.graph.recovery import Hands
from gatepost.nodes.outlook import Outlook
from gatepost.state.errors import InvalidValue
from gatepost.state.recovery import Mode


class OperatingGraph(HoldingGraph):
    """The part of the compiled graph for operators. What they order is done by whoever moves the run next."""

    def hands(self, by: str, *, context: RunContext | None = None) -> Hands:
        """The hands of a named operator: recover, cancel, retry and skip, as coroutines.

        Raises:
            InvalidValue: nobody is named.
        """
        if not by.strip():
            raise InvalidValue("an operator is named: by='olga'. It is on record with what is done.")
        return Hands(self.saver, self.equipment, who_acts(context).tenant, by)

    def outlook(self, run_id: str, mode: str, *, context: RunContext | None = None) -> Outlook:
        """What recovering a run would do, step by step. Nothing is done.

        Args:
            run_id: the run.
            mode: `resume`, `rollback`, `escalate` or `abandon`.
            context: whose run it is.

        Raises:
            CallerMistake: it cannot be recovered so; says why, and how else.
        """
        return self.saver.bridge.run(self.hands("nobody", context=context).outlook(run_id, mode_of(mode)))

    def recover(
        self, run_id: str, mode: str, *, by: str, reason: str = "", context: RunContext | None = None
    ) -> Answer:
        """Recover a run that does not go on as it should: see `outlook` for what that does.

        Raises:
            CallerMistake: it cannot be recovered so; says why, and how else.
        """
        return self.saver.bridge.run(self.hands(by, context=context).recover(run_id, mode_of(mode), why=reason))

    def cancel(self, run_id: str, *, by: str, reason: str = "", context: RunContext | None = None) -> Answer:
        """Call a run off. What it did is undone where its workflow says so (`compensate_on`)."""
        return self.saver.bridge.run(self.hands(by, context=context).cancel(run_id, why=reason))

    def retry_step(
        self, run_id: str, step: str, *, by: str, reason: str = "", context: RunContext | None = None
    ) -> Answer:
        """Have a step that failed tried again, or its undo: as a new call, under a new key."""
        return self.saver.bridge.run(self.hands(by, context=context).retry(run_id, step, why=reason))

    def skip_step(
        self, run_id: str, step: str, *, by: str, reason: str = "", context: RunContext | None = None
    ) -> Answer:
        """Have a step left out that has not happened."""
        return self.saver.bridge.run(self.hands(by, context=context).skip(run_id, step, why=reason))


def mode_of(text: str) -> Mode:
    """The mode of a name.

    Raises:
        InvalidValue: there is none.
    """
    try:
        return Mode(text)
    except ValueError:
        raise InvalidValue(f"{text!r:.40} is no way to recover a run. There are {', '.join(Mode)}.") from None
