"""The rows of the table: what is measured, by which door, and what it guarantees.

A row for an engine that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.engines.engine import Engine
from gatepost.state.checkpoints import CheckpointPolicy, Every


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    """Short, for `--rows`."""
    title: str
    door: str
    guarantees: str
    """What is safe after a kill -9."""
    crew: str
    """Rows with the same crew share their processes."""
    unit: str
    """What one step is."""
    per_transition: bool = False
    """Whether the row is about transitions, of which a step may take several."""
    standard: bool = True
    """Whether it is measured when nobody chooses rows."""


NOTHING = "nothing"
ROW_ONLY = "the row"
BY_HAND = "intent before, result after; nobody resumes it"
POSITION = "position; effects may repeat, any process may move it"
ONE_OWNER = "position, history; one owner"
EFFECT = "as above; intent before, result with the position"
NO_TRAIL = "as an effect step; fewer places to look back at"
RESULT = "result after the step; a killed step repeats"

FLOOR = Row("floor", "INSERT + COMMIT", "sync", ROW_ONLY, "floor", "row")
STOCK = Row("stock", "LangGraph, PostgresSaver", "sync", POSITION, "stock", "superstep")
TRANSITION = Row(
    "transition", "Gatepost: a transition", "async", ONE_OWNER, "gatepost", "superstep", per_transition=True
)
EFFECT_JUDGED = Row("effect", "Gatepost: an effect step", "async", EFFECT, "gatepost", "step")
EFFECT_GATE = Row("effect-gate", "Gatepost: an effect step through the gate", "async", EFFECT, "gatepost", "step")
DBOS = Row("dbos", "DBOS: a step", "sync", RESULT, "dbos", "step")

EFFECT_AT_BOUNDARIES = "effect-at-boundaries"
POLICIES: dict[str, tuple[str, CheckpointPolicy]] = {
    "at-boundaries": ("checkpoints at boundaries", "at_boundaries"),
    "every-20": ("a checkpoint every 20 steps", Every(items=20)),
    "never": ("no checkpoints", "never"),
}


def rows() -> list[Row]:
    """Every row that can be measured here, in the order of the table."""
    found = [
        FLOOR,
        Row("intent-result", "intent + COMMIT, result + COMMIT", "sync", BY_HAND, "floor", "effect"),
        Row("bare", "LangGraph, no checkpointer", "async", NOTHING, "stock", "superstep"),
        STOCK,
        Row("stock-each", "LangGraph, a PostgresSaver per run", "sync", POSITION, "stock", "superstep"),
        Row("stock-async", "LangGraph, AsyncPostgresSaver", "async", POSITION, "stock", "superstep"),
        TRANSITION,
        Row("transition-sync", TRANSITION.title, "sync", ONE_OWNER, "gatepost", "superstep", per_transition=True),
        EFFECT_JUDGED,
        EFFECT_GATE,
        Row("effect-ask", "Gatepost: an effect step, a person on doubt", "async", EFFECT, "gatepost", "step"),
        Row("effect-sync", EFFECT_JUDGED.title, "sync", EFFECT, "gatepost", "step"),
    ]
    for name, (words, _) in POLICIES.items():
        title = f"Gatepost: an effect step, {words}"
        found.append(Row(f"effect-{name}", title, "async", NO_TRAIL, "gatepost", "step"))
    if importlib.util.find_spec("dbos") is not None:
        found += [DBOS, Row("dbos-async", DBOS.title, "async", RESULT, "dbos", "step")]
    return found


def engine_of(name: str) -> Engine:
    """The engine of a row, made in the process that runs it: nobody imports the other engines."""
    # ruff: noqa: PLC0415
    if name in ("floor", "intent-result"):
        from bench.engines import floor

        return floor.Floor() if name == "floor" else floor.IntentAndResult()
    if name in _STOCK:
        from bench.engines import stock

        return _STOCK[name](stock)
    if name.startswith("dbos"):
        from bench.engines import durable

        return durable.Dbos(door="async" if name == "dbos-async" else "sync")
    return _ours(name)


_STOCK: dict[str, Callable[[Any], Engine]] = {
    "bare": lambda stock: stock.Bare(),
    "stock": lambda stock: stock.StockSync(),
    "stock-each": lambda stock: stock.StockSyncEach(),
    "stock-async": lambda stock: stock.StockAsync(),
    "stock-growing": lambda stock: stock.StockGrowing(),
}


def _ours(name: str) -> Engine:
    from bench.engines.ours import Gatepost

    door = "sync" if name.endswith("-sync") else "async"
    kind, _, rest = name.removesuffix("-sync").partition("-")
    if kind == "transition":
        return Gatepost(effect="read", door=door, linked=True)
    if rest == "gate":
        return Gatepost(effect="write", door=door, linked=True)
    if rest == "ask":
        return Gatepost(effect="write", door=door, on_doubt="ask")
    return Gatepost(effect="write", door=door, checkpoints=POLICIES[rest][1] if rest else "after_each_step")
