"""`make demo`: a review that is killed while it waits for a person, goes on in another process, and is done once.

Everything is real: a Postgres (the embedded one, unless GATEPOST_DATABASE_URL names another), the vendor's
services with books of their own, and the `gatepost` command in processes of which one gets a `kill -9`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatepost import open_checkpointer
from gatepost.checkpointing.embedded import default_home
from gatepost.examples.services import Services, ensure_services
from gatepost.examples.vendor_onboarding import GOAL
from gatepost.examples.vendor_onboarding.artifact import ARTIFACT
from gatepost.examples.vendor_onboarding.planning import plan_for
from gatepost.examples.vendor_onboarding.terminal import STAYS
from gatepost.state.effect import key_of
from gatepost.state.errors import GatepostError
from gatepost.state.ids import new_run_id

COMMAND = "gatepost.service.cli.app"
TERMINAL = "gatepost.examples.vendor_onboarding.terminal"
WAITS_FOR_A_PERSON = 3
APPROVER = "alice"


class DemoFailed(Exception):
    """A command did not do what the demo shows; it has said why."""


def main() -> int:
    """Run the demo; 0 when everything happened as it says."""
    run = new_run_id()
    try:
        url = ensure_services(default_home(), environ=os.environ)
        pid = _start_and_kill(run)
        _say(
            f"kill -9 {pid}: the process that started the run is gone. The run is in Postgres, and waits for a person,",
            "who would now read the request above, and approve, edit, reject or ask for more documents.",
            f"Here {APPROVER} approves, and the process that takes the answer carries the run on:",
        )
        _carry_on(run)
        _sum_up(run, url)
    except (DemoFailed, GatepostError) as error:
        print(f"The demo stopped: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read has read enough (`| head`); Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _start_and_kill(run: str) -> int:
    """Start the run in a process, and kill that while it is blocked; the process's id."""
    arguments = ["run", "--goal", GOAL, "--id", run, "--no-input"]
    _show(arguments)
    with _process(TERMINAL, arguments) as (process, lines):
        code = ""
        for line in lines:
            if line.startswith(STAYS):
                code = line.removeprefix(STAYS).strip()
                break
            print(line, flush=True)
        process.kill()
        process.wait()
    if code != str(WAITS_FOR_A_PERSON):
        raise DemoFailed(f"the run did not stop at its approval (exit code {code or process.returncode}).")
    return process.pid


def _carry_on(run: str) -> None:
    """Approve in another process, which carries the run on to its end."""
    arguments = ["approval", "approve", _question(run), "--as", APPROVER, "--artifacts", str(_folder())]
    _show(arguments)
    with _process(COMMAND, arguments) as (process, lines):
        for line in lines:
            print(line, flush=True)
    if process.returncode != 0:
        raise DemoFailed(f"the run did not come to its end (exit code {process.returncode}).")


def _sum_up(run: str, url: str) -> None:
    path = _folder() / run / ARTIFACT
    if not path.is_file():
        raise DemoFailed(f"the run left no {path}.")
    with Services(url) as services:
        counted = [_counted(services, run, step.id) for step in plan_for(()).steps]
    _say(f"The decision, with its evidence and who took it: {path}", "What the services counted in their own books:")
    print(*counted, sep="\n", flush=True)


def _question(run: str) -> str:
    """The id of the approval that the run waits for."""
    with open_checkpointer() as checkpointer:
        rows = checkpointer.bridge.run(checkpointer.approvals.list("local", run_id=run))
    if not rows:
        raise DemoFailed("nobody is asked anything.")
    return str(rows[0]["approval_id"])


def _folder() -> Path:
    """Where the demo's artifacts go: not into the folder that it happens to be called from."""
    return default_home() / "artifacts"


def _counted(services: Services, run: str, step: str) -> str:
    key = key_of(tenant="local", root_run=run, step=step)
    books = [endpoint["by_key"][key] for endpoint in services.books(key=key).values() if key in endpoint["by_key"]]
    attempts, acts = sum(book["attempts"] for book in books), sum(book["effects"] for book in books)
    return f"  {step}: asked {_times(attempts)}, done {_times(acts)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _show(arguments: list[str]) -> None:
    shown = " ".join(f'"{argument}"' if " " in argument else argument for argument in arguments)
    print(f"$ gatepost {shown}", flush=True)


def _say(*lines: str) -> None:
    print("", *(f"# {line}" for line in lines), "", sep="\n", flush=True)


@contextmanager
def _process(module: str, arguments: list[str]) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """A Python module as a process, with its lines as they come; gone when the block is left."""
    command = [sys.executable, "-m", module, *arguments]
    # The terminal stays until its input ends, so that it does not outlive a demo that is interrupted.
    stdin = subprocess.PIPE if module == TERMINAL else subprocess.DEVNULL
    with subprocess.Popen(  # noqa: S603 (our own module)
        command, stdin=stdin, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        try:
            yield process, (line.rstrip("\n") for line in process.stdout)
            process.wait()
        except BaseException:
            process.kill()
            raise


if __name__ == "__main__":
    sys.exit(main())
