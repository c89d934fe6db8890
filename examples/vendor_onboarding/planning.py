"""The plan of a review: one round of collecting and screening, and one more for each time a person asks.

Deterministic: a plan follows from what people asked and from nothing else. Steps of earlier rounds
keep their ids and arguments, so what they did stays done; the decision rests on the last screening.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from gatepost import Plan, Response, Situation, Step, ref
from gatepost.examples.services import ADDITIONAL_KINDS

DECISION_STEP = "final_decision"
_SPOKEN: Mapping[str, str] = MappingProxyType(
    {
        "soc2_report": "soc ?2",
        "iso27001_certificate": "iso ?27001",
        "data_processing_agreement": r"data processing agreement|dpa\b",
        "insurance_certificate": "insurance",
        "penetration_test_report": "pen(etration)? ?test",
        "subprocessor_list": "sub ?processor",
    }
)
"""How people name the kinds of documents, as regular expressions."""
_QUOTED = 200
"""Characters of a person's text that a plan's reason repeats; all of it is in the run's responses."""


@dataclass(frozen=True, slots=True)
class OnboardingStrategy:
    """Plans the first round, and another one whenever a person asks for more documents."""

    origin: ClassVar[str] = "file"

    def plan(self, situation: Situation) -> Plan | None:
        """The plan for the rounds asked for so far; None when it is in force already."""
        asked = [response for response in situation.responses if response.source == "approval"]
        if situation.plan is not None and decision_rests_on(situation.plan) == screening_of(1 + len(asked)):
            return None
        return plan_for(asked)


def plan_for(asked: Sequence[Response]) -> Plan:
    """The plan after these requests for more documents, oldest first."""
    rounds = 1 + len(asked)
    steps = [_collect(1, args={"vendor": ref("input", "/vendor")}), _screen(1)]
    for number, response in enumerate(asked, start=2):
        kinds = list(kinds_in(response.text))
        steps += [_collect(number, args={"vendor": ref("input", "/vendor"), "kinds": kinds}), _screen(number)]
    return Plan(steps=(*steps, _decide(screening_of(rounds))), reason=_reason(asked))


def kinds_in(text: str) -> tuple[str, ...]:
    """The kinds of documents that a person's text names; when it names none, all that do not come unasked."""
    spoken = " ".join(re.split(r"[\s_-]+", text.casefold()))
    named = (kind for kind, words in _SPOKEN.items() if re.search(rf"\b({words})", spoken))
    return tuple(named) or ADDITIONAL_KINDS


def decision_rests_on(plan: Plan) -> str:
    """The screening that the decision of a plan rests on."""
    return plan.by_id[DECISION_STEP].needs[-1]


def collection_of(number: int) -> str:
    """The step that collects documents in a round."""
    return "docs_collect" if number == 1 else f"docs_collect_{number}"


def screening_of(number: int) -> str:
    """The step that screens them."""
    return "policy_screen" if number == 1 else f"policy_screen_{number}"


def _collect(number: int, *, args: dict[str, object]) -> Step:
    # It needs no screening, though it comes after one: what needs a screening needs a person as well.
    return Step.model_validate({"id": collection_of(number), "tool": "docs_collect", "args": args})


def _screen(number: int) -> Step:
    dossiers = [ref(collection_of(earlier)) for earlier in range(1, number + 1)]
    return Step.model_validate(
        {
            "id": screening_of(number),
            "tool": "policy_screen",
            "args": {"vendor": ref("input", "/vendor"), "dossiers": dossiers},
        }
    )


def _decide(screening: str) -> Step:
    return Step(
        id=DECISION_STEP,
        tool="final_decision",
        args={
            "vendor": ref("input", "/vendor"),
            "decision": ref(screening, "/proposed_decision"),
            "controls": ref(screening, "/proposed_controls"),
            "evidence": ref(screening, "/evidence"),
        },
    )


def _reason(asked: Sequence[Response]) -> str:
    if not asked:
        return ""
    text = " ".join(asked[-1].text.split())
    shown = text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
    return f"more documents asked for by {asked[-1].who}: {shown}"
