"""What every command needs: the database, the graph, who acts, and the options that say so."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gatepost.state.errors import CallerMistake

if TYPE_CHECKING:
    from gatepost.checkpointing.open import Checkpointer
    from gatepost.graph.compiled import GatepostGraph
    from gatepost.graph.context import RunContext

T = TypeVar("T")

As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who acts. Default: the user of this system.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")]
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


@dataclass(frozen=True, slots=True)
class Desk:
    """An open database with the graph on it."""

    checkpointer: Checkpointer
    graph: GatepostGraph

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run async work to its end."""
        return self.checkpointer.bridge.run(work)


@contextmanager
def opened(context: typer.Context) -> Iterator[Desk]:
    """Open the database and build the graph.

    Raises:
        DatabaseUnavailable: with the cause and the cure.
        CallerMistake: a workflow or the policy cannot be read.
    """
    from gatepost.checkpointing.open import open_checkpointer
    from gatepost.graph.build import build_graph
    from gatepost.service.catalog import find_workflows

    options: Options = context.obj
    policy = read_policy(options.policy)
    workflows = find_workflows(options.workflows)
    with open_checkpointer(options.database) as checkpointer:
        yield Desk(checkpointer, build_graph(workflows, checkpointer, policy=policy))


def read_policy(path: Path | None) -> Any:
    """The policy set in a file; None means the default one.

    Raises:
        CallerMistake: it cannot be read.
    """
    from gatepost.nodes.policy import Policy

    if path is None:
        return None
    try:
        return Policy(path.read_text(), name=str(path))
    except OSError as error:
        raise CallerMistake(f"the policy {path} cannot be read: {error.strerror}.") from None


def acting(name: str | None) -> RunContext:
    """Who acts."""
    from gatepost.graph.context import RunContext

    return RunContext(principal=name or "")


def authenticated(name: str | None) -> str:
    """How we know: the system vouches for its own user, and nobody for another name."""
    from gatepost.graph.context import os_user

    return "os-user" if name is None or name == os_user() else "asserted"


def named_workflows(given: list[str] | None) -> tuple[str, ...]:
    """Workflows named by option or by environment."""
    listed = os.environ.get("GATEPOST_WORKFLOWS", "").split(",")
    return tuple(name.strip() for name in [*listed, *(given or [])] if name.strip())
