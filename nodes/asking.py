"""Asking: what models say to a strategy is written down before anything follows from it."""

from __future__ import annotations

from pydantic import JsonValue

from gatepost.nodes.situation import Model, answer_of
from gatepost.nodes.visit import Visit
from gatepost.state.values import storable


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
        """The answer on record, or the model's, recorded.

        Raises:
            InvalidValue: prompt or answer is no plain data.
        """
        entries, session = self._visit.equipment.entries, self._visit.session
        storable(prompt, where="a prompt")
        self._number += 1
        if entries is None:
            return await answer_of(model, prompt)
        if known := await entries.answer(session, self._version, self._number, prompt):
            return known[0]
        answer = storable(await answer_of(model, prompt), where="the answer of a model")
        await entries.answered(session, self._version, self._number, prompt, answer)
        return answer
