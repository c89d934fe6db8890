"""A worker of the acceptance tests: a process that is told what to do to a run, until somebody kills it.

Each line of its input is a command, each line of its output the report on one:

    {"verb": "start", "run": "r1"}                      start the review and go on until it waits or ends
    {"verb": "go", "run": "r1"}                         go on from where it is
    {"verb": "answer", "run": "r1", "answer": {…}}      answer its approval and go on
    {"verb": "decide", "run": "r1", "answer": {…}}      record the answer and do not go on
    {"verb": "look", "run": "r1"}                       say how it stands

`--dying TOOL` kills the process in that tool, before it has called anybody.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from datetime import timedelta
from typing import Any

from langgraph.types import Command

from gatepost import Decision, GatepostGraph, Lease, build_graph, open_checkpointer
from gatepost.examples.vendor_onboarding import GOAL, WORKFLOW
from gatepost.state.errors import AlreadyDecided, GatepostError

LEASE = Lease(ttl=timedelta(seconds=2))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dying")
    dying: str | None = parser.parse_args().dying
    with open_checkpointer(lease=LEASE, migrate=False) as checkpointer:
        graph = build_graph([WORKFLOW], checkpointer, tools=_dying(dying) if dying else None)
        for line in sys.stdin:
            print(json.dumps(_carry_out(graph, **json.loads(line)), default=str), flush=True)


def _carry_out(graph: GatepostGraph, *, verb: str, run: str, answer: dict[str, Any] | None = None) -> dict[str, Any]:
    config: Any = {"configurable": {"thread_id": run}}
    try:
        match verb:
            case "start":
                return _report(graph.invoke({"goal": GOAL}, config))
            case "go":
                return _report(graph.invoke(None, config))
            case "answer":
                return _report(graph.invoke(Command(resume=answer), config))
            case "decide":
                return {"decision": graph.decide(Decision.model_validate(answer)).plain()}
            case "look":
                return _report(graph.get_state(config).values)
    except AlreadyDecided as error:
        return {"error": "AlreadyDecided", "message": str(error), "recorded": error.recorded}
    except GatepostError as error:
        return {"error": type(error).__name__, "message": str(error)}
    raise ValueError(verb)


def _report(result: dict[str, Any]) -> dict[str, Any]:
    asked = result["approval"]
    return {
        "status": result["status"],
        "approval": asked.plain() if asked else None,
        "decision": result.get("decision"),
        "outcome": result.get("outcome"),
        "steps": {step: record["status"] for step, record in result["steps"].items()},
    }


def _dying(name: str) -> dict[str, Any]:
    """The tool of that name with the same declaration, and death in place of its body."""
    tool = next(tool for tool in WORKFLOW.tools if tool.name == name)
    return {name: dataclasses.replace(tool, function=lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))}


if __name__ == "__main__":
    main()
