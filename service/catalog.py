"""Finding workflows: those that installed packages register, and those that are named here and now.

A package registers its own with an entry point in the group `gatepost.workflows`; `--workflows
module:ATTRIBUTE` or `GATEPOST_WORKFLOWS` names more.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points

from gatepost.nodes.workflow import Workflow
from gatepost.state.errors import CallerMistake

GROUP = "gatepost.workflows"


def find_workflows(named: Iterable[str] = ()) -> list[Workflow]:
    """All workflows this process knows, each once.

    Raises:
        CallerMistake: one cannot be imported or is no workflow; says which.
    """
    sources = [entry.value for entry in entry_points(group=GROUP)]
    return list(dict.fromkeys(_load(source) for source in [*sources, *named]))


def _load(source: str) -> Workflow:
    module, _, attribute = source.partition(":")
    if not module or not attribute:
        raise CallerMistake(f"the workflow {source!r} cannot be found: write module:ATTRIBUTE.")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:
        raise CallerMistake(
            f"the workflow {source!r} cannot be imported ({type(error).__name__}: {error}). "
            "Correct it, or take it out of GATEPOST_WORKFLOWS."
        ) from error
    if not isinstance(found, Workflow):
        raise CallerMistake(f"{source!r} is a {type(found).__name__}, not a gatepost Workflow.")
    return found
