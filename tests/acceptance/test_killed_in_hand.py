"""Tries to get a thing done twice, undone twice or left half undone by SIGKILL while an operator has a run rolled back,
a step of it tried again, or the run called off. The other side counts, as in the crash matrix.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.acceptance.crash_hands import POLICY
from tests.acceptance.crash_provider import Provider, providing
from tests.acceptance.crash_workflows import URL

from gatepost.testing import Database, Killed, Script, assert_survived, kill_everywhere

ROOT = Path(__file__).parents[2]
MODULE = "tests.acceptance.crash_hands"
TOLD = ("commit.before.operator", "commit.after.operator")
UNDONE = (
    *TOLD,
    "undo.intent.before",
    "undo.intent.after",
    "undo.call.after",
    "commit.before.compensator",
    "commit.after.compensator",
    "undo.call.before:2",
    "commit.after.compensator:2",
    "commit.before.finalizer",
)
ANEW = (
    *TOLD,
    *("commit.before.policy_gate:3", "commit.after.policy_gate:3"),  # the intent travels with the dispatch
    *("intent.after:4", "provider.after:3", "call.after:3", "commit.before.executor:4"),
)
EVERYWHERE = "GATEPOST_KILL_EVERYWHERE"
"""Set it to kill at every instant, and not only at those where an operator's word is carried out."""
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as (found, url):
        os.environ[URL] = url
        yield found


def test_an_operators_word_is_carried_out_once(provider: Provider, gatepost_database: Database) -> None:
    def script(hand: str, instants: Sequence[str]) -> Script:
        return Script(
            f"{MODULE}:WORKFLOWS",
            goal=hand,
            database=gatepost_database.url,
            answer=f"{MODULE}:answer",
            then=f"{MODULE}:{hand}",
            policy=POLICY,
            instants=() if os.environ.get(EVERYWHERE) else instants,
            prefix=hand,
        )

    killed = kill_everywhere(script("rollback", UNDONE), script("cancel", UNDONE), script("retry", ANEW), folder=ROOT)
    assert_survived(killed, booked=lambda key: provider.acts[key])
    for hand, status in (("rollback", "compensated"), ("cancel", "compensated"), ("retry", "succeeded")):
        found = [one for one in killed if one.run.partition("-")[0] == hand]
        assert len(found) > len(TOLD)
        assert {one.status for one in found} == {status}
        assert {tuple(sorted(_happened(one))) for one in found} == {tuple(sorted(EFFECTS[hand]))}


BOOKED = [("stall", "run"), ("light", "run")]
GIVEN_BACK = [("stall", "compensate"), ("light", "compensate")]
EFFECTS = {
    "rollback": [*BOOKED, *GIVEN_BACK],
    "cancel": [*BOOKED, *GIVEN_BACK],
    "retry": [*BOOKED, ("gate", "run")],
}
"""What has happened in the end, whenever it was killed."""


def _happened(one: Killed) -> list[tuple[str, str]]:
    return [(effect["step"], effect["purpose"]) for effect in one.effects if effect["state"] == "succeeded"]
