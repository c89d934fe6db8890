"""The stepper: steps through the checkpoints of a run in Jupyter, shows their state, and compares any two.

A widget where anywidget is installed (the extra `notebook`); everywhere else, and wherever a notebook is shown without
its kernel, the same as HTML that needs no script.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.graph.difference import Change, difference
from gatepost.service.notebook import static
from gatepost.service.notebook.reading import Reading


class Stepper:
    """A run that is stepped through. As the value of a cell it is drawn; `at` and `state` serve the next cells.

    It reads and writes nothing. Its methods work in a running event loop, as Jupyter's, and without one.
    """

    def __init__(self, graph: GatepostGraph, run: str, context: RunContext | None) -> None:
        self._wait = graph.saver.bridge.run
        self._reading = Reading(graph, run, context)
        self.run: dict[str, Any] = self._wait(self._reading.head())

    def state(self, at: int) -> Mapping[str, Any]:
        """The state that a transition left, plan and steps joined in.

        Raises:
            InvalidValue: there is no such transition, or no state of it was kept.
        """
        return self._wait(self._reading.values(at))

    def compare(self, before: int, after: int) -> list[Change]:
        """What is another in the state of one transition than in that of another."""
        return difference(self.state(before), self.state(after))

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the drawn stepper asks for.

        Raises:
            InvalidValue: it asks for what there is not.
        """
        return self._wait(self._reading.answer(asked))

    def html(self, steps: int = static.STEPS) -> str:
        """The newest transitions as HTML without scripts: what nbconvert and GitHub show."""
        return self._wait(self._html(steps))

    async def _html(self, steps: int) -> str:
        story = await self._reading.transitions(limit=steps)
        kept = sum(one.checkpoint_id is not None for one in story)
        states = await self._reading.newest(kept + 1)  # and the one before the first
        return static.page(await self._reading.head(), story, states, group=f"gatepost-{secrets.token_hex(4)}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def __repr__(self) -> str:
        return f"<stepper of run {self.run['run']}: {self.run['status']}, {self.run['last']} transitions>"


def stepper(
    graph: GatepostGraph,
    run: str,
    *,
    at: int | None = None,
    widget: bool | None = None,
    context: RunContext | None = None,
) -> Stepper:
    """Step through the checkpoints of a run in a notebook: `stepper(graph, run_id)` as the value of a cell.

    Args:
        graph: where the run is.
        run: its id.
        at: the transition to show first; else the last.
        widget: False for HTML without scripts; by default it is a widget where anywidget is installed.
        context: for whom it is read.

    Raises:
        UnknownRun: the tenant has no such run.
        ModuleNotFoundError: `widget=True`, and anywidget is not installed.
    """
    if widget is None:
        widget = find_spec("anywidget") is not None
    if not widget:
        return Stepper(graph, run, context)
    try:
        from gatepost.service.notebook.widget import StepperWidget
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the widget needs {error.name}, which is not installed. Install it: pip install 'gatepost[notebook]'."
        ) from None
    return StepperWidget(graph, run, at=at, context=context)
