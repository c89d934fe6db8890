"""What a stepper asks of the database: metadata page by page, and the state of a checkpoint when somebody looks at it.

Invariant: no answer grows with the run, but with what is looked at; a run of another tenant is one that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, cast

from gatepost.graph.compiled import GatepostGraph
from gatepost.graph.context import RunContext, who_acts
from gatepost.graph.view import seq_of
from gatepost.service.notebook import shown
from gatepost.service.terminal import safe
from gatepost.state.errors import InvalidValue
from gatepost.state.transition import Transition

PAGE = 50
_LEVELS = 2


class Reading:
    """One run.

    Args:
        graph: where it is.
        run: its id.
        context: for whom it is read.
    """

    def __init__(self, graph: GatepostGraph, run: str, context: RunContext | None) -> None:
        self._graph, self._run, self._context = graph, run, context
        self._config: Any = {"configurable": {"thread_id": run}}

    async def head(self) -> dict[str, Any]:
        """The run: `run, workflow, goal, status, first, last`; a fork begins where its parent was.

        Raises:
            UnknownRun: the tenant has no such run.
        """
        row = await self._graph.saver.runs.get(self._run, who_acts(self._context).tenant)
        told = {name: safe(row[name]) for name in ("workflow", "goal", "status")}
        forked = f"fork of {row['parent_run_id']} at {row['parent_seq']}" if row["parent_run_id"] else ""
        first = row["parent_seq"] or min(1, row["seq"])
        return {"run": safe(self._run), **told, "forked": safe(forked), "first": first, "last": row["seq"]}

    async def transitions(self, *, after: int | None = None, limit: int = PAGE) -> list[Transition]:
        """A page of them: the first ones after a number, or the newest."""
        return await self._graph.ahistory(self._config, after=after, limit=limit, context=self._context)

    async def values(self, seq: int) -> Mapping[str, Any]:
        """The state that a transition left, plan and steps joined in.

        Raises:
            InvalidValue: there is no such transition, or no state of it was kept.
        """
        return cast(
            "Mapping[str, Any]", (await self._graph.aget_state(await self._at(seq), context=self._context)).values
        )

    async def before(self, seq: int) -> tuple[int | None, Mapping[str, Any]]:
        """The nearest kept state before a transition's, and its number; an empty one before the first."""
        earlier = self._graph.aget_state_history(
            self._config, before=await self._at(seq), limit=1, context=self._context
        )
        async with aclosing(cast("Any", earlier)) as found:
            async for snapshot in found:
                return seq_of(snapshot), snapshot.values
        return None, {}

    async def newest(self, limit: int) -> dict[int, Mapping[str, Any]]:
        """The newest kept states by their transition's number, newest first."""
        found: dict[int, Mapping[str, Any]] = {}
        kept = self._graph.aget_state_history(self._config, limit=limit, context=self._context)
        async with aclosing(cast("Any", kept)) as snapshots:
            async for snapshot in snapshots:
                if (seq := seq_of(snapshot)) is not None:
                    found[seq] = snapshot.values
        return found

    async def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the drawn stepper asks: a page, a state, a part of one, or a comparison.

        Raises:
            InvalidValue: it asks for something else.
        """
        match asked:
            case {"ask": "page", "after": int(after)}:
                page = await self.transitions(after=max(0, after))
                return {"page": [shown.entry(one) for one in page], "head": await self.head()}
            case {"ask": "state", "seq": int(seq)}:
                values = await self.values(seq)
                earlier, before = await self.before(seq)
                told = shown.changes(before, values)
                return {"tree": shown.tree("state", values, deep=_LEVELS), "since": earlier, **told}
            case {"ask": "part", "seq": int(seq), "path": list(path), "start": int(start)}:
                keys = [str(key) for key in path]
                found = shown.part(await self.values(seq), keys)
                return {"tree": shown.tree(keys[-1] if keys else "state", found, deep=_LEVELS, start=max(0, start))}
            case {"ask": "compare", "seq": int(seq), "with": int(other)}:
                return shown.changes(await self.values(other), await self.values(seq))
            case _:
                raise InvalidValue(
                    f"a stepper is asked for a page, a state, a part or a comparison, not {asked!r:.100}."
                )

    async def _at(self, seq: int) -> Any:
        page = await self.transitions(after=seq - 1, limit=1) if seq >= 1 else []
        if not page or page[0].seq != seq:
            raise InvalidValue(f"run {self._run} has no transition {seq}. `graph.history(config)` has all of them.")
        if page[0].checkpoint_id is None:
            raise InvalidValue(f"no state was kept at transition {seq}: its workflow's checkpoint policy keeps fewer.")
        return {"configurable": {"thread_id": self._run, "checkpoint_ns": "", "checkpoint_id": page[0].checkpoint_id}}
