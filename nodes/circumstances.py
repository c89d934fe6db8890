"""Circumstances: by what a run is moved: the policy, what is declared, and fingerprints of the code that decides.

Pure. Recorded once per version, so that a replay that ends otherwise can say which of them changed.
Fingerprints of code only ever explain a difference; they never make one.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from gatepost.nodes.tool import AnyTool
from gatepost.nodes.visit import Equipment
from gatepost.nodes.workflow import Workflow
from gatepost.state.canonical import digest_of

_SETTINGS = (
    "effect",
    "on_doubt",
    "version",
    "timeout",
    "retry",
    "label",
    "settle",
    "window",
    "step_timeout",
    "provider",
)


def facts_of(equipment: Equipment, name: str, tenant: str) -> dict[str, Any]:
    """What moves the runs of a workflow and a tenant here, as plain data. Each version of it is worked out once."""
    known, place = equipment.facts, (name, tenant)
    if place not in known:
        known[place] = _facts(equipment, name, tenant)
    return known[place]


def _facts(equipment: Equipment, name: str, tenant: str) -> dict[str, Any]:
    workflow = equipment.catalog.named(name)
    tools = equipment.catalog.tools(name)
    layers = equipment.policy.layers(workflow=name, tenant=tenant)
    return {
        "policy": {"version": layers.version, "text": equipment.policy.base.text, "layers": layers.plain()},
        "configuration": _configuration(workflow, tools),
        "shapes": {tool: _shapes(found) for tool, found in sorted(tools.items())},
        "strategy": _code(type(workflow.strategy)),
        "conclude": _code(workflow.conclude),
    }


def _configuration(workflow: Workflow, tools: Mapping[str, AnyTool]) -> dict[str, Any]:
    return {
        "workflow": {
            "version": workflow.version,
            "compensate_on": sorted(workflow.compensate_on),
            "on_failure": {kind: list(said) for kind, said in sorted(workflow.on_failure.items())},
        },
        "tools": {
            name: {
                **{setting: str(getattr(tool, setting)) for setting in _SETTINGS},
                "undo": tool.undo,
                **({"relies_on": _demands(tool)} if tool.relies_on else {}),
                "on_failure": {kind: list(said) for kind, said in sorted(tool.on_failure.items())},
            }
            for name, tool in sorted(tools.items())
        },
    }


def _demands(tool: AnyTool) -> dict[str, str]:
    return {
        name: f"{fact.within} {_code(fact.material) if callable(fact.material) else fact.material}"
        for name, fact in sorted(tool.relies_on.items())
    }


def _shapes(tool: AnyTool) -> dict[str, str]:
    return {"arguments": digest_of(tool.schema()), "result": digest_of(_schema(tool))}


def _schema(tool: AnyTool) -> Any:
    try:
        return tool.result.json_schema()
    except Exception:  # noqa: BLE001 (pydantic has many; a type without a schema is told by its name)
        return repr(tool.result)


def _code(thing: Any) -> str:
    """A fingerprint of a class or function: of its source, or where there is none, of its name."""
    try:
        return digest_of(inspect.getsource(thing))
    except (OSError, TypeError):
        return digest_of(str(getattr(thing, "__qualname__", thing)))


def changed(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Which facts are others now, by name (`policy`, `configuration`, …)."""
    return [name for name in present if recorded.get(name) != present[name]]


def unlike(equipment: Equipment, **others: Any) -> Equipment:
    """The same equipment with some parts replaced, and its facts not yet known."""
    return dataclasses.replace(equipment, facts={}, **others)
