"""Effects: how a side effect is named, so that it is the same one after any crash.

Invariant: the key depends on nothing that a crash, a retry, a replay or another worker changes;
two intended calls have two keys because they are two steps or two call paths. The idea is the
idempotency key of Stripe and of the IETF draft; the derivation is ours.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import JsonValue

from gatepost.state.canonical import digest_of
from gatepost.state.ids import EffectKey


class EffectClass(StrEnum):
    """What a tool does to the world."""

    READ = "read"
    """nothing: it may be repeated"""
    WRITE = "write"
    """something that can be undone or corrected"""
    IRREVERSIBLE = "irreversible"
    """something that cannot"""


class OnDoubt(StrEnum):
    """How it is found out whether an effect happened, when we died before we knew."""

    RETRY = "retry"
    """send it again under the same key: the provider dedupes"""
    LOOKUP = "lookup"
    """ask the provider by the key"""
    TRANSACTION = "transaction"
    """it commits with its own result in the same database"""
    ASK = "ask"
    """a person finds out"""


def key_of(
    *, tenant: str, root_run: str, step: str, call_path: str = "", purpose: str = "run", generation: int = 0
) -> EffectKey:
    """The idempotency key of one intended effect.

    Args:
        tenant: the owner of the run.
        root_run: the run, or the run it was forked from while effects are inherited.
        step: the step's id.
        call_path: which call inside the step, when it makes several.
        purpose: `run` or `compensate`.
        generation: rises only after a recorded definite failure or by a person's act, never on doubt.
    """
    return EffectKey(f"eff_{digest_of(tenant, root_run, step, call_path, purpose, generation)[:40]}")


def fingerprint_of(tool: str, args: JsonValue) -> str:
    """Hash of a call's tool and canonical arguments; the tool's version is not part of it."""
    return digest_of(tool, args)
