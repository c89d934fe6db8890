"""The catalog: the workflows of one graph and their tools, by name and by goal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gatepost.nodes.replacement import Replacement, Replacements
from gatepost.nodes.tool import AnyTool, ToolMistake
from gatepost.nodes.workflow import Workflow
from gatepost.state.errors import UnknownGoal, UnknownVersion


class Catalog:
    """The workflows and tools of one graph.

    Args:
        workflows: no two may share a name or a goal.
        replaced: what takes the place of the tools with these names, for tests (`nodes.replacement`).

    Raises:
        ToolMistake: two things share a name, a replacement replaces nothing or may not, or one of
            these is something else than it must be.
    """

    def __init__(self, workflows: Iterable[Workflow], *, replaced: Mapping[str, Replacement] | None = None) -> None:
        self.workflows: dict[str, Workflow] = {}
        self._goals: dict[str, Workflow] = {}
        self._tools: dict[str, Mapping[str, AnyTool]] = {}
        replacements = Replacements(replaced)
        for workflow in _workflows(workflows):
            if workflow.name in self.workflows:
                raise ToolMistake(f"two workflows are called {workflow.name!r}.")
            self.workflows[workflow.name] = workflow
            self._tools[workflow.name] = replacements.among(_by_name(workflow))
            for goal in workflow.goals:
                if (other := self._goals.setdefault(_spoken(goal), workflow)) is not workflow:
                    raise ToolMistake(f"workflows {other.name!r} and {workflow.name!r} both mean {goal!r}.")
        replacements.check_used()

    def for_goal(self, goal: str) -> Workflow:
        """The workflow that a goal means.

        Raises:
            UnknownGoal: none; lists what is known.
        """
        if (found := self._goals.get(_spoken(goal))) is not None:
            return found
        known = ", ".join(repr(goal) for workflow in self.workflows.values() for goal in workflow.goals)
        raise UnknownGoal(f"no workflow is known for the goal {goal!r:.200}. Known goals: {known or 'none'}.")

    def named(self, workflow: str) -> Workflow:
        """The workflow of a run that is under way.

        Raises:
            UnknownVersion: this process does not have it.
        """
        if workflow not in self.workflows:
            known = ", ".join(sorted(self.workflows)) or "none"
            raise UnknownVersion(
                f"the run belongs to workflow {workflow!r}, which this process does not have (it has {known}). "
                "Move it with the code that has it; nothing was changed."
            )
        return self.workflows[workflow]

    def tools(self, workflow: str) -> Mapping[str, AnyTool]:
        """The tools of a workflow by name."""
        self.named(workflow)
        return self._tools[workflow]

    def tool(self, workflow: str, name: str) -> AnyTool:
        """A tool that a plan names.

        Raises:
            UnknownVersion: this process does not have it any more.
        """
        tools = self.tools(workflow)
        if name not in tools:
            raise UnknownVersion(
                f"the run's plan names the tool {name!r}, which workflow {workflow!r} does not have here "
                f"(it has {', '.join(sorted(tools))}). Move the run with the code that has it; nothing was changed."
            )
        return tools[name]


def _workflows(given: object) -> tuple[Workflow, ...]:
    if isinstance(given, Workflow):
        raise ToolMistake(f"one workflow where several are taken. Write a list: build_graph([{given.name}], …).")
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise ToolMistake(f"the workflows are a {type(given).__name__}. Write a list: build_graph([workflow], …).")
    found = tuple(given)
    if wrong := [one for one in found if not isinstance(one, Workflow)]:
        raise ToolMistake(f"among the workflows is a {type(wrong[0]).__name__}: {wrong[0]!r:.80}. Pass Workflow(…).")
    return found


def _by_name(workflow: Workflow) -> dict[str, AnyTool]:
    tools: dict[str, AnyTool] = {}
    for tool in workflow.tools:
        if tool.name in tools:
            raise ToolMistake(f"workflow {workflow.name!r} has two tools called {tool.name!r}.")
        tools[tool.name] = tool
    return tools


def _spoken(goal: str) -> str:
    return " ".join(goal.casefold().split())
