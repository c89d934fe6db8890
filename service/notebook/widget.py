"""The stepper as a widget of Jupyter: what is drawn asks for what it shows, over the widget's own channel."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext
from gatepost.service.notebook.stepper import Stepper
from gatepost.state.errors import CallerMistake

_ROOM = files("gatepost.service")


class StepperWidget(Stepper, anywidget.AnyWidget):
    """A run that is stepped through. `at` is the transition that is shown; setting it steps there."""

    _esm = _ROOM.joinpath("notebook", "stepper.js").read_text(encoding="utf-8")
    _css = _ROOM.joinpath("notebook", "stepper.css").read_text(encoding="utf-8")
    run: Any = traitlets.Dict().tag(sync=True)
    at: Any = traitlets.Int().tag(sync=True)

    def __init__(
        self, graph: GatepostGraph, run: str, *, at: int | None = None, context: RunContext | None = None
    ) -> None:
        Stepper.__init__(self, graph, run, context)
        self.at = self.run["last"] if at is None else at
        anywidget.AnyWidget.__init__(self)  # after it has something to show: this opens its channel with all of it
        self.on_msg(self._asked)

    @traitlets.validate("at")
    def _in_the_run(self, proposal: Any) -> int:
        wanted, first, last = proposal["value"], self.run.get("first", 0), self.run.get("last", 0)
        return int(max(first, min(last, wanted)))

    def _asked(self, _: Any, asked: Any, __: Any) -> None:
        """Answer; what cannot be answered is said where it was asked."""
        number = asked.get("id") if isinstance(asked, Mapping) else None
        try:
            answer = self.answer(asked)
        except CallerMistake as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001 (a lost database is to be seen in the notebook, not in its log)
            answer = {"error": f"{type(error).__name__}: {error}"}
        if "head" in answer:
            self.run = answer["head"]
        self.send({"id": number, **answer})

    def _repr_mimebundle_(self, **_: Any) -> Any:
        drawn = anywidget.AnyWidget._repr_mimebundle_(self)
        data, more = drawn if drawn is not None else ({}, {})
        return {**data, "text/plain": repr(self), "text/html": self.html()}, more

    def __repr__(self) -> str:
        return Stepper.__repr__(self)
