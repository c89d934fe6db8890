"""A command imports what it needs and no more: somebody waits for every one of them.

Named are modules, never times. Who only reads the tables needs a driver for them, and no graph.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gatepost.testing import Database

SERVICE = ("fastapi", "uvicorn", "jinja2", "prometheus_client", "apprise", "opentelemetry")
GRAPH = ("langgraph", "langchain_core", "langsmith", "requests")
TOOLS = ("cedarpy", "httpx")
TABLES = ("psycopg", "pydantic")

ONE_AFTER_THE_OTHER = """
import json, sys
from gatepost.service.cli.app import app
loaded = {}
for words in json.loads(sys.argv[1]):
    try:
        app(words, prog_name="gatepost", standalone_mode=False)
    except SystemExit as end:
        assert end.code in (None, 0), words
    loaded[" ".join(words)] = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps(loaded), file=sys.stderr)
"""


def imported(commands: Sequence[Sequence[str]], **environment: str) -> Mapping[str, set[str]]:
    """The packages that one process has imported after each command, none of which goes on to another."""
    ended = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(commands)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return {command: set(names) for command, names in json.loads(ended.stderr.splitlines()[-1]).items()}


def test_help_imports_nothing_that_it_does_not_show() -> None:
    loaded = imported([["--version"], ["--help"]])["--help"]
    assert loaded & {*SERVICE, *GRAPH, *TOOLS, *TABLES} == set()


def test_looking_needs_no_graph(gatepost_database: Database, shop_run: Mapping[str, str]) -> None:
    run, approval = shop_run["run"], shop_run["approval"]
    looking = [
        ["run", "list"],
        ["run", "show", run],
        ["run", "why", run],
        ["approval", "list"],
        ["approval", "show", approval],
        ["approval", "comment", approval, "seen"],
        ["history", run],
        ["export", run],
        ["effect", "list"],
        ["role", "list"],
        ["delegation", "list"],
        ["key", "list"],
        ["notice", "list"],
        ["policy", "list"],
        ["run", "hold", run],
        ["run", "release", run],
    ]
    loaded = imported(looking, GATEPOST_DATABASE_URL=gatepost_database.url)
    assert {command: sorted(names & {*SERVICE, *GRAPH, *TOOLS}) for command, names in loaded.items()} == {
        " ".join(command): [] for command in looking
    }


def test_a_list_of_workflows_needs_no_graph() -> None:
    assert imported([["workflow", "list"]])["workflow list"] & {*SERVICE, *GRAPH} == set()


@pytest.fixture
def shop_run(lone_shop: Any) -> Mapping[str, str]:
    """A run that asks a person."""
    asked = lone_shop.open()
    return {"run": lone_shop.run(), "approval": asked.id}
