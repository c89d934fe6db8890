"""Traces: one for a run, in whatever processes it is moved, sent to a collector that knows nothing of us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.acceptance.processes import wait_until
from tests.integration.collector import attributes, collecting
from tests.integration.serving import HERE, service

from gatepost import Checkpointer, build_graph
from gatepost.service import telemetry
from gatepost.service.tracing import Tracing
from gatepost.state.errors import CallerMistake
from gatepost.state.watch import Act
from gatepost.testing import Database

NOBODY = "http://127.0.0.1:9"
INPUT = '{"customer": "%s", "note": ""}'


class Town:
    """Processes on one database that send their traces to one place."""

    def __init__(self, database: str, folder: Path, endpoint: str, **more: str) -> None:
        self._environ = {
            **os.environ,
            "GATEPOST_DATABASE_URL": database,
            "COUNTER_BOOK": str(folder / "book"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            **more,
        }

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "gatepost.service.cli.app", "--workflows", "counter:WORKFLOWS", *words],
            cwd=HERE,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, *words: str) -> str:
        """Run a command to its end; what it said on stderr."""
        process = self.begin(*words)
        said, complained = process.communicate(timeout=60)
        assert process.returncode in (0, 3), said + complained
        return complained


def test_a_run_is_one_trace_though_its_worker_is_killed(
    town: Database, town_hall: Checkpointer, tmp_path: Path
) -> None:
    with collecting() as collector:
        processes = Town(town.url, tmp_path, collector.url)
        processes.do("run", "start", "--detach", "--goal", "sell", "--id", "traced", "--input", INPUT % "zoltan")
        first = processes.begin("worker")
        wait_until(lambda: bool(collector.named("invoke_workflow sell")))
        first.kill()
        first.communicate()
        (asked,) = town_hall.bridge.run(town_hall.approvals.list("local", run_id="traced"))
        processes.do("approval", "approve", asked["approval_id"], "--as", "bob", "--no-run")
        processes.do("worker", "--until-idle")

        spans = collector.spans
        assert {span.trace_id for span in spans} == {spans[0].trace_id}
        (start,) = collector.named("start sell")
        before, after = collector.named("invoke_workflow sell")
        (decision,) = collector.named("approval charge")
        assert start.parent_span_id == b""
        assert {before.parent_span_id, after.parent_span_id, decision.parent_span_id} == {start.span_id}
        assert [link.span_id for link in after.links] == [before.span_id]
        assert attributes(before)["gatepost.run.status"] == "blocked"
        assert attributes(after) == {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": "sell",
            "gen_ai.conversation.id": "traced",
            "gatepost.tenant": "local",
            "gatepost.run.hold": 2,
            "gatepost.run.status": "succeeded",
            "gatepost.run.transitions": attributes(after)["gatepost.run.transitions"],
        }
        (step,) = collector.named("step charge")
        (call,) = collector.named("execute_tool charge")
        assert (step.parent_span_id, call.parent_span_id) == (after.span_id, step.span_id)
        assert attributes(step)["gatepost.approval.id"] == asked["approval_id"]
        told = attributes(call)
        assert (told["gen_ai.tool.name"], told["gatepost.attempt"], told["gatepost.outcome"]) == (
            "charge",
            1,
            "succeeded",
        )
        (key,) = (tmp_path / "book").read_text().split()
        assert told["gen_ai.tool.call.id"] == key
        said = attributes(decision)
        assert said["gatepost.approval.decision"] == "approve"
        assert isinstance(wait := said["gatepost.approval.wait_s"], float)
        assert wait > 0
        assert b"zoltan" not in collector.raw


def test_a_run_that_is_started_over_http_belongs_to_the_callers_trace(
    town: Database, town_hall: Checkpointer, tmp_path: Path
) -> None:
    trace, other, parent = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with collecting() as collector:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with service(town.url, town_hall, tmp_path, **endpoint) as served:
            alice = served.person("alice")
            for words in (f"00-{other}-{parent}-00", f"00-{trace}-{parent}-01", "nonsense", ""):
                alice.http.headers["traceparent"] = words
                alice.asked(alice.start(customer="ada", note=""))
            wait_until(lambda: len(collector.named("invoke_workflow sell")) == 3)
    assert other not in {span.trace_id.hex() for span in collector.spans}  # whoever sent it records nothing
    starts = collector.named("start sell")
    assert [span.trace_id.hex() == trace for span in starts] == [True, False, False]
    assert starts[0].parent_span_id.hex() == parent
    assert [span.trace_id for span in collector.named("invoke_workflow sell")] == [span.trace_id for span in starts]


@pytest.mark.parametrize(("sampler", "recorded"), [("always_on", 2), ("always_off", 0)])
def test_a_run_that_was_started_where_nobody_traced_is_sampled_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, sampler: str, recorded: int
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", NOBODY)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", f"parentbased_{sampler}")
    tracing = Tracing()
    run = SimpleNamespace(
        run_id="r1", created_at="then", traceparent=None, workflow="w", tenant="t", parent_run_id=None
    )
    hold = Act("run", run, "w", {"epoch": 1})
    step = Act("step", run, "s", {"effect": "read"}, parent=hold)
    for act in (hold, step):
        tracing.begins(act)
    assert sum(act.kept[id(tracing)][0].is_recording() for act in (hold, step)) == recorded
    tracing.leave()


def test_arguments_and_results_are_told_where_they_are_asked_for(town: Database, tmp_path: Path) -> None:
    with collecting() as collector:
        processes = Town(town.url, tmp_path, collector.url, GATEPOST_TRACE_CONTENT="1")
        processes.do("run", "start", "--goal", "sell", "--id", "content", "--input", INPUT % "grace")
        (call,) = collector.named("execute_tool look")
        assert attributes(call)["gen_ai.tool.call.arguments"] == '{"name": "grace"}'
        assert attributes(call)["gen_ai.tool.call.result"] == '{"name": "grace"}'


def test_a_collector_that_is_away_harms_no_run(town: Database, town_hall: Checkpointer, tmp_path: Path) -> None:
    processes = Town(town.url, tmp_path, NOBODY)
    processes.do("run", "start", "--detach", "--goal", "sell", "--id", "alone", "--input", INPUT % "eve")
    processes.do("worker", "--until-idle")
    assert town_hall.bridge.run(town_hall.runs.get("alone", "local"))["status"] == "blocked"


def test_where_nothing_is_to_be_sent_nothing_is_imported() -> None:
    # langsmith, which LangChain brings, imports OpenTelemetry's API by itself; the rest is ours.
    code = """if True:
        import sys
        from gatepost.service import telemetry
        telemetry.trace(None)
        print([name for name in sys.modules if name.startswith(("opentelemetry.exporter", "gatepost.service.tracing"))])
    """
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={name: value for name, value in os.environ.items() if not name.startswith("OTEL")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t"}, "http://t"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_the_standard_environment_says_where_to(environ: dict[str, str], where: str | None) -> None:
    assert telemetry.wanted(environ) == where


def test_another_protocol_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, town_hall: Checkpointer) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", NOBODY)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(CallerMistake, match=r"http/protobuf.*Correct"):
        telemetry.trace(build_graph([], town_hall))
