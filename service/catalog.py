"""Finding workflows: those that installed packages register, and those that are named here and now.

A package registers its own with an entry point in the group `gatepost.workflows`; `--workflows
module:ATTRIBUTE` or `GATEPOST_WORKFLOWS` names more, from the folder one is in as well. A named one
takes the place of a registered one of the same name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from gatepost.nodes.workflow import Workflow
from gatepost.state.errors import CallerMistake

GROUP = "gatepost.workflows"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    workflows: tuple[Workflow, ...]
    broken: tuple[str, ...]
    """What is registered and cannot be loaded, each with its reason. The others work without it."""


def find_workflows(named: Iterable[str] = ()) -> Found:
    """All workflows that this process knows, each once.

    Raises:
        CallerMistake: a named one cannot be imported or is no workflow; says which.
    """
    chosen = {workflow.name: workflow for source in named for workflow in _named(source)}
    broken = []
    for entry in entry_points(group=GROUP):
        try:
            for workflow in _load(entry.value):
                chosen.setdefault(workflow.name, workflow)
        except CallerMistake as error:
            broken.append(f"{error} The installed package that registers {entry.name!r} has to be corrected.")
    return Found(tuple(chosen.values()), tuple(broken))


def _named(source: str) -> list[Workflow]:
    # A console script does not look into the folder it is called from. Last, so that nothing there hides a package.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        return _load(source)
    except CallerMistake as error:
        raise CallerMistake(f"{error} Correct --workflows or GATEPOST_WORKFLOWS.") from error


def _load(source: str) -> list[Workflow]:
    module, _, attribute = source.partition(":")
    if not module or not attribute:
        raise CallerMistake(f"the workflow {source!r} cannot be found: it is written module:ATTRIBUTE.")
    try:
        found = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a script that was not meant to be imported may end the process
        reason = f"{type(error).__name__}: {error}"
        raise CallerMistake(f"the workflow {source!r} cannot be imported ({reason}).") from error
    several = list(found) if isinstance(found, list | tuple | set | frozenset) else [found]
    for one in several:
        if not isinstance(one, Workflow):
            raise CallerMistake(f"{source!r} is or holds a {type(one).__name__}, not a gatepost Workflow.")
    return several
