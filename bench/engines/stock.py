"""Stock LangGraph with its own Postgres savers: a node that loops, its cheapest shape (a chain of many
nodes carries a version of each in every checkpoint).
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from bench.engines.engine import PAGE, TEXT, in_tasks, in_threads, varied
from bench.marks import Marks

HOW: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}


class Doc(TypedDict):
    """About as much as a step of ours leaves in the channels."""

    n: int
    doc: dict[str, Any]


class Log(TypedDict):
    """The shape that many agents have: a list to which every step adds."""

    n: int
    log: Annotated[list[dict[str, Any]], operator.add]


def _config(run: str, steps: int) -> Any:
    return {"configurable": {"thread_id": run}, "recursion_limit": steps + 5}


def _builder(steps: int, work: Any, *, shape: type = Doc) -> StateGraph[Any, Any, Any, Any]:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(shape)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if state["n"] < steps else END, ["work", END])
    return builder


def _doc(state: Doc) -> dict[str, Any]:
    return {"n": state["n"] + 1, "doc": {"text": TEXT, "n": state["n"]}}


class StockSync:
    """PostgresSaver over a pool, as its documentation shows: one saver in a process."""

    def prepare(self, url: str) -> None:
        with PostgresSaver.from_conn_string(url) as saver:
            saver.setup()

    def open(self, url: str, *, width: int) -> None:
        self._pool = ConnectionPool(
            url, connection_class=Connection[DictRow], kwargs=HOW, min_size=width, max_size=width, open=True
        )
        self._pool.wait()
        self._saver = PostgresSaver(self._pool)

    def close(self) -> None:
        self._pool.close()

    def saver(self) -> PostgresSaver:
        return self._saver

    def drive(self, runs: Sequence[str], steps: int, marks: Marks) -> None:
        def work(state: Doc) -> dict[str, Any]:
            marks.at(state["n"])
            return _doc(state)

        def one(run: str) -> None:
            graph = _builder(steps, work).compile(checkpointer=self.saver())
            graph.invoke({"n": 0, "doc": {}}, _config(run, steps), durability="sync")

        in_threads(one, runs, marks)


class Bare:
    """No checkpointer: what LangGraph itself takes for a superstep."""

    def prepare(self, url: str) -> None:
        """It has no tables."""

    def open(self, url: str, *, width: int) -> None:
        """It has no connections."""

    def close(self) -> None:
        """Ditto."""

    def drive(self, runs: Sequence[str], steps: int, marks: Marks) -> None:
        async def work(state: Doc) -> dict[str, Any]:
            await marks.at_async(state["n"])
            return _doc(state)

        graph = _builder(steps, work).compile()

        async def one(run: str) -> None:
            await graph.ainvoke({"n": 0, "doc": {}}, _config(run, steps))

        asyncio.run(in_tasks(one, runs, marks))


class StockSyncEach(StockSync):
    """As above with a saver for each run, which goes round the lock that a PostgresSaver has for its pool."""

    def saver(self) -> PostgresSaver:
        return PostgresSaver(self._pool)


class StockGrowing(StockSync):
    """As `StockSync` with a list channel that grows: the library writes all of it at every step."""

    def drive(self, runs: Sequence[str], steps: int, marks: Marks) -> None:
        def one(run: str) -> None:
            self._graph(steps, marks).invoke({"n": 0, "log": []}, _config(run, steps), durability="sync")

        in_threads(one, runs, marks)

    def build(self, steps: int, marks: Marks) -> None:
        self._built, self._steps = self._graph(steps, marks), steps

    def resume(self, run: str) -> None:
        self._built.invoke(None, _config(run, self._steps), durability="sync")

    def state(self, run: str) -> object:
        return self._built.get_state(_config(run, self._steps))

    def page(self, run: str) -> int:
        return sum(1 for _ in self._built.get_state_history(_config(run, self._steps), limit=PAGE))

    def _graph(self, steps: int, marks: Marks) -> Any:
        def work(state: Log) -> dict[str, Any]:
            marks.at(state["n"])
            return {"n": state["n"] + 1, "log": [{"text": varied(state["n"]), "n": state["n"]}]}

        return _builder(steps, work, shape=Log).compile(checkpointer=self.saver())


class StockAsync:
    """AsyncPostgresSaver over a pool."""

    def prepare(self, url: str) -> None:
        StockSync().prepare(url)

    def open(self, url: str, *, width: int) -> None:
        self._runner = asyncio.Runner()
        self._runner.run(self._connect(url, width))

    def close(self) -> None:
        self._runner.run(self._pool.close())
        self._runner.close()

    async def _connect(self, url: str, width: int) -> None:
        self._pool = AsyncConnectionPool(
            url, connection_class=AsyncConnection[DictRow], kwargs=HOW, min_size=width, max_size=width, open=False
        )
        await self._pool.open(wait=True)
        self._saver = AsyncPostgresSaver(self._pool)

    def drive(self, runs: Sequence[str], steps: int, marks: Marks) -> None:
        async def work(state: Doc) -> dict[str, Any]:
            await marks.at_async(state["n"])
            return _doc(state)

        async def one(run: str) -> None:
            graph = _builder(steps, work).compile(checkpointer=self._saver)
            await graph.ainvoke({"n": 0, "doc": {}}, _config(run, steps), durability="sync")

        self._runner.run(in_tasks(one, runs, marks))
