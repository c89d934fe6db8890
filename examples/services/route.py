"""An endpoint, and what its act may know beside the request.

An act is pure: it reads the request and the occasion and gives the answer; the reception books it, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gatepost.examples.services.message import Request


@dataclass(frozen=True, slots=True)
class Occasion:
    """When it is, a name for the record, and what the books say."""

    at: str
    reference: str
    calls: Callable[[str], int]
    """How many calls a path has had, under whatever key and however they ended, this one included."""
    latest: Callable[[str], Any]
    """What was answered last where a path has acted; None where it never has."""


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint."""

    name: str
    method: str
    pattern: str
    act: Callable[[Request, Occasion], Any]
    needs_key: bool
    status: int
    price: int = 0
    """What an act is charged for, in units; a call that does not act, and a repeated one, costs nothing."""
