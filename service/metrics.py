"""Metrics in Prometheus form: what this process did, counted as it happens, and how things stand in the database.

Invariant: the only labels are names that the code declares (workflows, statuses, kinds): no id, no tenant, no person,
nothing that a caller or a model wrote. A workflow that this process does not know is `other`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gatepost.checkpointing import gauges as stands
from gatepost.checkpointing.pool import Pools
from gatepost.state.approval import DECISION_TYPES
from gatepost.state.errors import GatepostError
from gatepost.state.status import RUN_FINAL
from gatepost.state.watch import Act

KEPT_SECONDS = 5.0
"""How long what the database said is told again, so that nobody makes it work by asking often."""
OTHER = "other"
_SHORT = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LONG = (1, 10, 60, 300, 1_800, 3_600, 14_400, 43_200, 86_400, 259_200, 604_800)
STEP_OUTCOMES = ("succeeded", "failed", "in_doubt", "replayed", "conflict", "parked")
FAMILIES = {
    "runs": ("gatepost_runs", "Unfinished runs, by how they stand.", ("workflow", "status")),
    "movers": ("gatepost_runs_next_mover", "Unfinished runs, by who moves them next.", ("workflow", "kind")),
    "stuck": ("gatepost_runs_stuck", "Runs that nothing moves, or that wait for a worker too long.", ("workflow",)),
    "queue_age": ("gatepost_queue_oldest_age_seconds", "How long a run waits for a worker.", ("workflow",)),
    "approvals": ("gatepost_approvals_open", "Questions that wait for a person.", ("workflow",)),
    "approval_age": ("gatepost_approval_oldest_age_seconds", "How long a question is open.", ("workflow",)),
    "effects": ("gatepost_effects_unknown", "Calls whose end is not known (yet).", ("workflow", "state")),
    "listening": ("gatepost_workers", "Workers that listen.", ()),
}


class Metrics:
    """What this process tells a scraper; a watcher of its graph.

    Args:
        workflows: those that it knows.
        pools: connections.
        slots: runs that the process's worker moves at once; 0: it has none.
    """

    def __init__(self, workflows: Collection[str], pools: Pools, *, slots: int = 0) -> None:
        self._workflows = frozenset(workflows)
        self._pools = pools
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, of which nobody makes anything
        self._registry = CollectorRegistry()
        self._stands = _Stands(self._workflows)
        self._registry.register(self._stands)
        self._looked = float("-inf")
        made: dict[str, Any] = {"labelnames": ("workflow",), "namespace": "gatepost", "registry": self._registry}
        self._started = Counter("runs_started", "Runs that were moved for the first time.", **made)
        self._recovered = Counter("runs_recovered", "Runs taken over from an owner that had died.", **made)
        self._lost = Counter("lease_lost", "Runs that another owner took over.", **made)
        self._retries = Counter("step_retries", "Calls that were made again.", **made)
        self._refused = Counter("approval_refused", "Answers that were refused.", **made)
        self._wait = Histogram("run_queue_wait_seconds", "From queued to claimed.", buckets=_SHORT, **made)
        self._lasted = Histogram("run_duration_seconds", "From start to end.", buckets=(*_SHORT, *_LONG[3:]), **made)
        self._step = Histogram("step_duration_seconds", "A step's call, with its retries.", buckets=_SHORT, **made)
        self._asked = Histogram("approval_wait_seconds", "From question to answer.", buckets=_LONG, **made)
        self._finished = Counter("runs_finished", "Runs that ended.", **_also(made, "status"))
        self._effects = Counter("side_effects", "How steps' calls ended.", **_also(made, "outcome"))
        self._decided = Counter("approvals_decided", "Answers that were recorded.", **_also(made, "decision"))
        alone: dict[str, Any] = {"namespace": "gatepost", "registry": self._registry}
        self._held = Gauge("runs_held", "Runs that this process moves now.", **alone)
        Gauge("worker_slots", "Runs that this process can move at once.", **alone).set(slots)
        for workflow in self._workflows:
            self._at_zero(workflow)

    def begins(self, act: Act) -> None:
        """Nothing is counted before it has ended, but that a run is moved."""
        if act.kind == "run":
            self._held.inc()
        if act.kind == "run" and act.run.seq == 0 and act.facts["epoch"] == 1:
            self._started.labels(self._label(act.run.workflow)).inc()

    def ends(self, act: Act) -> None:
        """Count it."""
        workflow = self._label(act.run.workflow)
        if act.kind == "run":
            self._held.dec()
            self._run(workflow, act)
        elif act.kind == "step":
            self._step.labels(workflow).observe(act.seconds)
            outcome = act.outcome if act.outcome in STEP_OUTCOMES else "failed"
            self._effects.labels(workflow, outcome).inc()
        elif act.kind == "call" and act.facts["attempt"] > 1:
            self._retries.labels(workflow).inc()
        elif act.kind == "decision":
            self._decision(workflow, act)

    def admits(self, run_id: str, tenant: str, workflow: str) -> None:
        """Metrics trace nothing."""

    def claims(self, row: Mapping[str, Any]) -> None:
        """A worker has claimed a run."""
        workflow = self._label(row["workflow"])
        if row["left_by"] is not None:
            self._recovered.labels(workflow).inc()
        self._wait.labels(workflow).observe(max(0.0, (row["now"] - row["left_at"]).total_seconds()))

    async def text(self) -> bytes:
        """What a scraper is told."""
        if time.monotonic() - self._looked > KEPT_SECONDS:
            self._looked = time.monotonic()
            try:
                self._stands.found = await stands.gauges(self._pools)
            except (GatepostError, psycopg.Error):
                self._stands.found = None
        return generate_latest(self._registry)

    def _run(self, workflow: str, act: Act) -> None:
        if act.error == "LostRun":
            self._lost.labels(workflow).inc()
        elif act.outcome in RUN_FINAL:
            self._finished.labels(workflow, act.outcome).inc()
            if (lasted := act.facts.get("age_seconds")) is not None:
                self._lasted.labels(workflow).observe(lasted)

    def _decision(self, workflow: str, act: Act) -> None:
        if act.error:
            self._refused.labels(workflow).inc()
        elif act.outcome in DECISION_TYPES:
            self._decided.labels(workflow, act.outcome).inc()
            self._asked.labels(workflow).observe(act.facts["wait_seconds"])

    def _label(self, workflow: str) -> str:
        return _known(workflow, self._workflows)

    def _at_zero(self, workflow: str) -> None:
        """A counter that was never counted is there as well: else its first event is no increase."""
        for metric in (self._started, self._recovered, self._lost, self._retries, self._refused):
            metric.labels(workflow)
        for histogram in (self._wait, self._lasted, self._step, self._asked):
            histogram.labels(workflow)
        for status in RUN_FINAL:
            self._finished.labels(workflow, status.value)
        for outcome in STEP_OUTCOMES:
            self._effects.labels(workflow, outcome)
        for decision in DECISION_TYPES:
            self._decided.labels(workflow, decision)


class _Stands(Collector):
    """What the database said."""

    def __init__(self, workflows: Collection[str]) -> None:
        self.found: list[stands.Gauge] | None = None
        self._workflows = workflows

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families of gauges; without their values where the database could not be asked."""
        up = GaugeMetricFamily("gatepost_database_up", "Whether the database told how things stand.")
        up.add_metric([], float(self.found is not None))
        yield up
        for name, (family, said, labels) in FAMILIES.items():
            metric = GaugeMetricFamily(family, said, labels=labels)
            for given, value in self._summed(name, labels).items():
                metric.add_metric(given, value)
            yield metric

    def _summed(self, name: str, labels: Sequence[str]) -> dict[tuple[str, ...], float]:
        if self.found is None:
            return {}
        nothing = sorted(self._workflows) if list(labels) == ["workflow"] else ()
        summed: dict[tuple[str, ...], float] = {(workflow,): 0.0 for workflow in nothing}
        for gauge in self.found:
            if gauge.gauge == name:
                given = (_known(gauge.workflow, self._workflows), gauge.label)[: len(labels)]
                before = summed.get(given, 0.0)
                summed[given] = max(before, gauge.value) if name.endswith("_age") else before + gauge.value
        return summed


def _known(workflow: str, workflows: Collection[str]) -> str:
    return workflow if workflow in workflows else OTHER


def _also(made: dict[str, Any], label: str) -> dict[str, Any]:
    return {**made, "labelnames": ("workflow", label)}
