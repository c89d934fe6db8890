"""The replayer: a process of its own that executes one recorded run again and says how it went.

The service does not do this in its own process: a replay moves the wall clock of the process, and it
executes workflows' code, which may take its time. It gets everything on stdin, opens no database,
writes one line on stdout, and ends by itself when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from gatepost.graph.build import GRAPH_VERSION
from gatepost.graph.replay import replay_recording
from gatepost.graph.timetravel import offline
from gatepost.nodes.policy import Policy
from gatepost.nodes.visit import Equipment
from gatepost.nodes.workflow import Workflow
from gatepost.service.catalog import find_workflows
from gatepost.state.errors import CallerMistake, UnknownVersion
from gatepost.state.recording import read_recording

DIFFERENCES = 100
"""So many of one transition are told; whoever needs the others replays it on the command line."""

LITTLE = (
    "A replay over HTTP gets little of the environment of the service: what the workflows read of it, name with "
    "`gatepost serve --replay-env NAME`."
)


async def replayed(asked: dict[str, Any], lines: list[str]) -> dict[str, Any]:
    """The report of a replay as plain data, or what it was refused with.

    Args:
        asked: `workflows`, `policy`, `policies` as on the command line, and `options` of the replay.
        lines: the recording.
    """
    try:
        found = find_workflows(asked["workflows"])
        equipment = _equipment(asked, found.workflows)
    except CallerMistake as refused:
        return _refused(refused, LITTLE)
    try:
        recording = read_recording(lines, name="the record")
        report = await replay_recording(
            recording, equipment, graph_version=GRAPH_VERSION, whole_process=True, **asked["options"]
        )
    except UnknownVersion as refused:
        return _refused(refused, *found.broken, LITTLE if found.broken else "")
    except CallerMistake as refused:
        return _refused(refused)
    plain = report.plain()
    if (found := plain["divergence"]) is not None:
        found["more_differences"] = max(0, len(found["differences"]) - DIFFERENCES)
        found["differences"] = found["differences"][:DIFFERENCES]
    return {"report": plain}


def _refused(error: CallerMistake, *more: str) -> dict[str, Any]:
    return {"refused": type(error).__name__, "message": " ".join(filter(None, (str(error), *more)))}


def _equipment(asked: dict[str, Any], workflows: Iterable[Workflow]) -> Equipment:
    policy = Policy(Path(asked["policy"]).read_text(encoding="utf-8")) if asked["policy"] else None
    policies = Path(asked["policies"]) if asked["policies"] else None
    return offline(workflows, policy, policies)


def main() -> None:
    """Read, replay, tell."""
    head, *lines = sys.stdin.buffer.read().decode().split("\n")  # texts in it hold other ends of lines
    asked = json.loads(head)
    signal.alarm(asked["seconds"])  # whoever asked may be gone, and its code may never end
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)  # what the workflow's code prints is not the answer
        answer.write(to_json(asyncio.run(replayed(asked, lines)), serialize_unknown=True))


if __name__ == "__main__":
    main()
