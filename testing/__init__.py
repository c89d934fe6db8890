"""What users test their own workflows with: a pytest plugin, and the pieces it is made of.

Names are imported when they are first used: pytest loads this room in every run on the machine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gatepost.testing.database import Database, DatabaseClock, Databases
    from gatepost.testing.history import assert_history, history_of
    from gatepost.testing.killed import Killed, Script, assert_survived, kill_everywhere
    from gatepost.testing.script import Answer, Unscripted, approve, edit, finish, reject, respond

__all__ = [
    "Answer",
    "Database",
    "DatabaseClock",
    "Databases",
    "Killed",
    "Script",
    "Unscripted",
    "approve",
    "assert_history",
    "assert_survived",
    "edit",
    "finish",
    "history_of",
    "kill_everywhere",
    "reject",
    "respond",
]

_HOMES = {
    "database": ("Database", "DatabaseClock", "Databases"),
    "history": ("assert_history", "history_of"),
    "killed": ("Killed", "Script", "assert_survived", "kill_everywhere"),
    "script": ("Answer", "Unscripted", "approve", "edit", "finish", "reject", "respond"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"gatepost.testing.{home}"), name)
    raise AttributeError(f"module 'gatepost.testing' has no attribute {name!r}")
