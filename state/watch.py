"""Watching: how metrics and traces learn what happens, without anything that runs knowing of them.

Invariant: a watcher is told and never asked. One that fails is left out of that moment, and what it
watches goes on as if it were not there. Where nobody watches, nothing is done at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["run", "step", "call", "decision"]
"""`run`: it is moved, from when it is held until it is let go. `step`: one call through the effect protocol, its undo
too. `call`: one attempt at it. `decision`: somebody answers."""
_LOG = logging.getLogger("gatepost.watch")


@dataclass(slots=True, eq=False)
class Act:
    """Something that happens."""

    kind: Kind
    run: Any
    """The run's row (`checkpointing.session.RunRow`)."""
    name: str
    """Of the workflow, the step, the tool."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Ids and the like: for a trace, never for a label."""
    parent: Act | None = None
    outcome: str = ""
    """How it ended; known at its end."""
    error: str = ""
    """The class of what went wrong, if something did."""
    seconds: float = 0.0
    """How long it took."""
    kept: dict[int, Any] = field(default_factory=dict)
    """What a watcher keeps until the end, by its `id()`."""


class Watcher(Protocol):
    """Who is told."""

    def begins(self, act: Act) -> None:
        """Something begins."""
        ...

    def ends(self, act: Act) -> None:
        """It has ended."""
        ...

    def claims(self, row: Mapping[str, Any]) -> None:
        """A worker has claimed a run; its row."""
        ...

    def admits(self, run_id: str, tenant: str, workflow: str) -> str | None:
        """A run is about to be written down; the context of its trace (W3C `traceparent`), to be written with it."""
        ...


_current: ContextVar[Act | None] = ContextVar("gatepost_act", default=None)


def current() -> Act | None:
    """The step that is under way here."""
    return _current.get()


@contextmanager
def watched(watchers: Sequence[Watcher], act: Act, *, inside: bool = True) -> Iterator[Act]:
    """Tell the watchers of what the block does.

    Args:
        watchers: who is told.
        act: what it is; the block says on it how it ended.
        inside: what begins within the block belongs to it. Not for a block that may end in another task.
    """
    if not watchers:
        yield act
        return
    begun = time.monotonic()
    _tell(watchers, "begins", act)
    token = _current.set(act) if inside else None
    try:
        yield act
    except BaseException as error:
        act.error = act.error or type(error).__name__
        raise
    finally:
        if token is not None:
            _current.reset(token)
        act.seconds = time.monotonic() - begun
        _tell(watchers[::-1], "ends", act)


def carried(watchers: Sequence[Watcher], run_id: str, tenant: str, workflow: str) -> str | None:
    """The context of the trace that a new run belongs to, if somebody traces."""
    for watcher in watchers:
        try:
            if (found := watcher.admits(run_id, tenant, workflow)) is not None:
                return found
        except Exception:  # noqa: BLE001 (whatever it is, the run goes on)
            _LOG.exception("a watcher failed; what it watches is not touched")
    return None


def claimed(watchers: Sequence[Watcher], row: Mapping[str, Any]) -> None:
    """Tell the watchers that a worker has claimed a run."""
    _tell(watchers, "claims", row)


def _tell(watchers: Sequence[Watcher], what: Literal["begins", "ends", "claims"], of: Any) -> None:
    for watcher in watchers:
        try:
            getattr(watcher, what)(of)
        except Exception:  # noqa: BLE001 (whatever it is, the run goes on)
            _LOG.exception("a watcher failed; what it watches is not touched")
