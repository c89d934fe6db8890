"""What is published is the whole package and nothing else.

The rooms reach the package through links. Some build tools drop linked folders in silence, and a checkout
without links builds a wheel of two files; both would pass every other test, which import the checkout.
So the wheel is built the way a release is (sdist, then the wheel from the sdist), listed, and imported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "gatepost"
NOT_SHIPPED = {".md"}  # notes to contributors may lie in a room


class Built(NamedTuple):
    sdist: Path
    wheel: Path


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def source_files() -> list[str]:
    """Everything that git would commit, ignoring what it ignores; new files count before they are added."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return sorted({name for name in listed.split("\0") if name and os.path.lexists(ROOT / name)})


def rooms() -> list[str]:
    return sorted(entry.name for entry in PACKAGE.iterdir() if entry.is_symlink())


def shipped_files() -> set[str]:
    """The names that the wheel must have, as files of the package gatepost."""
    names = set()
    for name in source_files():
        path = Path(name)
        if path.suffix in NOT_SHIPPED or (ROOT / name).is_symlink():
            continue
        if path.parts[0] in rooms():
            names.add(f"gatepost/{name}")
        elif path.is_relative_to("src"):
            names.add(path.relative_to("src").as_posix())
    return names


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A copy of the sources is built: the checkout stays clean, and its stale build records stay out."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in source_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    # Without isolation: the backend is in the dev group, and the test needs no package index.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source, cwd=source)
    (sdist,) = dist.glob("*.tar.gz")
    (wheel,) = dist.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def wheel_files(built: Built) -> dict[str, int]:
    with zipfile.ZipFile(built.wheel) as archive:
        return {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}


def test_the_wheel_holds_every_file_of_every_room(wheel_files: dict[str, int]) -> None:
    missing = sorted(shipped_files() - wheel_files.keys())
    assert not missing, f"not in the wheel: {missing}. A new kind of file? See package-data in pyproject.toml."


def test_the_wheel_holds_nothing_else(wheel_files: dict[str, int]) -> None:
    extra = sorted(name for name in wheel_files.keys() - shipped_files() if ".dist-info/" not in name)
    assert not extra


def test_gatepost_is_the_only_name_that_is_installed(wheel_files: dict[str, int]) -> None:
    tops = {name.split("/")[0] for name in wheel_files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gatepost"}


def test_no_link_is_left_in_what_is_published(built: Built, wheel_files: dict[str, int]) -> None:
    links = [name for name, mode in wheel_files.items() if mode & 0o170000 == 0o120000]
    with tarfile.open(built.sdist) as archive:
        links += [member.name for member in archive if member.issym()]
    assert not links


def test_the_sdist_names_its_licence(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        assert {"LICENSE", "pyproject.toml"} <= {Path(name).name for name in archive.getnames()}


def test_the_installed_wheel_is_what_gets_imported(built: Built, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"),
        *("--target", target, built.wheel),
        cwd=elsewhere,
    )
    show = "import gatepost, gatepost.graph; print(gatepost.__file__); print(gatepost.graph.__file__)"
    shown = run(sys.executable, "-c", show, cwd=elsewhere, PYTHONPATH=str(target)).split()
    assert [Path(line) for line in shown] == [
        target / "gatepost" / "__init__.py",
        target / "gatepost" / "graph" / "__init__.py",
    ]
