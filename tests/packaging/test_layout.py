"""The rooms are real folders, and each is one link away from its import name.

Invariant: a room has exactly one module identity, gatepost.<room>. A twin imported by its bare name would
have its own classes, which no isinstance and no except clause of ours would recognise.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import gatepost

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "gatepost"
ROOMS = ("checkpointing", "examples", "graph", "nodes", "service", "state", "testing")
OUTSIDE = {"bench", "tests"}  # folders that may hold Python and are no rooms
DOORS = {"notebook"}  # modules beside the facade: names for what lies in a room
LINK_MODE = "120000"
LOST_LINKS = (
    "git stored or checked out a link as something else. Set `git config core.symlinks true`, then "
    "`git checkout -- src/gatepost`; on Windows this needs Developer Mode."
)


def index_modes() -> dict[str, str]:
    """The mode that git has stored for everything directly in src/gatepost."""
    listed = subprocess.run(
        ["git", "ls-files", "--stage", "src/gatepost"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return {line.split("\t")[1].rsplit("/", 1)[-1]: line.split()[0] for line in listed.splitlines()}


def settings() -> dict[str, Any]:
    tools: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    return tools


def twins() -> list[str]:
    """Modules that come from this checkout under a room's bare name."""
    found = [module for name, module in sys.modules.items() if name.split(".")[0] in ROOMS]
    files = [str(getattr(module, "__file__", None) or "") for module in found]
    return [file for file in files if Path(file).resolve().is_relative_to(ROOT) and ".venv" not in Path(file).parts]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_a_relative_link_to_its_real_folder(room: str) -> None:
    link = PACKAGE / room
    assert link.is_symlink(), f"src/gatepost/{room} is no link: {LOST_LINKS}"
    assert link.readlink() == Path("..", "..", room)
    assert link.resolve() == ROOT / room
    assert not (ROOT / room).is_symlink()
    assert (link / "__init__.py").is_file()


def test_git_stores_every_room_as_a_link() -> None:
    modes = index_modes()
    # What is not yet added has no mode; in a fresh clone every room has one.
    wrong = {room: modes[room] for room in ROOMS if modes.get(room, LINK_MODE) != LINK_MODE}
    assert not wrong, f"{wrong}: {LOST_LINKS}"


def test_every_package_at_the_top_is_a_room_with_a_link() -> None:
    packages = {init.parent.name for init in ROOT.glob("[a-z]*/__init__.py")} - OUTSIDE
    links = {entry.name for entry in PACKAGE.iterdir() if entry.is_dir() and entry.name != "__pycache__"}
    assert packages == links == set(ROOMS)


def test_every_tool_knows_every_room() -> None:
    tools = settings()
    banned = tools["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    (layers,) = (contract["layers"] for contract in tools["importlinter"]["contracts"] if contract["type"] == "layers")
    assert set(banned) >= set(ROOMS)
    assert {f"src/gatepost/{room}" for room in ROOMS} < set(tools["basedpyright"]["include"])
    assert {name.strip() for layer in layers for name in layer.split("|")} == {*ROOMS, *DOORS}


def test_no_room_has_a_twin() -> None:
    for module in pkgutil.walk_packages(gatepost.__path__, "gatepost."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    assert not twins()


def test_a_room_is_imported_through_its_link() -> None:
    graph = importlib.import_module("gatepost.graph")
    assert graph.__file__ == str(PACKAGE / "graph" / "__init__.py")
