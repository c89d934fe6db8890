"""Runs basedpyright and refuses a clean report over only half of the files.

Pyright does not descend into linked folders, and says nothing about it: a room that the include list of
pyproject.toml forgets would pass unread. So what it analysed is counted against what is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LINKS = ROOT / "src" / "gatepost"


def expected_files() -> list[str]:
    """The Python files of the package, of every room that it links to, and of the tests, as git has them."""
    rooms = sorted(link.name for link in LINKS.iterdir() if link.is_dir() and not link.name.startswith("__"))
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src", "tests", *rooms],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return sorted({name for name in listed if name.endswith(".py") and (ROOT / name).is_file()})


def report() -> dict[str, Any]:
    checker = Path(sys.executable).with_name("basedpyright")
    done = subprocess.run([checker, "--outputjson"], cwd=ROOT, check=False, capture_output=True, text=True)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"basedpyright gave no report (exit code {done.returncode}):\n{done.stdout}{done.stderr}")
    return found


def line_of(problem: dict[str, Any]) -> str:
    place = Path(problem["file"])
    shown = place.relative_to(ROOT) if place.is_relative_to(ROOT) else place
    line = problem.get("range", {}).get("start", {}).get("line", -1) + 1
    return f"{shown}:{line}: {problem['severity']}: {problem['message']} ({problem.get('rule', 'no rule')})"


def main() -> int:
    found = report()
    for problem in found["generalDiagnostics"]:
        print(line_of(problem))
    analysed, expected = found["summary"]["filesAnalyzed"], len(expected_files())
    problems = len(found["generalDiagnostics"])
    print(f"basedpyright: {problems} problems in {analysed} files")
    if analysed != expected:
        print(
            f"basedpyright analysed {analysed} files, but {expected} are there: "
            "name every src/gatepost/<room> under [tool.basedpyright] include in pyproject.toml."
        )
    return int(problems > 0 or analysed != expected)


if __name__ == "__main__":
    sys.exit(main())
