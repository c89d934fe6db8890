"""Identifiers: what they look like and how they are minted.

Ids are opaque, sortable by creation, safe in a URL, a shell and a log line, and may be abbreviated
to any prefix that is unique where it is used.
"""

from __future__ import annotations

import re
import secrets
from typing import NewType

from gatepost.state.errors import InvalidValue

RunId = NewType("RunId", str)
"""A run's id: LangGraph's `thread_id`."""
StepId = NewType("StepId", str)
"""A step's id, unique in its run for ever."""
ApprovalId = NewType("ApprovalId", str)
"""An approval's id: `apr_…`."""
EffectKey = NewType("EffectKey", str)
"""An idempotency key: `eff_…`."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,119}")
_STEP_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")


def new_run_id() -> RunId:
    """Mint a run id (`run_` and 12 random hex digits)."""
    return RunId(f"run_{secrets.token_hex(6)}")


def new_approval_id(seed: str) -> ApprovalId:
    """Derive an approval id from what opens it, so that a gate that runs again opens the same one."""
    return ApprovalId(f"apr_{seed[:12]}")


def run_id_of(value: object) -> RunId:
    """Check a run id given by a caller.

    Raises:
        InvalidValue: not a text, empty, too long, or with characters that do not travel well.
    """
    if not isinstance(value, str) or not _RUN_ID.fullmatch(value):
        raise InvalidValue(
            f"the run id {value!r:.150} is not usable. Use 1 to 120 letters, digits and . _ : @ - "
            "(it is LangGraph's thread_id), or leave it out and one is minted."
        )
    return RunId(value)


def is_step_id(value: str) -> bool:
    """Lower-case letters, digits and underscores, starting with a letter, at most 64."""
    return _STEP_ID.fullmatch(value) is not None
