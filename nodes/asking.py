"""Asking: what models say to a strategy is written down before anything follows from it."""

from __future__ import annotations

from pydantic import JsonValue

from gatepost.nodes.situation import Model, answer_of
from gatepost.nodes.visit import Visit
from gatepost.state.values import storable


class NotAsked(Exception):
    """A fork that calls nobody was about to ask a model what nobody asked before."""


class Asking:
    """The questions of one visit of the planner, counted.

    Args:
        visit: the held run.
        version: of the plan that is being made.
    """

    def __init__(self, visit: Visit, version: int) -> None:
        self._visit = visit
        self._version = version
        self._number = 0

    async def ask(self, prompt: JsonValue, model: Model) -> JsonValue:
        """The answer on record, or the model's, recorded. A fork that does not fire asks nobody: it has its parents'.

        Raises:
            InvalidValue: prompt or answer is no plain data.
            NotAsked: nobody asked this in the runs that this fork comes from.
        """
        entries, session = self._visit.equipment.entries, self._visit.session
        storable(prompt, where="a prompt")
        self._number += 1
        if entries is None:
            return await answer_of(model, prompt)
        if known := await entries.answer(session, self._version, self._number, prompt):
            return known[0]
        answer = storable(await self._answer(prompt, model), where="the answer of a model")
        await entries.answered(session, self._version, self._number, prompt, answer)
        return answer

    async def _answer(self, prompt: JsonValue, model: Model) -> JsonValue:
        run, entries = self._visit.session.run, self._visit.equipment.entries
        if run.fork_effects in (None, "fire"):
            return await answer_of(model, prompt)
        assert entries is not None
        alike = run.fork_effects == "dry-run"
        known = await entries.inherited(self._visit.session, self._version, self._number, prompt, alike=alike)
        if not known:
            raise not_asked(run.parent_run_id)
        return known[0]


def not_asked(parent: str | None) -> NotAsked:
    """What a fork says that was about to ask what nobody asked in its parent."""
    return NotAsked(
        f"not asked in this fork: no model was asked this in run {parent}. Fork it with --effects fire to ask."
    )
