"""Tries to buy at a price that nobody approved, or twice, or never: SIGKILL at each instant around a second reading."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance import moving_price

from gatepost.testing import Database
from gatepost.testing.killed import Script, assert_survived, kill_everywhere

ROOT = Path(__file__).parents[2]
AROUND = (
    "call.before:2",
    "call.after:2",
    "call.before:3",
    "call.after:3",
    "commit.before.executor:3",
    "commit.after.executor:3",
    "decision.after",
    "call.after:4",
    "intent.after",
    "call.after:5",
)
"""The first reading again is before anybody is asked, the second follows the answer and finds another price."""


def test_killed_while_facts_are_read_again(
    gatepost_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(moving_price.FOLDER, str(tmp_path))
    module = moving_price.__name__
    script = Script(
        f"{module}:WORKFLOW",
        goal="buy",
        database=gatepost_database.url,
        answer=f"{module}:answer",
        instants=AROUND,
        later=60,
    )
    killed = kill_everywhere(script, folder=ROOT)
    assert_survived(killed, booked=lambda key: int((tmp_path / key).exists()))
    books = sorted(path.read_text() for path in tmp_path.iterdir() if not path.name.startswith("moved-"))
    assert books == sorted(f"{one.run} 120" for one in killed), "another price than the one that was approved"
