"""The pytest plugin: real databases, a checkpointer, and graphs with tools replaced by name.

Installed with Gatepost and found by pytest; nothing starts until a test asks for a fixture.

    def test_pays_once(gatepost_database, gatepost_graph):
        graph = gatepost_graph([WORKFLOW], tools={"charge": fake_charge})
        result = finish(graph, {"goal": "…"}, config, answers=[approve(by="alice")])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gatepost.checkpointing.open import Checkpointer
    from gatepost.graph.compiled import GatepostGraph
    from gatepost.nodes.workflow import Workflow
    from gatepost.testing.database import Database, Databases
    from gatepost.testing.killed import Killed

KillEverywhere = Callable[..., "list[Killed]"]
GraphFactory = Callable[..., "GatepostGraph"]
LEASE = timedelta(seconds=2)
"""Short, so that a test which kills an owner does not wait long for its lease to run out."""

# Imports are inside the fixtures: the plugin is loaded into every pytest run on the machine, and LangGraph takes
# most of a second.


@pytest.fixture(scope="session")
def gatepost_databases() -> Iterator[Databases]:
    """Makes databases on `GATEPOST_DATABASE_URL`'s server, or on the embedded one."""
    from gatepost.checkpointing.address import resolve
    from gatepost.testing.database import Databases

    server = resolve()
    databases = Databases(server)
    if server.embedded:
        databases.sweep()
    yield databases
    databases.close()


@pytest.fixture
def gatepost_database(gatepost_databases: Databases) -> Iterator[Database]:
    """A migrated database of this test's own: `.url`, `.clock.shift(timedelta(days=3))`."""
    with gatepost_databases.migrated() as database:
        yield database


@pytest.fixture
def gatepost_checkpointer(gatepost_database: Database) -> Iterator[Checkpointer]:
    """A checkpointer on the test's database, with a short lease."""
    from gatepost.checkpointing.open import open_checkpointer
    from gatepost.checkpointing.runs import Lease

    with open_checkpointer(gatepost_database.url, lease=Lease(ttl=LEASE), migrate=False) as opened:
        yield opened


@pytest.fixture
def gatepost_killed_everywhere(gatepost_database: Database) -> KillEverywhere:
    """Runs a workflow once for each instant that it passes, kills it there, and has another process finish it.

    `gatepost_killed_everywhere("shop:WORKFLOW", goal="charge ada")`, with the fields of `gatepost.testing.Script`;
    it gives what became of each run, for `assert_survived`. Processes import `module:ATTRIBUTE` from the folder that
    pytest was called from; what they do is told by the books of your provider, not by variables of the test.
    """
    from gatepost.testing.killed import Script, kill_everywhere

    def kill(workflow: str, *, goal: str, **script: Any) -> list[Killed]:
        return kill_everywhere(Script(workflow, goal=goal, database=gatepost_database.url, **script))

    return kill


@pytest.fixture
def gatepost_graph(gatepost_checkpointer: Checkpointer) -> GraphFactory:
    """Builds graphs on the test's checkpointer: `gatepost_graph([workflow], tools={"charge": fake})`.

    A plain function as a fake takes over the declaration of the tool that it replaces: the gate asks as in earnest.
    """
    from gatepost.graph.build import build_graph

    def build(
        workflows: Iterable[Workflow], *, tools: Mapping[str, Any] | None = None, **options: Any
    ) -> GatepostGraph:
        return build_graph(workflows, gatepost_checkpointer, tools=tools, **options)

    return build
