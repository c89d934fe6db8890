"""Caution: where a run is judged more strictly than the policy says. Pure."""

from __future__ import annotations

from dataclasses import replace

from gatepost.nodes.policy import Judgement, Verdict
from gatepost.state.effect import EffectClass

FIRES = "this is a fork that fires effects; each needs an approval of its own"


def cautious(judgement: Judgement, *, fork_effects: str | None, effect: EffectClass) -> Judgement:
    """In a fork that fires, nothing with an effect runs unattended, whatever the policy says."""
    fires = fork_effects == "fire" and effect is not EffectClass.READ
    if fires and judgement.verdict is Verdict.RUN:
        return replace(judgement, verdict=Verdict.ASK, reasons=(FIRES,))
    return judgement
