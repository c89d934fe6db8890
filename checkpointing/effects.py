"""Effects as people see them: found by the beginning of a key, listed, shown, and settled by who found out.

Invariant: a person's word settles an effect only where it is in doubt and its run has ended; of a run that goes on,
it is the answer to a question (`checkpointing.approvals`).
"""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Json
from pydantic import JsonValue

from gatepost.checkpointing.pool import Pools
from gatepost.checkpointing.queries import query
from gatepost.checkpointing.runs import one_of
from gatepost.state.errors import UnknownEffect
from gatepost.state.ids import EffectKey
from gatepost.state.status import EffectState
from gatepost.state.step import Failure


class Effects:
    """The ledger, from the outside.

    Args:
        pools: connections.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def find(self, prefix: str, tenant: str) -> EffectKey:
        """The one effect whose key starts with `prefix`.

        Raises:
            UnknownEffect: none does.
            CallerMistake: several do.
        """
        async with self._pools.connection() as connection:
            cursor = await connection.execute(query("effect.find"), {"prefix": prefix, "tenant": tenant})
            found = [row["key"] for row in await cursor.fetchall()]
        return EffectKey(one_of(found, prefix=prefix, what="effect", unknown=UnknownEffect))

    async def page(
        self, tenant: str, *, unknown: bool = False, run_id: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """A page of effects as their rows are, newest first.

        Args:
            tenant: whose.
            unknown: only those of which nobody knows whether they happened; what was taken back did not.
            run_id: only those of a run.
            limit: rows.
        """
        params = {"tenant": tenant, "unknown": unknown, "run_id": run_id, "limit": limit}
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("effect.page"), params)).fetchall()

    async def row(self, key: str, tenant: str) -> dict[str, Any]:
        """One effect as its row is, with its run's status and owner, and the last `question` about it.

        Raises:
            UnknownEffect: the tenant has no such effect.
        """
        async with self._pools.connection() as connection:
            row = await (await connection.execute(query("effect.one"), {"key": key, "tenant": tenant})).fetchone()
        if row is None:
            raise UnknownEffect(f"there is no effect {key!r}. `gatepost effect list` shows those there are.")
        return row

    async def settle(
        self,
        key: str,
        tenant: str,
        state: EffectState,
        *,
        result: JsonValue,
        failure: Failure | None,
        actor: str,
        reason: str,
    ) -> bool:
        """Write down what somebody found out about an effect in doubt of a run that has ended.

        Returns:
            Whether it was; else it is known already, or its run has not ended.
        """
        params = {
            "key": key,
            "tenant": tenant,
            "state": state,
            "result": Json(result) if state is EffectState.SUCCEEDED else None,
            "failure": None if failure is None else Json(failure.plain()),
            "actor": actor,
            "reason": reason,
        }
        async with self._pools.connection() as connection:
            return await (await connection.execute(query("effect.settle"), params)).fetchone() is not None
