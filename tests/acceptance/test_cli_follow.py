"""Following a run: whoever reads it, however late and in however small pieces, prints the log that was printed live."""

from __future__ import annotations

import pytest

from gatepost import (
    Artifact,
    Checkpointer,
    Conclusion,
    Decision,
    EffectContext,
    Ending,
    Plan,
    RunContext,
    Situation,
    Step,
    Workflow,
    tool,
)
from gatepost.service import drive
from gatepost.testing.plugin import GraphFactory

ANSWERS = ("first", "second")


@tool(effect="read")
def look() -> str:
    """Look."""
    return "seen"


@tool(effect="write", on_doubt="retry", label="word")
def act(ctx: EffectContext) -> dict[str, str]:
    """Act."""
    return {"word": "acted"}


class Persuaded:
    """Plans anew with every answer: another look, and the same act behind it under another name."""

    def plan(self, situation: Situation) -> Plan | None:
        """The plan after so many answers."""
        number = len(situation.responses)
        if situation.plan is not None and situation.plan.version == 1 + number:
            return None
        looks = tuple(Step(id=f"look_{n}", tool="look") for n in range(number + 1))
        reason = situation.responses[-1].text if number else ""
        return Plan(steps=(*looks, Step(id=f"act_{number}", tool="act", needs=(looks[-1].id,))), reason=reason)


WORKFLOW = Workflow(
    name="persuaded",
    goals=("act",),
    strategy=Persuaded(),
    tools=(look, act),
    conclude=lambda ending: Conclusion(artifacts=(Artifact(name="said.json", content=f'"{_words(ending)}"'),)),
)
LOG = [
    "[workflow] id=r1 started",
    "[step] look_0=ok",
    "[step] act_0=blocked(no policy lets act (write) run unattended)",
    "[resume] response_received",
    "[plan] v2 (first)",
    "[step] look_1=ok",
    "[step] act_1=blocked(no policy lets act (write) run unattended)",
    "[resume] response_received",
    "[plan] v3 (second)",
    "[step] look_2=ok",
    "[step] act_2=blocked(no policy lets act (write) run unattended)",
    "[resume] approval_received",
    "[step] act_2=acted",
    "[artifact] said.json",
]


def _words(ending: Ending) -> str:
    return str(ending.status)


@pytest.fixture
def printed(checkpointer: Checkpointer, gatepost_graph: GraphFactory) -> list[str]:
    """What was printed while the run went on, in three entries."""
    graph = gatepost_graph([WORKFLOW])
    lines: list[str] = []

    def enter(goal: dict[str, str] | None) -> drive.Whereabouts:
        who = RunContext(principal="ada")
        moved = drive.drive(graph, goal, "r1", context=who, emit=lines.append, busy=lambda _: None)
        return checkpointer.bridge.run(moved)

    standing = enter({"goal": "act"})
    for text in ANSWERS:
        graph.decide(Decision.model_validate(standing.approvals[0].respond(text, by="alice")))
        standing = enter(None)
    graph.decide(Decision.model_validate(standing.approvals[0].approve(by="alice")))
    enter(None)
    return lines


def test_live_log(printed: list[str]) -> None:
    assert printed == LOG


@pytest.mark.parametrize("page", [1, 2, 5, 500])
def test_followed_afterwards_in_pages_it_is_the_same_log(
    printed: list[str], checkpointer: Checkpointer, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(drive, "PAGE", page)
    followed: list[str] = []
    follower = drive.Follower(checkpointer, "r1", "local", followed.append)
    checkpointer.bridge.run(follower.look())
    assert followed == printed
    checkpointer.bridge.run(follower.look())
    assert followed == printed, "what was seen is printed again"
