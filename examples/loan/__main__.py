"""`make demo-loan`: a loan whose scorer fails, whose process is killed there, and that is granted once all the same."""

from __future__ import annotations

import json
import subprocess
import sys

from gatepost.examples.loan import GOAL
from gatepost.examples.loan.artifact import ARTIFACT
from gatepost.examples.loan.planning import LOAN
from gatepost.examples.nearby import services_url
from gatepost.examples.services import Bank
from gatepost.examples.stage import (
    COMMAND,
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
from gatepost.state.ids import new_run_id

REVIEWER, ROLE = "carol", "compliance"


def main() -> int:
    """Run the demo; 0 when everything happened as it says."""
    return performed(_demo)


def _demo() -> None:
    run = new_run_id()
    with Bank(services_url()) as bank:
        pid = _start_and_kill(run, bank)
        say(
            "The scorer has answered 503; the run has tried again, under the same key, and the scorer lets it wait.",
            f"kill -9 {pid}: the process is gone, in the middle of the third step. Another one takes the run over, as",
            "soon as the lease of the first has run out (10 seconds). It asks the scorer only, and then waits:",
        )
        typed("run", "resume", run, "--no-input", ends=WAITS_FOR_A_PERSON)
        say(f"A person has to answer for the money, in the role {ROLE}. Here {REVIEWER} has it, and says yes:")
        typed("role", "grant", REVIEWER, ROLE)
        typed("approval", "approve", question(run), "--as", REVIEWER, "--artifacts", str(artifacts()))
        _sum_up(run, bank)


def _start_and_kill(run: str, bank: Bank) -> int:
    """Start the run in a process, and kill that while the scorer holds its second call; the process's id."""
    path, arguments = f"/loans/{run}/score", ("run", "--goal", GOAL, "--id", run, "--no-input")
    bank.fault(path, kind="status", status=503)
    bank.fault(path, kind="delay_before")
    show(*arguments)
    with process(COMMAND, *arguments) as (command, lines):
        held = _held(bank, path, command)
        command.kill()
        for line in lines:
            print(line, flush=True)
    # The call that was sent goes on without its caller: its key is what keeps it from counting twice.
    bank.release(path=path)
    if not held:
        raise DemoFailed(f"the run never came to its third step (exit code {command.returncode}).")
    return command.pid


def _held(bank: Bank, path: str, command: subprocess.Popen[str]) -> bool:
    """Wait until the scorer holds a call; whether it does before the command has ended."""
    while command.poll() is None:
        if any(call["path"] == path for call in bank.held(at_least=1, seconds=1)):
            return True
    return False


def _sum_up(run: str, bank: Bank) -> None:
    path = left_behind(run, ARTIFACT)
    decided = json.loads(path.read_text(encoding="utf-8"))
    failure = decided["failure"]
    say(
        f"The decision, with who took it, on what: {path}",
        f"What the 503 and the kill have cost: {failure['calls']} calls more, {failure['seconds']:.1f} seconds, and "
        f"{failure['units']} units beyond the {decided['units']} that a loan costs anyhow.",
        "What the others counted in their own books:",
    )
    print(*(counted(bank, run, step.id) for step in LOAN.steps), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
