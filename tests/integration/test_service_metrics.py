"""What Prometheus is told: of a real service and its worker, parsed by its own parser."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.acceptance.processes import wait_until
from tests.integration.serving import Served, service
from tests.integration.yard import Yard

from gatepost import Checkpointer
from gatepost.checkpointing.gauges import gauges
from gatepost.checkpointing.run_row import RunRow
from gatepost.service.metrics import OTHER, Metrics
from gatepost.state.errors import DatabaseUnavailable
from gatepost.state.status import ApprovalStatus, EffectState, RunStatus
from gatepost.state.watch import Act, watched
from gatepost.testing import Database

LABELS = {"workflow", "status", "kind", "state", "outcome", "decision", "le"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service keeps its log."""
    return tmp_path_factory.mktemp("metrics")


@pytest.fixture(scope="module")
def served(town: Database, town_hall: Checkpointer, folder: Path) -> Iterator[Served]:
    """A service that is scraped."""
    with service(town.url, town_hall, folder, "--metrics-port", "0", "--metrics-name", "Scraped.example") as found:
        yield found


def scraped(folder: Path) -> str:
    """What a scraper gets."""
    answer = httpx.get(place(folder))
    assert answer.status_code == 200
    return answer.text


def place(folder: Path) -> str:
    """Where a scraper finds it."""
    wait_until(lambda: "metrics at" in (folder / "log").read_text())
    found = re.search(r"metrics at (\S+)", (folder / "log").read_text())
    assert found is not None
    return found[1]


def values(text: str) -> dict[tuple[str, ...], float]:
    """By name and the labels' values, in the order of their names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_run_is_counted_and_nobody_is_named(served: Served, folder: Path) -> None:
    tenant = f"tenant-{secrets.token_hex(4)}"
    nina, otto = (served.person(name, tenant=tenant) for name in ("nina", "otto"))
    done = nina.asked(nina.start(customer="confidential", note="payload"))
    assert otto.decide(done["id"], type="approve").status_code == 200
    assert otto.decide(done["id"], type="reject").status_code == 409
    assert nina.wait(done["run"], "succeeded")
    waits = nina.asked(nina.start(customer="confidential", note="payload"))
    wait_until(lambda: nina.get(f"/v1/runs/{waits['run']}")["mover"] == "approval")

    found = values(text := scraped(folder))
    assert found[("gatepost_database_up",)] == 1
    assert found[("gatepost_runs_started_total", "sell")] == 2
    assert found[("gatepost_runs_finished_total", "succeeded", "sell")] == 1
    assert found[("gatepost_run_duration_seconds_count", "sell")] == 1
    assert found[("gatepost_side_effects_total", "succeeded", "sell")] == 3  # two looks and a charge
    assert found[("gatepost_step_duration_seconds_count", "sell")] == 3
    assert found[("gatepost_approvals_decided_total", "approve", "sell")] == 1
    assert found[("gatepost_approval_refused_total", "sell")] == 1
    assert found[("gatepost_approval_wait_seconds_count", "sell")] == 1
    assert found[("gatepost_run_queue_wait_seconds_count", "sell")] >= 3
    assert found[("gatepost_runs", "blocked", "sell")] == 1
    assert found[("gatepost_runs_next_mover", "approval", "sell")] == 1
    assert found[("gatepost_approvals_open", "sell")] == 1
    assert found[("gatepost_approval_oldest_age_seconds", "sell")] > 0
    assert found[("gatepost_runs_stuck", "sell")] == found[("gatepost_lease_lost_total", "sell")] == 0
    assert (found[("gatepost_workers",)], found[("gatepost_worker_slots",)]) == (1, 4)

    families = list(text_string_to_metric_families(text))
    labels = {(name, value) for f in families for s in f.samples for name, value in s.labels.items()}
    assert {name for name, _ in labels} <= LABELS
    declared = {
        "sell",
        "bill",
        "stay",
        "weigh",
        "loan",
        "vendor_onboarding",
        OTHER,
        "approve",
        "edit",
        "reject",
        "respond",
        "owner",
        "approval",
        "queue",
        "timer",
    }
    declared |= {*RunStatus, *ApprovalStatus, *EffectState, "replayed", "conflict", "parked"}
    assert {value for name, value in labels if name != "le"} <= declared
    for secret in (
        tenant,
        "nina",
        "otto",
        done["run"],
        done["id"],
        waits["run"],
        waits["id"],
        "confidential",
        "payload",
    ):
        assert secret not in text
    assert httpx.get(f"{served.url}/metrics").status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("", 421),
        ("scraped.example", 200),
        ("[fd00::1]", 200),
    ],
)
def test_another_name_for_the_port_of_the_metrics_is_not_answered(
    served: Served, folder: Path, host: str, status: int
) -> None:
    assert served.url
    assert httpx.get(place(folder), headers={"Host": host}).status_code == status


def test_a_database_that_does_not_answer_in_time_is_told_as_such(town: Database, town_hall: Checkpointer) -> None:
    with psycopg.connect(town.url) as owner:
        owner.execute("LOCK TABLE gatepost.run IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailable, match="statement timeout"):
            town_hall.bridge.run(gauges(town_hall.pools, seconds=0.05))
    assert town_hall.bridge.run(gauges(town_hall.pools))


def test_what_is_stuck_stranded_or_taken_over_is_told(town_hall: Checkpointer, owner: Any) -> None:
    yard = Yard(town_hall, owner)
    metrics = Metrics([yard.name], town_hall.pools)
    yard.admit("dead", "left", "stranded", "lost", "asked")
    yard.hold("dead", -timedelta(seconds=1))
    yard.set("left", updated_at=timedelta(minutes=-2))
    yard.set("stranded", status="stranded")
    yard.set("lost", status="waiting")
    yard.ask("asked", "open")
    told = values(town_hall.bridge.run(metrics.text()).decode())
    assert told[("gatepost_runs_stuck", yard.name)] == 2  # one that nobody claims, one that nothing would ever move
    assert told[("gatepost_runs_next_mover", "nobody", yard.name)] == 1
    assert told[("gatepost_runs_next_mover", "operator", yard.name)] == 1
    assert told[("gatepost_runs", "stranded", yard.name)] == 1
    assert told[("gatepost_queue_oldest_age_seconds", yard.name)] >= 120
    assert told[("gatepost_approvals_open", yard.name)] == 1
    for row in yard.rows():
        metrics.claims(row)
    told = values(town_hall.bridge.run(metrics.text()).decode())
    assert told[("gatepost_runs_recovered_total", yard.name)] == 1
    assert told[("gatepost_run_queue_wait_seconds_count", yard.name)] == 2
    assert told[("gatepost_run_queue_wait_seconds_sum", yard.name)] >= 120


def test_a_workflow_that_is_not_known_is_another_one(town_hall: Checkpointer) -> None:
    metrics = Metrics(["sell"], town_hall.pools)
    told = values(town_hall.bridge.run(happened(metrics, "made-up-by-somebody")).decode())
    assert told[("gatepost_side_effects_total", "conflict", OTHER)] == 1
    assert told[("gatepost_step_retries_total", OTHER)] == told[("gatepost_lease_lost_total", OTHER)] == 1
    assert "made-up-by-somebody" not in str(told)


async def happened(metrics: Metrics, workflow: str) -> bytes:
    """What is told after these happened to a run."""
    row: dict[str, Any] = {"run_id": "r", "workflow": workflow, "status": "running", "seq": 3}
    run = RunRow.of(row)
    for act in (
        Act("step", run, "s", outcome="conflict"),
        Act("call", run, "t", {"attempt": 2}),
        Act("run", run, workflow, {"epoch": 2}, error="LostRun"),
    ):
        with watched([metrics], act):
            pass
    return await metrics.text()
