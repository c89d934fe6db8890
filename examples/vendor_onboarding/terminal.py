"""A terminal that is left open: the `gatepost` command, in a process that stays until somebody ends it.

For the demo, which kills such a process while its run waits for a person. The command itself ends there,
and a process that has ended cannot be killed.
"""

from __future__ import annotations

import runpy
import sys

STAYS = "[terminal] open"
"""The line that says: the command is through, this process is not. After it comes the command's exit code."""


def main() -> None:
    """Run the command with this process's arguments, and stay."""
    try:
        runpy.run_module("gatepost.service.cli.app", run_name="__main__")
        code: object = 0
    except SystemExit as end:
        code = end.code or 0
    print(STAYS, code, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
