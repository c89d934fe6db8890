"""The superstep of a run that is alone with its commit, with one effect and one intent at most, as nearly all have.

Its values go to the server as they are, in one plain statement. Lists of several runs are read as JSON there, and
written by a function with a statement for each table, which takes the server a third longer. Whatever is not so
plain, and a run whose status or reason changes, goes the way of several (`run.commit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from gatepost.state.status import RunStatus

if TYPE_CHECKING:
    from gatepost.checkpointing.commits import Superstep

PLAIN = {"step", "effect", "intent"}
"""Parts of what nodes stage that the statement can write."""
NO_EFFECT: dict[str, Any] = dict.fromkeys(("key", "state", "result", "failure"))
INTENT = (
    *("root_run_id", "tenant", "call_path", "purpose", "tool", "tool_version", "effect_class", "on_doubt"),
    *("fingerprint", "approval_id"),
)
NO_INTENT: dict[str, Any] = {**dict.fromkeys((*INTENT, "intended_key", "intended_step", "arguments")), "generation": 0}
NO_BLOB = [b""]
"""A list is never empty: it would have no type, and the statement would be prepared once more for it."""


def parameters(superstep: Superstep) -> dict[str, Any] | None:
    """The parameters of `run.commit_alone`; None where the superstep is not so plain."""
    rows, transition = superstep.rows, superstep.transition
    if (
        superstep.passed is not None
        or not transition["next"]
        or transition["plan_version"] is None
        or transition["status"] != RunStatus.RUNNING
        or not PLAIN.issuperset(rows)
        or any(len(rows.get(part, ())) > 1 for part in ("effect", "intent"))
    ):
        return None
    place, blobs = superstep.place, superstep.blobs
    return {
        "run_id": superstep.run_id,
        "epoch": superstep.epoch,
        "seq": superstep.seq,
        **transition,
        "nodes": _array(transition["nodes"]),
        "next": _array(transition["next"]),
        "steps": _json(rows["step"]) if rows.get("step") else None,
        **(_effect(*rows["effect"]) if rows.get("effect") else NO_EFFECT),
        **(_intent(*rows["intent"]) if rows.get("intent") else NO_INTENT),
        "parent": place["parent"],
        "checkpoint": _json(place["checkpoint"]),
        "metadata": _json(place["metadata"]),
        "channels": _array([blob.channel for blob in blobs] or [""]),
        "versions": _array([blob.version for blob in blobs] or [""]),
        "types": _array([blob.kind for blob in blobs] or [""]),
        "blobs": [blob.value for blob in blobs] or NO_BLOB,
    }


def _effect(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: None if row[name] is None else _json(row[name]) for name in ("result", "failure")}
    return {"key": row["key"], "state": row["state"], **told}


def _intent(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in INTENT},
        "intended_key": row["key"],
        "intended_step": row["step_id"],
        "generation": row["generation"],
        "arguments": _json(row["arguments"]),
    }


def _json(value: Any) -> str:
    return to_json(value).decode()


def _array(names: Sequence[str]) -> str:
    """An array as Postgres reads it. psycopg looks at each member of a list: these six took it half of a statement."""
    return "{" + ",".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names) + "}"
