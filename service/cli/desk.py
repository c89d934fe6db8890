"""What every command needs: the database, the graph, who acts, and the options that say so."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gatepost.service import terminal
from gatepost.service.cli.typed import retyped, typed
from gatepost.state.errors import CallerMistake, UnknownGoal

if TYPE_CHECKING:
    from gatepost.checkpointing.books import Books
    from gatepost.checkpointing.open import Checkpointer
    from gatepost.graph.compiled import GatepostGraph
    from gatepost.graph.context import RunContext
    from gatepost.nodes.catalog import Catalog
    from gatepost.nodes.policy_sets import PolicySets

T = TypeVar("T")


def given(value: str) -> str:
    """An id of no characters is the beginning of every id: a shell's unset variable must not mean the only run."""
    if not value.strip():
        raise typer.BadParameter("it is empty. Is the variable set?")
    return value


As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who acts. Default: the user of this system.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
LOCAL = "local"
"""The tenant of whoever works on this machine."""
Tenant = Annotated[
    str, typer.Option("--tenant", metavar="NAME", callback=given, help="Whose it is. Default: this machine's own.")
]
OneTenant = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAME",
        callback=lambda value: value if value is None else given(value),
        help="Only what is this one's. Default: everybody's.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")]
RunId = Annotated[
    str, typer.Argument(metavar="ID", callback=given, help="The run; may be abbreviated.", show_default=False)
]
ApprovalId = Annotated[
    str, typer.Argument(metavar="ID", callback=given, help="The approval; may be abbreviated.", show_default=False)
]
EffectKey = Annotated[
    str, typer.Argument(metavar="KEY", callback=given, help="The effect; may be abbreviated.", show_default=False)
]
Artifacts = Annotated[
    Path, typer.Option("--artifacts", metavar="DIR", help="Where artifacts are saved, in a folder of the run's id.")
]
DEFAULT_ARTIFACTS = Path("gatepost-artifacts")


@dataclass(frozen=True, slots=True)
class Options:
    """The options that stand before the command."""

    database: str | None
    workflows: tuple[str, ...]
    policy: Path | None
    policies: Path | None
    principal: str | None
    no_input: bool
    notices: Path | None = None
    before: tuple[str, ...] = ()
    """Those of them that a command has to repeat to work on the same, as they were typed."""


class Desk:
    """An open database, and the graph on it for the commands that move runs.

    Args:
        books: the open database, or the checkpointer on it.
        options: say which workflows and which policy.
        tenant: whose runs it reaches.
    """

    def __init__(self, books: Books, options: Options, tenant: str = LOCAL) -> None:
        self.books = books
        self.tenant = tenant
        self._options = options

    @cached_property
    def checkpointer(self) -> Checkpointer:
        """The saver on the same connections; whoever only reads does without LangGraph.

        Raises:
            DatabaseUnavailable: LangGraph's tables are older than this release needs, and cannot be brought up to it.
        """
        from gatepost.checkpointing.migrate import migrate
        from gatepost.checkpointing.open import Checkpointer

        if isinstance(self.books, Checkpointer):
            return self.books
        migrate(self.books.address)
        return Checkpointer(self.books)

    @cached_property
    def graph(self) -> GatepostGraph:
        """The graph of every workflow that is known here.

        Raises:
            CallerMistake: a named workflow or the policy cannot be read.
        """
        from gatepost.graph.build import build_graph
        from gatepost.service.catalog import find_workflows
        from gatepost.service.telemetry import trace

        found = find_workflows(self._options.workflows)
        for broken in found.broken:
            terminal.complain("warning", broken)
        graph = build_graph(
            found.workflows,
            self.checkpointer,
            policy=read_policy(self._options.policy),
            tenant_policies=self._options.policies,
        )
        trace(graph)
        return graph

    def typed(self, *words: str, name: str | None = None) -> str:
        """A command for a person to copy, on the same database with the same workflows, for the same tenant."""
        return typed(self._options.before, *words, tenant=other(self.tenant), name=name)

    def retyped(self, message: str) -> str:
        """A message from the rooms below, where the commands that it names work as they stand."""
        return retyped(message, self._options.before, other(self.tenant))

    def acting(self, name: str | None) -> RunContext:
        """Who acts, for the tenant."""
        return acting(name, self.tenant)

    @property
    def keeps_a_secret(self) -> bool:
        """Whether a command that is printed leaves out the password that was typed."""
        from gatepost.checkpointing.address import secret_in

        return self._options.database is not None and secret_in(self._options.database)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run async work to its end. An interrupt waits until the work has let go of what it holds."""
        return self.books.bridge.run(work)

    def knows_goal(self, goal: str) -> None:
        """Check that a run can be started from here.

        Raises:
            UnknownGoal: no workflow that is known here has this goal.
        """
        try:
            self.graph.equipment.catalog.for_goal(goal)
        except UnknownGoal as unknown:
            raise UnknownGoal(f"{unknown} Other workflows are named by --workflows MODULE:ATTRIBUTE.") from None

    def knows(self, row: Mapping[str, Any]) -> None:
        """Check that a run can be moved from here.

        Raises:
            CallerMistake: its workflow is not known here.
        """
        known = self.graph.equipment.catalog.workflows
        if row["workflow"] not in known:
            raise CallerMistake(
                f"run {row['run_id']} belongs to the workflow {row['workflow']!r}, which is not known here "
                f"(known: {', '.join(known) or 'none'}). Install it, or name it: --workflows MODULE:ATTRIBUTE."
            )


@contextmanager
def opened(context: typer.Context, tenant: str = LOCAL, *, max_connections: int = 10) -> Iterator[Desk]:
    """Open the database, for the runs of a tenant.

    Raises:
        DatabaseUnavailable: with the cause and the cure.
    """
    from gatepost.checkpointing.books import open_books

    options: Options = context.obj
    with open_books(options.database, max_connections=max_connections) as books:
        yield Desk(books, options, tenant)


def read_policy(path: Path | None) -> Any:
    """The policy set in a file; None means the default one.

    Raises:
        CallerMistake: it cannot be read.
    """
    from gatepost.nodes.policy import Policy

    if path is None:
        return None
    try:
        return Policy(path.read_text(encoding="utf-8"), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CallerMistake(
            f"the policy {path} cannot be read ({error}). Correct --policy or GATEPOST_POLICY."
        ) from None


def known_policies(context: typer.Context, *, base: Any = None) -> tuple[PolicySets, Catalog]:
    """The policy sets and the workflows that are known here, not yet checked against each other.

    Args:
        context: has the options that say which.
        base: the set of the deployment, in place of the one that the options name.

    Raises:
        CallerMistake: a set cannot be read.
    """
    from gatepost.graph.build import policy_sets
    from gatepost.nodes.catalog import Catalog
    from gatepost.service.catalog import find_workflows

    options: Options = context.obj
    found = find_workflows(options.workflows)
    for broken in found.broken:
        terminal.complain("warning", broken)
    catalog = Catalog(found.workflows)
    return policy_sets(catalog, base or read_policy(options.policy), options.policies), catalog


def named(context: typer.Context, name: str | None) -> str | None:
    """The name that was given, after the command or before it.

    Raises:
        CallerMistake: it names nobody.
    """
    options: Options = context.obj
    found = options.principal if name is None else name
    if found is not None and not found.strip():
        raise CallerMistake("--as names nobody. Give a name, or leave it out.")
    return found


def acting(name: str | None, tenant: str = LOCAL) -> RunContext:
    """Who acts, and for whom."""
    from gatepost.graph.context import RunContext

    return RunContext(tenant=tenant, principal=name or "")


def authenticated(name: str | None) -> str:
    """How we know: the system vouches for its own user, and nobody for another name."""
    from gatepost.graph.context import os_user

    return "os-user" if name is None or name == os_user() else "asserted"


def other(tenant: str) -> str | None:
    """A tenant that a command has to name; None where it is this machine's own."""
    return None if tenant == LOCAL else tenant


def named_workflows(given: list[str] | None) -> tuple[str, ...]:
    """Workflows named by option or by environment."""
    listed = os.environ.get("GATEPOST_WORKFLOWS", "").split(",")
    return tuple(name.strip() for name in [*listed, *(given or [])] if name.strip())
