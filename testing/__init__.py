"""What users test their own workflows with: a pytest plugin, and the pieces it is made of."""

from __future__ import annotations

from gatepost.testing.database import Database, DatabaseClock, Databases
from gatepost.testing.history import assert_history, history_of
from gatepost.testing.script import Answer, Unscripted, approve, edit, finish, reject, respond

__all__ = [
    "Answer",
    "Database",
    "DatabaseClock",
    "Databases",
    "Unscripted",
    "approve",
    "assert_history",
    "edit",
    "finish",
    "history_of",
    "reject",
    "respond",
]
