"""Runs every notebook from top to bottom, and checks that none is stored with what a run leaves in it.

A notebook is run in memory: what is stored does not change. It finds its files beside itself, as in Jupyter.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
CELL_SECONDS = 120
STRIP = ("--keep-id", "--extra-keys=metadata.language_info")  # the language's patch version is no content
KERNEL_LOG = "--IPKernelApp.log_level=40"  # errors only: every kernel warns that loopback is not encrypted


def stored_outputs(notebooks: list[Path]) -> list[str]:
    """One complaint for each notebook that holds what a run leaves, with the command that removes it."""
    stripper = Path(sys.executable).with_name("nbstripout")
    unclean = [
        path
        for path in notebooks
        if subprocess.run([stripper, *STRIP, "--verify", path], check=False, stdout=subprocess.DEVNULL).returncode
    ]
    remedy = " ".join([".venv/bin/nbstripout", *STRIP])
    return [f"{path.name} holds outputs or counts: run {remedy} notebooks/{path.name}" for path in unclean]


def failure_of(path: Path) -> str | None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        extra_arguments=[KERNEL_LOG],
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        timeout=CELL_SECONDS,
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return f"{path.name} fails:\n{error}"
    return None


def main() -> int:
    notebooks = sorted(FOLDER.glob("*.ipynb"))
    problems = stored_outputs(notebooks)
    for path in notebooks:
        started = time.monotonic()
        failure = failure_of(path)
        print(f"{path.name}: {'failed' if failure else 'ok'} ({time.monotonic() - started:.1f} s)", flush=True)
        problems += [failure] if failure else []
    print("\n".join(problems) if problems else f"{len(notebooks)} notebooks ran, none stores outputs")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
