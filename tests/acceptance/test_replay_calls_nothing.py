"""Tries to find a trace of a replay in the books of the providers, and a word of it that is not the record's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gatepost import GatepostGraph, replay
from gatepost.examples.services import SERVICES_VARIABLE, Services
from gatepost.examples.vendor_onboarding import GOAL, WORKFLOW
from gatepost.service.cli.app import app
from gatepost.testing import Database, approve, finish, respond
from gatepost.testing.plugin import GraphFactory

CONFIG: Any = {"configurable": {"thread_id": "review"}}


@pytest.fixture
def graph(gatepost_graph: GraphFactory) -> GatepostGraph:
    return gatepost_graph([WORKFLOW])


def test_the_providers_see_nothing_of_a_replay(
    graph: GatepostGraph,
    services_url: str,
    gatepost_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SERVICES_VARIABLE, services_url)
    finish(graph, {"goal": GOAL}, CONFIG, answers=[respond("more documents, please"), approve()])
    with Services(services_url) as services:
        books = services.books()
        assert replay("review", graph).identical
        before = ["--database", gatepost_database.url]
        runner = CliRunner()
        told = runner.invoke(app, [*before, "replay", "rev"])
        assert (told.exit_code, told.stdout.split(",")[0]) == (0, "identical: review")
        history = tmp_path / "review.jsonl"
        history.write_text(runner.invoke(app, [*before, "export", "review", "--replayable"]).stdout)
        report = json.loads(runner.invoke(app, ["replay", "--file", str(history), "--json"]).stdout)
        assert (report["identical"], report["transitions"]) == (True, report["last"])
        strict = tmp_path / "strict.cedar"
        strict.write_text('@id("nobody") forbid (principal, action == Action::"run", resource);')
        refused = runner.invoke(app, ["--policy", str(strict), "replay", "--file", str(history)])
        assert refused.exit_code == 8
        assert "cause: policy" in refused.stdout
        assert services.books() == books
