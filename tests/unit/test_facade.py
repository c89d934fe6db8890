"""Pins what `import gatepost` promises: a name that goes, or comes, is a decision and not an accident."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import gatepost

NAMES = [
    "ApprovalRequest",
    "Artifact",
    "Cause",
    "Change",
    "Checkpointer",
    "Conclusion",
    "Condition",
    "Decision",
    "EffectContext",
    "Ending",
    "Every",
    "Fact",
    "Finding",
    "FixedPlan",
    "Fork",
    "Gate",
    "GatepostGraph",
    "Lease",
    "NotDone",
    "Plan",
    "Policy",
    "Recording",
    "Report",
    "Response",
    "Retry",
    "RunContext",
    "RunStatus",
    "Situation",
    "Step",
    "StepStatus",
    "Strategy",
    "Tool",
    "ToolFailed",
    "Undone",
    "Workflow",
    "__version__",
    "afork",
    "areplay",
    "build_graph",
    "difference",
    "fork",
    "open_checkpointer",
    "record",
    "ref",
    "replay",
    "tool",
    "tool_node",
]


def test_the_facade_has_these_names_and_no_others() -> None:
    assert gatepost.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name: str) -> None:
    found = getattr(gatepost, name)
    assert isinstance(found, str) or found.__doc__
    assert name in dir(gatepost)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        gatepost.nonsense  # noqa: B018


def test_the_version_is_that_of_the_installed_package() -> None:
    assert gatepost.__version__ == version("gatepost")


def test_importing_gatepost_costs_nothing_yet() -> None:
    heavy = "import sys, gatepost; print(*sorted({'langgraph', 'pydantic', 'cedarpy', 'psycopg'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""
