"""A part of a crowd: a process in which several people answer the same question at once, each in a task of their own.

Each line of its input is {"run": …, "answers": [{…}, …]}; each line of its output a list with a report on each answer.
It says "ready" first, when it has imported everything and opened its connections.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from langgraph.types import Command
from tests.acceptance.gated import WORKFLOWS

from gatepost import GatepostGraph, build_graph, open_checkpointer
from gatepost.state.errors import AlreadyDecided, GatepostError


async def main() -> None:
    """Answer until nobody asks any more."""
    async with open_checkpointer(migrate=False, max_connections=5) as checkpointer:
        graph = build_graph(WORKFLOWS, checkpointer)
        await asyncio.gather(*(checkpointer.runs.list("local") for _ in range(5)))
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            reports = await asyncio.gather(*(_answer(graph, asked["run"], answer) for answer in asked["answers"]))
            print(json.dumps(reports, default=str), flush=True)


async def _answer(graph: GatepostGraph, run: str, answer: dict[str, Any]) -> dict[str, Any]:
    config: Any = {"configurable": {"thread_id": run}}
    try:
        result = await graph.ainvoke(Command(resume=answer), config)
    except AlreadyDecided as error:
        return {"error": "AlreadyDecided", "recorded": error.recorded}
    except GatepostError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"decision": result["decision"]}


if __name__ == "__main__":
    asyncio.run(main())
