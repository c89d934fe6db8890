"""Every error that Gatepost raises, in one tree.

    GatepostError
    ├── CallerMistake          what was asked cannot be done as asked; nothing was changed
    │   ├── InvalidValue           a value that Postgres or JSON cannot hold faithfully
    │   ├── InvalidPlan            a plan that could not run to its end
    │   ├── InvalidDecision        an answer of the wrong shape, or to the wrong question
    │   ├── UnknownGoal            no workflow is known for the goal
    │   ├── NotFound               nothing has this id, or this name
    │   │   ├── UnknownRun             no run
    │   │   ├── UnknownApproval        no approval
    │   │   ├── UnknownEffect          no effect
    │   │   └── UnknownKey             no key of the service
    │   ├── UnknownVersion         a record from another time
    │   ├── RunExists              the id is taken by a run with another goal or input
    │   ├── RunOnHold              an operator stopped the run, and nobody has released it
    │   ├── DoorClosed             a LangGraph door that would go round the gate
    │   └── AlreadyDecided         another answer is recorded, and stands
    ├── RetryableFault         the same call may work later
    │   ├── RunOwned               another owner moves the run
    │   └── DatabaseUnavailable    Postgres cannot be reached or used
    └── LostRun                control: the lease is gone; stop, write nothing
        └── NotHeld                the graph was entered without its doors

Messages name the cause first and the next step last. Errors are stored and sent between
processes, so they pickle: every subclass takes plain values.
"""

from __future__ import annotations


class GatepostError(Exception):
    """Base of every error that Gatepost raises on purpose."""


class CallerMistake(GatepostError):
    """What was asked cannot be done as asked. Nothing was changed; ask differently."""


class InvalidValue(CallerMistake):
    """A value that Postgres or JSON cannot hold faithfully, refused where it entered."""


class InvalidPlan(CallerMistake):
    """A plan that could not run to its end: a cycle, an unknown tool, a dangling need."""


class InvalidDecision(CallerMistake):
    """An answer of the wrong shape, unaddressed, or not allowed for this approval."""


class UnknownGoal(CallerMistake):
    """No workflow is known for the goal. The message lists the goals that are known."""


class NotFound(CallerMistake):
    """Nothing has this id or name (or it belongs to somebody else, which reads the same)."""


class UnknownRun(NotFound):
    """No run has this id (or it belongs to somebody else, which reads the same)."""


class UnknownApproval(NotFound):
    """No approval has this id (or it belongs to somebody else, which reads the same)."""


class UnknownEffect(NotFound):
    """No effect has this key (or it belongs to somebody else, which reads the same)."""


class UnknownKey(NotFound):
    """No key of the service has this id (or it belongs to somebody else, which reads the same)."""


class UnknownVersion(CallerMistake):
    """A record written under a schema version that this release does not read."""


class RunExists(CallerMistake):
    """The run id is taken by a run with another goal or another input."""


class RunOnHold(CallerMistake):
    """An operator stopped the run: nothing moves it until somebody releases it."""


class DoorClosed(CallerMistake):
    """A LangGraph door that would lead round the gate, or wedge the run."""


class AlreadyDecided(CallerMistake):
    """Another answer is recorded for the approval, and stands.

    Args:
        message: what is recorded, by whom and when.
        recorded: the recorded decision as plain data.
    """

    def __init__(self, message: str, recorded: dict[str, object] | None = None) -> None:
        super().__init__(message, recorded)
        self.recorded = recorded or {}

    def __str__(self) -> str:
        return str(self.args[0])


class RetryableFault(GatepostError):
    """The same call may work later."""


class RunOwned(RetryableFault):
    """Another owner moves the run; the message names it and until when."""


class DatabaseUnavailable(RetryableFault):
    """Postgres cannot be reached, started or used; the message names the cause and the cure.

    Args:
        message: cause and cure.
        passing: a connection broke, or none was free: the same call may work in a moment.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class LostRun(GatepostError):
    """The lease on the run is gone: another owner moves it now. Stop; nothing more is written."""


class NotHeld(LostRun):
    """The graph was entered without the doors that hold the run's lease (a raw compile, another saver)."""
