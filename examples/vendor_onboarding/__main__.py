"""`make demo`: a review that is killed while it waits for a person, goes on in another process, and is done once."""

from __future__ import annotations

import subprocess
import sys

from gatepost.examples.nearby import services_url
from gatepost.examples.services import Services
from gatepost.examples.stage import (
    WAITS_FOR_A_PERSON,
    DemoFailed,
    artifacts,
    counted,
    left_behind,
    performed,
    process,
    question,
    say,
    show,
    typed,
)
from gatepost.examples.vendor_onboarding import GOAL
from gatepost.examples.vendor_onboarding.artifact import ARTIFACT
from gatepost.examples.vendor_onboarding.planning import plan_for
from gatepost.examples.vendor_onboarding.terminal import STAYS
from gatepost.state.ids import new_run_id

TERMINAL = "gatepost.examples.vendor_onboarding.terminal"
APPROVER = "alice"


def main() -> int:
    """Run the demo; 0 when everything happened as it says."""
    return performed(_demo)


def _demo() -> None:
    run, url = new_run_id(), services_url()
    pid = _start_and_kill(run)
    say(
        f"kill -9 {pid}: the process that started the run is gone. The run is in Postgres, and waits for a person,",
        "who would now read the request above, and approve, edit, reject or ask for more documents.",
        f"Here {APPROVER} approves, and the process that takes the answer carries the run on:",
    )
    typed("approval", "approve", question(run), "--as", APPROVER, "--artifacts", str(artifacts()))
    _sum_up(run, url)


def _start_and_kill(run: str) -> int:
    """Start the run in a process, and kill that while it is blocked; the process's id."""
    arguments = ("run", "--goal", GOAL, "--id", run, "--no-input")
    show(*arguments)
    # The terminal stays until its input ends, so that it does not outlive a demo that is interrupted.
    with process(TERMINAL, *arguments, stdin=subprocess.PIPE) as (terminal, lines):
        code = ""
        for line in lines:
            if line.startswith(STAYS):
                code = line.removeprefix(STAYS).strip()
                break
            print(line, flush=True)
        terminal.kill()
        terminal.wait()
    if code != str(WAITS_FOR_A_PERSON):
        raise DemoFailed(f"the run did not stop at its approval (exit code {code or terminal.returncode}).")
    return terminal.pid


def _sum_up(run: str, url: str) -> None:
    path = left_behind(run, ARTIFACT)
    with Services(url) as services:
        lines = [counted(services, run, step.id) for step in plan_for(()).steps]
    say(f"The decision, with its evidence and who took it: {path}", "What the services counted in their own books:")
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
