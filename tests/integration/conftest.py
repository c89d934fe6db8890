"""What the integration tests share: the owner of the database, who can go round every door with SQL, a shop whose
charges need a person, and the stock LangGraph graph that ours is shown beside.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from langgraph.types import Command
from psycopg.rows import dict_row
from tests.integration.desks import alice, desk, served, sold, tab  # noqa: F401 (fixtures)

from gatepost import (
    ApprovalRequest,
    Checkpointer,
    EffectContext,
    FixedPlan,
    GatepostGraph,
    Lease,
    Plan,
    Situation,
    Step,
    Tool,
    Workflow,
    build_graph,
    open_checkpointer,
    ref,
    tool,
)
from gatepost.testing import Database, Databases
from gatepost.testing.plugin import LEASE

PATIENCE_SECONDS = 20.0


class Owner:
    """The owner of the test's database: reads what is really there, and tampers."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.Connection[dict[str, Any]].connect(url, autocommit=True, row_factory=dict_row)
        self._lock = threading.Lock()

    def rows(self, statement: Any, *params: Any) -> list[dict[str, Any]]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(statement, params or None).fetchall()

    def change(self, statement: Any, *params: Any) -> int:
        """Change rows behind everybody's back; how many were."""
        with self._lock:
            return self._connection.execute(statement, params or None).rowcount

    def change_named(self, statement: Any, **params: Any) -> int:
        """As `change`, with named parameters."""
        with self._lock:
            return self._connection.execute(statement, params).rowcount

    def explained(self, statement: LiteralString, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """How a statement would be carried out."""
        with self._lock:
            written = psycopg.ClientCursor(self._connection).mogrify(statement, params)
            return self._connection.execute(f"EXPLAIN (FORMAT JSON) {written}".encode()).fetchall()

    def run(self, run_id: str) -> dict[str, Any]:
        """The row of a run."""
        return self.rows("SELECT * FROM gatepost.run WHERE run_id = %s", run_id)[0]

    def effects(self, run_id: str) -> list[dict[str, Any]]:
        """The ledger of a run, by step."""
        return self.rows("SELECT * FROM gatepost.effect WHERE run_id = %s ORDER BY step_id, purpose", run_id)

    def steps(self, run_id: str) -> dict[str, str]:
        """Where each step stands."""
        found = self.rows(
            "SELECT DISTINCT ON (step_id) step_id, status FROM gatepost.step WHERE run_id = %s "
            "ORDER BY step_id, seq DESC",
            run_id,
        )
        return {row["step_id"]: row["status"] for row in found}

    def counts(self, run_id: str) -> dict[str, int]:
        """How much is written about a run."""
        return {
            **{
                name: self.rows(f"SELECT count(*) AS n FROM gatepost.{name} WHERE run_id = %s", run_id)[0]["n"]  # noqa: S608
                for name in ("step", "transition", "plan", "approval", "effect", "artifact")
            },
            **{
                name: self.rows(f"SELECT count(*) AS n FROM {name} WHERE thread_id = %s", run_id)[0]["n"]  # noqa: S608
                for name in ("checkpoints", "checkpoint_writes", "checkpoint_blobs")
            },
        }

    def wait_for(self, statement: Any, *params: Any) -> list[dict[str, Any]]:
        """Wait until a query finds something."""
        pause = threading.Event()
        for _ in range(int(PATIENCE_SECONDS / 0.005)):
            if found := self.rows(statement, *params):
                return found
            pause.wait(0.005)
        raise AssertionError(f"this never became true: {statement} {params}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Stubborn:
    """A planner that hears what people say, and has no other plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def plan(self, situation: Situation) -> Plan | None:
        """The plan, until it is in force."""
        return self._plan if situation.plan is None else None


class Shop:
    """A workflow whose charge needs a person, and the till it would ring. Its runs have names of their own."""

    def __init__(self, build: Callable[..., GatepostGraph]) -> None:
        self.name = secrets.token_hex(4)
        self.booked: list[tuple[str, str]] = []
        """`(idempotency key, "customer:cents")` of each call that reached the provider."""
        self.looked: list[str] = []
        self.tools = self._tools()
        self.graph = build(self.workflows())

    def _tools(self) -> tuple[Tool[..., Any], ...]:
        @tool(effect="read")
        def look(name: str) -> dict[str, str]:
            self.looked.append(name)
            return {"name": name}

        @tool(effect="write", on_doubt="retry")
        def charge(ctx: EffectContext, customer: str, cents: int) -> str:
            self.booked.append((ctx.idempotency_key, f"{customer}:{cents}"))
            return "charged"

        return look, charge

    def workflows(self) -> list[Workflow]:
        """One sale, two sales one after the other, two at once, and one whose planner hears what people say."""
        look = Step(id="look", tool="look", args={"name": "ada"})
        charge = Step(id="charge", tool="charge", args={"customer": ref("look", "/name"), "cents": 100})
        first = Step(id="first", tool="charge", args={"customer": "ada", "cents": 1})
        second = Step(id="second", tool="charge", args={"customer": "bob", "cents": 2})
        after = second.model_copy(update={"needs": ("first",)})
        plans = {
            "sell": Plan(steps=(look, charge)),
            "sell twice": Plan(steps=(first, after)),
            "sell to two": Plan(steps=(first, second, look)),
        }
        heard = Workflow(name="haggle", goals=("haggle",), strategy=Stubborn(plans["sell"]), tools=self.tools)
        return [
            Workflow(name=goal.replace(" ", "_"), goals=(goal,), strategy=FixedPlan(plan), tools=self.tools)
            for goal, plan in plans.items()
        ] + [heard]

    def run(self, run: str = "r1") -> str:
        """The id of a run; tests of one module share a database."""
        return f"{self.name}-{run}"

    def config(self, run: str = "r1", **more: Any) -> Any:
        """A config that addresses a run."""
        return {"configurable": {"thread_id": self.run(run), **more}}

    def open(self, run: str = "r1", goal: str = "sell") -> ApprovalRequest:
        """Start a run, up to its first question."""
        asked = self.graph.invoke({"goal": goal}, self.config(run))["approval"]
        assert isinstance(asked, ApprovalRequest)
        return asked

    def asks(self, run: str = "r1") -> list[ApprovalRequest]:
        """What the run asks now."""
        found: list[ApprovalRequest] = self.graph.get_state(self.config(run)).values["approvals"]
        return found

    def answer(self, answer: Mapping[str, Any], run: str = "r1", **options: Any) -> dict[str, Any]:
        """Answer an approval and let the run go on."""
        result: dict[str, Any] = self.graph.invoke(Command(resume=dict(answer)), self.config(run), **options)
        return result

    def sold(self) -> list[str]:
        """What the till rang."""
        return [what for _, what in self.booked]

    def still_answerable(self, run: str = "r1") -> None:
        """Nothing ran, the question is still asked, and its answer finishes the run, once."""
        assert self.booked == []
        (asked,) = self.asks(run)
        result = self.answer(asked.approve(by="alice"), run)
        assert (result["status"], self.sold()) == ("succeeded", ["ada:100"])
        assert self.graph.invoke(None, self.config(run))["status"] == "succeeded"
        assert self.sold() == ["ada:100"]


@pytest.fixture(scope="module")
def town(gatepost_databases: Databases) -> Iterator[Database]:
    """A database that the tests of a module share: making one for each takes longer than most tests."""
    with gatepost_databases.migrated() as database:
        yield database


@pytest.fixture(scope="module")
def town_hall(town: Database) -> Iterator[Checkpointer]:
    """A checkpointer on it, with a short lease."""
    with open_checkpointer(town.url, lease=Lease(ttl=LEASE), migrate=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def owner(town: Database) -> Iterator[Owner]:
    """The owner of the shared database."""
    found = Owner(town.url)
    yield found
    found.close()


@pytest.fixture
def build(town_hall: Checkpointer) -> Callable[..., GatepostGraph]:
    """Builds graphs on the shared database."""
    return lambda workflows, **options: build_graph(workflows, town_hall, **options)


@pytest.fixture
def shop(build: Callable[..., GatepostGraph]) -> Shop:
    """A shop on the shared database."""
    return Shop(build)


@pytest.fixture
def second_process(town: Database) -> Callable[..., Any]:
    """Opens the shared database as another process would, by default with nobody's patience."""

    @contextmanager
    def opened(*, wait: bool = False) -> Iterator[Checkpointer]:
        with open_checkpointer(town.url, lease=Lease(ttl=LEASE, wait=wait), migrate=False) as checkpointer:
            yield checkpointer

    return opened


@pytest.fixture
def lone_owner(gatepost_database: Database) -> Iterator[Owner]:
    """The owner of a database of the test's own, whose clock and tables it may change."""
    found = Owner(gatepost_database.url)
    yield found
    found.close()


@pytest.fixture
def lone_shop(gatepost_graph: Callable[..., GatepostGraph]) -> Shop:
    """A shop there."""
    return Shop(gatepost_graph)
