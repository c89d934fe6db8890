"""Tries to get a run into a place of which `run why`, `run show` and the doctor do not say who moves it next."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.fleet import Fleet


def test_a_run_names_its_next_mover_wherever_it_is(fleet: Fleet) -> None:
    fleet.admit("press", "r1")
    queued = _why(fleet)
    assert (queued["kind"], queued["movers"], queued["ahead"]) == ("queue", 0, 0)
    assert queued["sentence"] == (
        "r1 is queued; any worker that knows the workflow press may take it, but no worker is listening."
    )
    assert queued["command"].endswith(" run resume r1")
    assert "✗ unmoved: nobody moves r1\n" in fleet.cli("doctor").stdout
    with fleet.hire() as hand:
        hand.until("[run] r1=blocked")
        blocked = _why(fleet)
        asked = fleet.question("r1")
        assert (blocked["kind"], blocked["detail"], blocked["movers"]) == ("approval", asked, 1)
        assert blocked["command"].endswith(f" approval show {asked}")
        healthy = fleet.cli("doctor")
        assert "✓ workers: 1 listening, 0 runs queued\n" in healthy.stdout
        assert healthy.returncode == 0, healthy.stdout
    assert fleet.cli("approval", "approve", asked, "--as", "alice").returncode == 0
    said = fleet.cli("run", "why", "r1").stdout.splitlines()
    assert said[0] == "r1 has ended: succeeded."
    assert said[1].endswith(" export r1")
    assert json.loads(fleet.cli("run", "show", "r1", "--json").stdout)["next"] == said[0]


def _why(fleet: Fleet) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fleet.cli("run", "why", "r1", "--json").stdout)
    return found
