"""What the demos share: `gatepost` in processes of its own, shown as it is typed, and what the other side has counted.

Everything is real: a Postgres (the embedded one, unless GATEPOST_DATABASE_URL names another), services with books of
their own, and processes of which one gets a `kill -9`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gatepost import open_checkpointer
from gatepost.checkpointing.embedded import default_home
from gatepost.examples.services import Services
from gatepost.state.effect import key_of
from gatepost.state.errors import GatepostError

COMMAND = "gatepost.service.cli.app"
WAITS_FOR_A_PERSON = 3
"""The command's exit code then."""


class DemoFailed(Exception):
    """A command did not do what the demo shows; it has said why."""


def performed(demo: Callable[[], None]) -> int:
    """Run a demo; 0 when everything happened as it says."""
    try:
        demo()
    except (DemoFailed, GatepostError) as error:
        print(f"The demo stopped: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read has read enough (`| head`); Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def say(*lines: str) -> None:
    """What happens, for whoever looks on."""
    print("", *(f"# {line}" for line in lines), "", sep="\n", flush=True)


def typed(*arguments: str, ends: int = 0) -> None:
    """A command, shown and run to its end.

    Raises:
        DemoFailed: it ended with another exit code.
    """
    show(*arguments)
    with process(COMMAND, *arguments) as (command, lines):
        for line in lines:
            print(line, flush=True)
    if command.returncode != ends:
        raise DemoFailed(
            f"`gatepost {' '.join(arguments[:2])} …` ended with exit code {command.returncode}, not {ends}."
        )


def show(*arguments: str) -> None:
    """A command as somebody would type it."""
    shown = " ".join(f'"{argument}"' if " " in argument else argument for argument in arguments)
    print(f"$ gatepost {shown}", flush=True)


@contextmanager
def process(
    module: str, *arguments: str, stdin: int = subprocess.DEVNULL
) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """A Python module as a process, with its lines as they come; gone when the block is left."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(  # noqa: S603 (our own module)
        command, stdin=stdin, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as started:
        assert started.stdout is not None
        try:
            yield started, (line.rstrip("\n") for line in started.stdout)
            started.wait()
        except BaseException:
            started.kill()
            raise


def question(run: str) -> str:
    """The id of the approval that the run waits for."""
    with open_checkpointer() as checkpointer:
        rows = checkpointer.bridge.run(checkpointer.approvals.list("local", run_id=run))
    if not rows:
        raise DemoFailed("nobody is asked anything.")
    return str(rows[0]["approval_id"])


def artifacts() -> Path:
    """Where the artifacts of a demo go: not into the folder that it happens to be called from."""
    return default_home() / "artifacts"


def left_behind(run: str, artifact: str) -> Path:
    """The file that a run has left there."""
    path = artifacts() / run / artifact
    if not path.is_file():
        raise DemoFailed(f"the run left no {path}.")
    return path


def counted(services: Services, run: str, step: str) -> str:
    """How often a step was asked for and done, in the services' own books."""
    key = key_of(tenant="local", root_run=run, step=step)
    books = [endpoint["by_key"][key] for endpoint in services.books(key=key).values() if key in endpoint["by_key"]]
    attempts, acts = sum(book["attempts"] for book in books), sum(book["effects"] for book in books)
    return f"  {step}: asked {_times(attempts)}, done {_times(acts)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
