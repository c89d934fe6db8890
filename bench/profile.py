"""Where processes spend their time: py-spy looks at them from outside while their runs are between two marks.

From outside, because a thread of the process itself is only let in where the interpreter's lock is
released, and then every sample shows somebody about to read or write a socket.
"""

from __future__ import annotations

import collections
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

RATE = 250
"""Looks a second."""
STARTS_WITHIN_SECONDS = 2.0
FRAME = re.compile(r"^(?P<function>.*) \((?P<file>.*?)(?::(?P<line>\d+))?\)$")
IDLE = {
    ("threading.py", "Condition.wait"),
    ("threading.py", "Thread._wait_for_tstate_lock"),
    ("thread.py", "_worker"),
    ("selectors.py", "EpollSelector.select"),
    ("selectors.py", "KqueueSelector.select"),
    ("connection.py", "Connection._recv"),
    ("waiting.py", "wait_epoll"),
}
"""Where a thread waits. The profiler tells waiting from working by itself, but not everywhere."""
Line = tuple[str, int, str]
"""File, line, function."""
Stacks = collections.Counter[tuple[Line, ...]]
"""How often each stack was seen at work; innermost line first."""


def watcher() -> str | None:
    """The profiler, if it is installed."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


class Watch:
    """Watches processes from `start` to `stop`.

    Args:
        processes: their ids.
    """

    def __init__(self, processes: Sequence[int]) -> None:
        self._processes = processes
        self._watchers: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self) -> None:
        """Start looking; the processes go on a little later, so that it has begun."""
        folder = Path(tempfile.mkdtemp(prefix="gatepost-profile-"))
        for process in self._processes:
            file = folder / f"{process}.txt"
            command = [str(watcher()), "record", f"--pid={process}", f"--rate={RATE}", "--format=raw"]
            command += ["--full-filenames", "--duration=600", f"--output={file}"]
            watching = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self._watchers.append((watching, file))
        time.sleep(STARTS_WITHIN_SECONDS)

    def stop(self) -> Stacks:
        """Stop looking; returns what was seen."""
        seen: Stacks = collections.Counter()
        for watching, file in self._watchers:
            watching.send_signal(signal.SIGINT)
            watching.wait(60)
            for line in file.read_text().splitlines():
                frames, _, count = line.rpartition(" ")
                stack = tuple(_line(frame) for frame in reversed(frames.split(";")))
                if (stack[0][0].rsplit("/", 1)[-1], stack[0][2]) not in IDLE:
                    seen[stack] += int(count)
        shutil.rmtree(self._watchers[0][1].parent)
        return seen


def _line(frame: str) -> Line:
    found = FRAME.match(frame)
    if found is None:
        return frame, 0, frame
    return found["file"], int(found["line"] or 0), found["function"]
