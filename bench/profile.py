"""Where a process spends its time: its stacks, sampled every millisecond while its runs are between two marks.

Sampling from a thread of the process itself sees Python code that holds the lock or waits for it, and
charges C code to the Python line that called it. Only threads that are at work count: a thread that
waits in a selector, a lock or a socket is idle.
"""

from __future__ import annotations

import collections
import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType

EVERY_SECONDS = 0.001
IDLE = {
    ("selectors.py", "select"),
    ("threading.py", "wait"),
    ("threading.py", "_wait_for_tstate_lock"),
    ("connection.py", "_recv"),
    ("connection.py", "recv"),
    ("connection.py", "poll"),
    ("thread.py", "_worker"),
    ("queue.py", "get"),
    ("profile.py", "_sample"),
}
Line = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Found:
    """How many samples there were, and which lines were on the stack in how many of them."""

    samples: int
    busy: int
    own: collections.Counter[Line]
    """The innermost frame."""
    within: collections.Counter[Line]
    """Anywhere on the stack, once a sample."""


class Profile:
    """Samples until it is stopped."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="profile")
        self._own: collections.Counter[Line] = collections.Counter()
        self._within: collections.Counter[Line] = collections.Counter()
        self._samples = self._busy = 0

    def start(self) -> None:
        sys.setswitchinterval(0.0005)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def found(self) -> Found:
        """What was seen."""
        return Found(self._samples, self._busy, self._own, self._within)

    def _sample(self) -> None:
        me = threading.get_ident()
        while not self._stop.is_set():
            time.sleep(EVERY_SECONDS)
            self._samples += 1
            for ident, frame in sys._current_frames().items():  # noqa: SLF001  the one way to see other threads
                if ident != me:
                    self._count(frame)

    def _count(self, frame: FrameType) -> None:
        if (frame.f_code.co_filename.rsplit("/", 1)[-1], frame.f_code.co_name) in IDLE:
            return
        self._busy += 1
        self._own[_line(frame)] += 1
        seen: set[Line] = set()
        at: FrameType | None = frame
        while at is not None:
            seen.add(_line(at))
            at = at.f_back
        self._within.update(seen)


def _line(frame: FrameType) -> Line:
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
