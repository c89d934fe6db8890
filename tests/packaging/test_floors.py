"""No installed or pinned dependency is older than the release that closed its last known hole.

The advisories behind the numbers: unsafe revival of stored values (langgraph, langgraph-checkpoint,
langchain-core), a namespace prefix that crosses tenants (langgraph-checkpoint-postgres), request paths that
an id can redirect (langgraph-sdk), and redaction that streamed events pass by (langsmith).
"""

from __future__ import annotations

import re
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
FLOORS = {
    "langchain-core": "1.3.3",
    "langgraph": "1.2.14",
    "langgraph-checkpoint": "4.3.1",
    "langgraph-checkpoint-postgres": "3.1.1",
    "langgraph-sdk": "0.4.6",
    "langsmith": "0.7.31",
}


def pins() -> dict[str, Version]:
    found = re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: Version(pinned) for name, pinned in found}


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_what_is_installed_is_not_below_its_floor(name: str, floor: str) -> None:
    assert Version(version(name)) >= Version(floor)


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_what_is_pinned_is_not_below_its_floor(name: str, floor: str) -> None:
    assert pins()[name] >= Version(floor)


def test_what_we_ask_for_ourselves_excludes_what_is_below() -> None:
    wanted = {need.name: need.specifier for need in map(Requirement, requires("gatepost") or [])}
    ours = FLOORS.keys() & wanted.keys()
    assert ours >= {"langchain-core", "langgraph", "langgraph-checkpoint", "langgraph-checkpoint-postgres"}
    for name in ours:
        admitted = min(Version(bound.version) for bound in wanted[name] if bound.operator in {">=", "=="})
        assert admitted >= Version(FLOORS[name]), f"{name}: {admitted} is admitted"
