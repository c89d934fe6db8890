"""Enforcing: a worker says which policies are in force, and finds the questions that others asked.

Invariant: the sets in force are those of the worker that started last. An older one with other sets has no question
judged anew, so two of them never judge the same question in turns.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from gatepost.checkpointing.movers import Movers
from gatepost.graph.compiled import GatepostGraph

TRIES = 3
"""How often one worker has the questions of one run judged anew. More often they are not outdated by a policy."""


class Enforcer:
    """Has open questions judged under the policies of one graph.

    Args:
        graph: knows the sets.
        movers: take runs.
    """

    def __init__(self, graph: GatepostGraph, movers: Movers) -> None:
        self._graph = graph
        self._movers = movers
        self._said = False
        self._tried: Counter[str] = Counter()
        sets = graph.equipment.policy
        self._layers = {
            (workflow, tenant): sets.layers(workflow=workflow, tenant=tenant)
            for workflow in graph.equipment.catalog.workflows
            for tenant in ("", *sets.tenants)
        }

    async def claim(self, *, slots: int) -> list[dict[str, Any]]:
        """Take runs whose questions are to be judged anew; at first, put the sets in force.

        Args:
            slots: at most so many.
        """
        if not self._layers or slots <= 0:
            return []
        if not self._said:
            for layers in self._layers.values():
                await self._graph.saver.policies.remember(layers.versions())
            await self._graph.saver.policies.enforce(self._versions)
            self._said = True
        tried = [run for run, times in self._tried.items() if times >= TRIES]
        rows = await self._movers.judge_anew(
            self._versions, graph_version=self._graph.version, slots=slots, tried=tried
        )
        self._tried.update(row["run_id"] for row in rows)
        return rows

    @property
    def _versions(self) -> dict[tuple[str, str], str]:
        return {place: layers.asked_under for place, layers in self._layers.items()}
