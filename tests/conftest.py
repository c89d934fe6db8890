"""For all tests: a Ctrl-C can be sent to them and to what they start, and what they start is compiled once.

A shell starts background jobs with SIGINT ignored, and so would be everything below them; the tests of
interrupts would wait for one that never comes. And many a container sets PYTHONDONTWRITEBYTECODE: each of a
thousand processes would then compile every module of ours again, which takes a third of its start.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gatepost import Checkpointer


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--screenshots DIR`: where pictures of the pages are left for somebody to look at."""
    parser.addoption("--screenshots", metavar="DIR", default=None, help="leave the pictures of the pages in a folder")


def pytest_configure() -> None:
    """Take SIGINT back where whoever started the tests has it ignored, and let bytecode be kept."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def checkpointer(gatepost_checkpointer: Checkpointer) -> Checkpointer:
    """The plugin's, by a shorter name."""
    return gatepost_checkpointer
