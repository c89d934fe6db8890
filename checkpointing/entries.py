"""Entries: when each owner took a run and by what code it moved it, and what models said to strategies.

Invariant: what a superstep rests on and no other row says is committed before that superstep, so a
transition that exists can be executed again. A model is asked once for each prompt of a plan
version: an owner that died after the answer leaves the answer to the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Json
from pydantic import JsonValue

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.session import RunSession
from gatepost.state.canonical import digest_of


class Entries:
    """The record of what runs rest on.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def note(self, session: RunSession, facts: Mapping[str, Any]) -> None:
        """Write down that this owner took the run, when, and by what code it will move it."""
        params = {
            "run_id": session.run.run_id,
            "epoch": session.epoch,
            "now": session.now,
            "status": session.status,
            "reason": session.reason,
            "code": digest_of(dict(facts)),
            "facts": Json(dict(facts)),
        }
        async with self._pools.connection() as connection:
            await connection.execute(query("entry.note"), params)

    async def answer(self, session: RunSession, plan_version: int, number: int, prompt: JsonValue) -> list[JsonValue]:
        """What a model said to this prompt in this place: one answer, or none."""
        params = _place(session, plan_version, number, prompt)
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("entry.answer"), params)).fetchone()
        return [] if row is None else [row["answer"]]

    async def inherited(
        self, session: RunSession, plan_version: int, number: int, prompt: JsonValue, *, alike: bool
    ) -> list[JsonValue]:
        """What a model said to this prompt in the runs that a fork comes from: one answer, or none.

        Args:
            session: the held run, a fork.
            plan_version: that is planned.
            number: of the question in it.
            prompt: what is asked.
            alike: whether the answer to another prompt in the same place will do.
        """
        params = {**_place(session, plan_version, number, prompt), "tenant": session.run.tenant, "any": alike}
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("entry.inherited"), params)).fetchone()
        return [] if row is None else [row["answer"]]

    async def answered(
        self, session: RunSession, plan_version: int, number: int, prompt: JsonValue, answer: JsonValue
    ) -> None:
        """Write down what a model said, before anything follows from it."""
        session.check()
        params = {**_place(session, plan_version, number, prompt), "prompt": Json(prompt), "answer": Json(answer)}
        async with self._pools.connection() as connection:
            await connection.execute(query("entry.answered"), params)


def _place(session: RunSession, plan_version: int, number: int, prompt: JsonValue) -> dict[str, Any]:
    return {
        "run_id": session.run.run_id,
        "epoch": session.epoch,
        "plan_version": plan_version,
        "number": number,
        "digest": digest_of(prompt),
    }
