"""Tries to find a value that our serializer writes otherwise than LangGraph's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import TASKS
from langgraph.types import Send, TimeoutPolicy

from gatepost.checkpointing.serde import Serde

THEIRS = JsonPlusSerializer(allowed_msgpack_modules=None)
ENTRY = {"step": "s1", "status": "running", "seed": 2**48, "none": None, "at": datetime(2026, 1, 1, tzinfo=UTC)}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([Send("executor", ENTRY)], id="a task"),
        pytest.param([Send("executor", {"step": f"s{n}"}) for n in range(40)], id="many tasks"),
        pytest.param([Send("executor", [Send("inside", {"a": (1, 2)})])], id="a task in a task"),
        pytest.param([Send("executor", ENTRY, timeout=TimeoutPolicy(run_timeout=3))], id="a task with a timeout"),
        pytest.param([Send("executor", ENTRY), {"no": "task"}], id="a task among others"),
        pytest.param([], id="no task"),
        pytest.param({"a": [1, "é", None]}, id="no list"),
        pytest.param({TASKS: [Send("executor", ENTRY)], "frontier": {"s1": ENTRY}}, id="all channels"),
        pytest.param({TASKS: None, "frontier": {}}, id="all channels, and no tasks"),
    ],
)
def test_the_bytes_are_langgraphs(value: Any) -> None:
    ours = Serde().dumps_typed(value)
    assert ours == THEIRS.dumps_typed(value)
    assert Serde().loads_typed(ours) == THEIRS.loads_typed(ours)
