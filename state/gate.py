"""Gates: who must answer for an action, how many of them, until when, and what silence means.

Invariant: a gate is declared in code, on a workflow or a tool, and never in a plan: a model writes plans. It says
nothing about whether a person is asked (that is the policy's), and silence is never a yes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, cast, get_args

from pydantic import Field

from gatepost.state.errors import CallerMistake, InvalidValue
from gatepost.state.fact import Fact, facts_of
from gatepost.state.record import Record
from gatepost.state.values import storable_text

OnTimeout: TypeAlias = Literal["reject", "escalate"]
"""`reject`: nobody answered in time, so it does not run. `escalate`: the next in the chain is asked."""
MOST = 100
"""People that a gate can ask for."""


class InvalidGate(CallerMistake):
    """A gate that could not be passed, or that says something else than it seems to."""


class Terms(Record):
    """A gate as plain data, on the approval that was opened under it."""

    roles: tuple[str, ...] = ()
    quorum: int = Field(default=1, ge=1, le=MOST)
    decide_seconds: float | None = None
    on_timeout: OnTimeout = "reject"
    escalate_to: tuple[str, ...] = ()
    act_seconds: float | None = None
    remind_seconds: float | None = None

    def asked(self, level: int) -> tuple[str, ...]:
        """The roles that are asked after so many escalations; none means whoever the policy lets."""
        return self.roles if level == 0 else (self.escalate_to[level - 1],)

    def needed(self, level: int) -> int:
        """How many different people have to say yes; of an escalated role, one."""
        return self.quorum if level == 0 else 1

    def next_asked(self, level: int) -> str | None:
        """Who is asked when the time of this level is up; None: nobody any more."""
        if self.on_timeout != "escalate" or level >= len(self.escalate_to):
            return None
        return self.escalate_to[level]


@dataclass(frozen=True, slots=True)
class Gate:
    """Who must answer for an action, once the policy asks a person.

        Workflow(…, gates={"pay": Gate(roles=("finance",), quorum=2, decide_within=timedelta(days=1),
                                       on_timeout="escalate", escalate_to=("cfo",))})

    Raises:
        InvalidGate: it could not be passed, or says something else than it seems to.
    """

    roles: tuple[str, ...] = ()
    """Whoever holds one of them may answer (`gatepost role grant`). None: whoever the policy lets."""
    quorum: int = 1
    """So many different people have to say yes. One no is a no."""
    decide_within: timedelta | None = None
    """How long they have, from when they are asked; the same again for each escalation."""
    on_timeout: OnTimeout = "reject"
    """What it means when nobody decided in that time."""
    escalate_to: tuple[str, ...] = ()
    """With `on_timeout="escalate"`: roles that are asked then, one after the other. One person of such a role decides;
    those who were asked before may not any more. When the last has not answered, it is a no."""
    act_within: timedelta | None = None
    """How long a yes is good for; an action that would begin later is refused."""
    relies_on: Mapping[str, Fact | timedelta] = field(default_factory=dict, hash=False)
    """Reads, by the names of their tools, that what passes here must rest on, and how old they may be then; a plan
    without them is completed, or refused. Whether a person is asked or not."""
    remind_before: timedelta | None = None
    """How long before the time is up people are reminded, where notices are sent; `timedelta(0)`: not at all. None:
    when a quarter of the time is left, a day at most."""

    @property
    def facts(self) -> Mapping[str, Fact]:
        """What it must rest on."""
        return cast("Mapping[str, Fact]", self.relies_on)

    def __post_init__(self) -> None:
        for name in ("roles", "escalate_to"):
            object.__setattr__(self, name, _roles(getattr(self, name), name))
        object.__setattr__(self, "relies_on", facts_of(self.relies_on, where="Gate"))
        _check_quorum(self.quorum)
        for name in ("decide_within", "act_within"):
            _check_time(getattr(self, name), name)
        _check_reminder(self.remind_before, self.decide_within)
        if self.on_timeout not in get_args(OnTimeout):
            raise InvalidGate(f'Gate(on_timeout={self.on_timeout!r}): write "reject" or "escalate".')
        if (self.on_timeout == "escalate") != bool(self.escalate_to):
            raise InvalidGate(
                'Gate: on_timeout="escalate" and escalate_to=("…",) go together: when the time is up, who is asked?'
            )
        if self.on_timeout == "escalate" and self.decide_within is None:
            raise InvalidGate(
                'Gate: on_timeout="escalate" without decide_within: the time would never be up. '
                "Say how long: decide_within=timedelta(hours=4)."
            )

    def opened(self, now: datetime) -> dict[str, Any]:
        """What a request says that is opened under it now, by the database's clock: `terms` and `decide_by`."""
        until = None if self.decide_within is None else (now + self.decide_within).astimezone(UTC).isoformat()
        return {"terms": self.terms(), "decide_by": until}

    def terms(self) -> Terms:
        """As plain data."""
        return Terms(
            roles=self.roles,
            quorum=self.quorum,
            decide_seconds=None if self.decide_within is None else self.decide_within.total_seconds(),
            on_timeout=self.on_timeout,
            escalate_to=self.escalate_to,
            act_seconds=None if self.act_within is None else self.act_within.total_seconds(),
            remind_seconds=None if self.remind_before is None else self.remind_before.total_seconds(),
        )


def gates_of(value: object, *, workflow: str, tools: Iterable[str], steps: Mapping[str, str]) -> dict[str, Gate]:
    """The gates of a workflow by the name of the tool or step.

    Args:
        value: what was declared.
        workflow: its name, for errors.
        tools: the names of its tools and of what undoes them.
        steps: where the plan is fixed, the tool of each step; a step that a model names has no gate of its own.

    Raises:
        InvalidGate: no mapping of gates, a name that is neither a tool nor such a step, or both of different things.
    """
    if not isinstance(value, Mapping):
        raise InvalidGate(f"workflow {workflow!r}: gates is a {type(value).__name__}. Write gates={{'pay': Gate(…)}}.")
    known = sorted({*tools, *steps})
    for name, gate in value.items():
        if not isinstance(gate, Gate):
            raise InvalidGate(f"workflow {workflow!r}: gates[{name!r}] is {gate!r:.80}. Write Gate(roles=('…',)).")
        if name not in known:
            why = "" if steps else " Only a fixed plan has steps that a gate can name: what a model plans, it names."
            raise InvalidGate(
                f"workflow {workflow!r}: gates names {name!r:.80}, which is no tool{' or step' if steps else ''} of it "
                f"(it has {', '.join(known)}). A gate that guards nothing is a slip.{why}"
            )
        if name in steps and name in tools and steps[name] != name:
            raise InvalidGate(
                f"workflow {workflow!r}: gates names {name!r}, which is a tool, and also a step that calls "
                f"{steps[name]!r}. Give the step another name."
            )
    return dict(value)


def _roles(value: object, name: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidGate(f"Gate({name}={value!r:.80}): write a tuple of roles: {name}=('finance',).")
    found = tuple(value)
    try:
        roles = tuple(storable_text(role, where=f"Gate({name}=…): a role", max_bytes=100) for role in found)
    except InvalidValue as error:
        raise InvalidGate(str(error)) from None
    if len(set(roles)) != len(roles):
        raise InvalidGate(f"Gate({name}={roles}) names a role twice.")
    return roles


def _check_quorum(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise InvalidGate(f"Gate(quorum={value!r:.80}): give a whole number of people, from 1 to {MOST}.")


def _check_time(value: object, name: str) -> None:
    if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
        raise InvalidGate(f"Gate({name}={value!r:.80}): give a timedelta, for example timedelta(hours=4).")


def _check_reminder(before: object, within: timedelta | None) -> None:
    if before is None:
        return
    if not isinstance(before, timedelta) or before < timedelta(0):
        raise InvalidGate(f"Gate(remind_before={before!r:.80}): give a timedelta, for example timedelta(hours=1).")
    if within is None or before >= within:
        raise InvalidGate(
            "Gate: remind_before says how long before the time is up people are reminded, so it needs a longer "
            "decide_within: Gate(decide_within=timedelta(hours=8), remind_before=timedelta(hours=1))."
        )
