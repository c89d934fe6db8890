"""Intents that travel in the commit that dispatches their step (`nodes.foretelling` says when, and why).

Invariant: what is foretold is committed, under our epoch, and not called yet. Whoever is about to call takes it out
first; what is left when the owner lets go is taken back, so that whoever goes on finds no doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gatepost.checkpointing.commits import Committed, Superstep
from gatepost.checkpointing.pool import Connection
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.session import Foretold, RunSession


def note(session: RunSession, superstep: Superstep, committed: Committed) -> None:
    """Note whose intents a superstep wrote; one whose key was there already is none of them."""
    for row in superstep.rows.get("intent", ()):
        if row["key"] in committed.announced:
            session.foretold[row["key"]] = Foretold(row, committed.at)


def taken(session: RunSession, row: Mapping[str, Any]) -> Foretold | None:
    """Take out an intent; it is given if it is committed just so. From here on it may be called."""
    told = session.foretold.pop(row["key"], None)
    if told is None or told.row != row:
        return None
    session.announced.add(row["key"])
    return told


async def withdraw(connection: Connection, session: RunSession, keys: Collection[str] | None = None) -> None:
    """Take back what was not called, all of it or some.

    Nobody can take one out to call it once it is being taken back: a call under an intent that says that nothing was
    called would be no doubt to whoever comes after its process died. Where no answer comes it is as it was, and taken
    back once more when the owner lets go: only the task that gave it up could call it.

    Raises:
        LostRun: another owner has the run.
    """
    told = {key: session.foretold.pop(key) for key in keys or tuple(session.foretold) if key in session.foretold}
    if not told:
        return
    under = {"run_id": session.run.run_id, "epoch": session.epoch, "keys": list(told)}
    try:
        await connection.execute(query("effect.withdraw"), under)
    except BaseException:
        session.foretold.update(told)
        raise
