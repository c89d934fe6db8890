"""Kills the process of a loan in its third step: by the one command that a reader types, and at each instant of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost import Checkpointer, Lease
from gatepost.examples.loan import GOAL
from gatepost.examples.loan.artifact import ARTIFACT, LoanDecision
from gatepost.examples.services import HIT_COSTS, SCORE_COSTS, SERVICES_VARIABLE, Bank
from gatepost.testing import Database, assert_survived
from gatepost.testing.plugin import KillEverywhere

THIRD_STEP = ("call.before:3", "call.failed", "call.before:4", "call.after:3", "commit.before.executor:3")
"""Before the scorer is asked, when it has said 503, before it is asked again, and when its answer is nowhere yet."""
LOGGED = ("[workflow]", "[step]", "[resume]", "[artifact]")


@pytest.fixture
def demo(gatepost_database: Database, services_url: str, tmp_path: Path) -> list[str]:
    """What `make demo-loan` prints."""
    environment = {
        **os.environ,
        "GATEPOST_DATABASE_URL": gatepost_database.url,
        "GATEPOST_HOME": str(tmp_path),
        SERVICES_VARIABLE: services_url,
    }
    command = [sys.executable, "-m", "gatepost.examples.loan"]
    lines = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "kill -9" in line:  # nobody has to wait until the lease of the dead has run out
                gatepost_database.clock.shift(Lease().ttl)
    assert process.returncode == 0, "\n".join(lines)
    return lines


def test_the_loan_is_granted_once_and_only_the_scorer_is_asked_again(
    demo: list[str], services_url: str, tmp_path: Path
) -> None:
    (artifact,) = tmp_path.glob(f"artifacts/*/{ARTIFACT}")
    run = artifact.parent.name
    assert [line for line in demo if line.startswith(LOGGED)] == [
        f"[workflow] id={run} started",
        "[step] parse=ok",
        "[step] eligibility=ok",
        "[step] risk=A(3 calls)",
        next(line for line in demo if line.startswith("[step] compliance=blocked(")),
        "[resume] approval_received",
        "[step] compliance=granted",
        "[step] notification=ok",
        f"[artifact] {ARTIFACT}",
    ]
    assert sum("asked once, done once" in line for line in demo) == 4
    assert "  risk: asked 3 times, done once" in demo
    with Bank(services_url) as bank:
        books, bill = bank.books(prefix=f"/loans/{run}/"), bank.bill(run)
    (scored,) = books["scores"]["by_key"].values()
    assert (scored["statuses"][0], scored["effects"]) == (503, 1), "every call under one key, and one act"
    assert sum(charged["units"] for charged in bill.values()) == HIT_COSTS + SCORE_COSTS
    decided = LoanDecision.model_validate(json.loads(artifact.read_text()))
    assert (decided.failure.calls, decided.failure.units, decided.units) == (2, 0, HIT_COSTS + SCORE_COSTS)


def test_killed_at_any_instant_of_the_third_step_only_the_scorer_is_asked_again(
    gatepost_killed_everywhere: KillEverywhere,
    checkpointer: Checkpointer,
    services_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SERVICES_VARIABLE, services_url)
    checkpointer.bridge.run(checkpointer.people.grant("somebody", "compliance", tenant="local", by="operator"))
    killed = gatepost_killed_everywhere("gatepost.examples.loan:WORKFLOW", goal=GOAL, instants=THIRD_STEP)
    assert {one.instant for one in killed} >= set(THIRD_STEP)
    with Bank(services_url) as bank:
        assert_survived(killed, booked=lambda key: sum(book["effects"] for book in bank.books(key=key).values()))
        for one in killed:
            bill = bank.bill(one.run)
            once = {name: bill[name]["calls"] for name in ("applications", "bureau", "grants", "letters")}
            assert set(once.values()) == {1}, f"killed at {one.instant}: {once}"
            assert (bill["bureau"]["units"], bill["scores"]["units"]) == (HIT_COSTS, SCORE_COSTS), one.instant
