"""Reactions: what a tool and a workflow say is done about a class of failure, in place of the table's.

The most specific word counts: the workflow's about this tool, the tool's own, the workflow's about
every tool, the table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from gatepost.nodes.tool import AnyTool, ToolMistake
from gatepost.state.failure import AGAIN, KINDS, REACTIONS, TREATMENTS, FailureKind, Reaction

OnFailure: TypeAlias = Mapping[str, Reaction | tuple[Reaction, ...]]
"""By the name of a class: `{"auth": "escalate", "bug": ("retry", "fail")}`. In a workflow also by `tool.class`."""


def on_failure_of(value: object, *, where: str, tools: Collection[str] = ()) -> dict[str, tuple[Reaction, ...]]:
    """Check what is said, and complete it.

    Args:
        value: as it was declared.
        where: for errors.
        tools: whose classes may be named one by one.

    Raises:
        ToolMistake: no such class, tool or reaction, or one that this class cannot have.
    """
    if not isinstance(value, Mapping):
        raise ToolMistake(f'{where}: on_failure is a {type(value).__name__}: write on_failure={{"auth": "escalate"}}.')
    return {_name(name, where, tools): _reactions(name, said, where) for name, said in value.items()}


def reactions_to(kind: FailureKind, *, tool: AnyTool, workflow: OnFailure) -> tuple[Reaction, ...]:
    """What is done about a failure of a tool, in order."""
    for said, name in ((workflow, f"{tool.name}.{kind}"), (tool.on_failure, kind), (workflow, kind)):
        if (found := said.get(name)) is not None:
            return (found,) if isinstance(found, str) else found
    return TREATMENTS[kind].reactions


def _name(name: object, where: str, tools: Collection[str]) -> str:
    tool, _, kind = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if kind not in KINDS:
        raise ToolMistake(f"{where}: on_failure names {name!r}, which is none of {', '.join(KINDS)}.")
    if tool and tool not in tools:
        known = ", ".join(sorted(tools)) or "none here"
        raise ToolMistake(f"{where}: on_failure names {name!r}; there is no tool {tool!r} ({known}).")
    if kind == "in_doubt":
        raise ToolMistake(
            f"{where}: what is in doubt is settled by on_doubt= of the tool, or by a person; by nothing else."
        )
    return str(name)


def _reactions(name: str, said: object, where: str) -> tuple[Reaction, ...]:
    reactions: Any = (said,) if isinstance(said, str) else said
    if not isinstance(reactions, tuple | list) or not reactions or not set(reactions) <= set(REACTIONS):
        raise ToolMistake(f"{where}: on_failure[{name!r}] is {said!r}; it takes one or more of {', '.join(REACTIONS)}.")
    kind = name.rpartition(".")[2]
    if AGAIN & set(reactions) and not TREATMENTS[kind].again:  # type: ignore[index]  # a kind: `_name` has looked
        raise ToolMistake(f"{where}: a failure of class {kind!r} is not tried again; leave out retry and park.")
    if any(one not in AGAIN for one in reactions[:-1]):
        raise ToolMistake(f"{where}: on_failure[{name!r}]: only retry and park can be followed by something else.")
    return (*reactions, "fail") if reactions[-1] in AGAIN else tuple(reactions)
