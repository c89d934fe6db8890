"""Traces for OpenTelemetry: a trace for each run, whoever moves it, and a span for each hold, step and call.

A hold is a run being moved by one process, until it ends or waits. No span is open while nobody moves the run: the
next hold is linked to the one before it, and the answer that came between has a span of its own. The trace's id is
written down with the run, and the id of a hold's span follows from the run and the hold's number, so processes that
never meet, and one that was killed, agree on both.

There is no convention for approvals yet, nor for durable runs; those attributes are our own, `gatepost.…`. The others
follow the semantic conventions for generative AI, which may still change. Arguments and results are in no span unless
`GATEPOST_TRACE_CONTENT=1` asks for them. What cannot be sent is dropped, and the run does not notice.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gatepost.state.status import RunStatus
from gatepost.state.watch import Act

CONTENT = "GATEPOST_TRACE_CONTENT"
LONGEST_CONTENT = 8_192
GOODBYE_SECONDS = 2.0
"""How long a process that leaves waits until its last spans are sent."""
_WRONG = frozenset({RunStatus.FAILED, RunStatus.STRANDED, RunStatus.COMPENSATION_FAILED, RunStatus.TIMED_OUT})
_WORDS = TraceContextTextMapPropagator()
_next_ids: ContextVar[tuple[int, int] | None] = ContextVar("gatepost_span_ids", default=None)


class Tracing:
    """Makes spans of what happens; a watcher of a graph.

    Args:
        content: whether arguments and results are told.
    """

    def __init__(self, *, content: bool = False) -> None:
        resource = Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "gatepost"})
        self._provider = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("gatepost")
        self._content = content

    def begins(self, act: Act) -> None:
        """Begin its span."""
        match act.kind:
            case "run":
                span = self._hold(act)
            case "step":
                span = self._tracer.start_span(f"step {act.name}", self._under(act), attributes=_step(act))
            case "call":
                span = self._tracer.start_span(f"execute_tool {act.name}", self._under(act), attributes=_call(act))
            case _:
                span = self._tracer.start_span(
                    f"approval {act.name}", self._context_of(act.run), attributes=_about(act.run)
                )
        # While a tool runs, its span is the current one: whatever else makes spans there puts them under it.
        token = context.attach(trace.set_span_in_context(span)) if act.kind == "call" else None
        act.kept[id(self)] = (span, token)

    def ends(self, act: Act) -> None:
        """End its span."""
        span, token = act.kept.pop(id(self))
        if token is not None:
            context.detach(token)
        span.set_attributes(_ended(act))
        if self._content and act.kind == "call":
            span.set_attribute("gen_ai.tool.call.arguments", _text(act.facts["args"]))
            span.set_attribute("gen_ai.tool.call.result", _text(act.facts.get("result")))
        if act.error and act.error != "drained":
            span.set_attribute("error.type", act.error)
        if (act.error and act.error != "drained") or (act.kind == "run" and act.outcome in _WRONG):
            span.set_status(StatusCode.ERROR)
        span.end()

    def claims(self, row: Mapping[str, Any]) -> None:
        """Its hold begins soon."""

    def admits(self, run_id: str, tenant: str, workflow: str) -> str | None:
        """The trace of a run that is about to be written down: the present one, or a new one."""
        said = {"gen_ai.workflow.name": workflow, "gen_ai.conversation.id": run_id, "gatepost.tenant": tenant}
        span = self._tracer.start_span(f"start {workflow}", kind=SpanKind.PRODUCER, attributes=said)
        span.end()
        words: dict[str, str] = {}
        _WORDS.inject(words, trace.set_span_in_context(span))
        return words.get("traceparent")

    @contextmanager
    def within(self, traceparent: str) -> Iterator[None]:
        """What begins in the block belongs to a trace of somebody else's."""
        token = context.attach(_WORDS.extract({"traceparent": traceparent}))
        try:
            yield
        finally:
            context.detach(token)

    def leave(self) -> None:
        """Send what is left; what cannot be sent soon is dropped."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(GOODBYE_SECONDS)

    def _hold(self, act: Act) -> Span:
        run, epoch = act.run, act.facts["epoch"]
        within = self._context_of(run)
        found = trace.get_current_span(within).get_span_context()
        before = [_hold_before(found, run.run_id, epoch - 1)] if epoch > 1 else []
        attributes = {**_about(run), "gen_ai.operation.name": "invoke_workflow", "gatepost.run.hold": epoch}
        token = _next_ids.set((found.trace_id, _hold_id(run.run_id, epoch)))
        try:
            name = f"invoke_workflow {run.workflow}"
            return self._tracer.start_span(name, within, attributes=attributes, links=before)
        finally:
            _next_ids.reset(token)

    def _context_of(self, run: Any) -> context.Context:
        """The trace of a run: as it was written down, else one that follows from the run.

        Whoever started it said whether it is sampled; where nobody did, the sampler says so of the id of the trace, in
        every process the same.
        """
        if run.traceparent:
            found = _WORDS.extract({"traceparent": run.traceparent}, context.Context())
            if trace.get_current_span(found).get_span_context().is_valid:
                return found
        seed = f"{run.run_id} {run.created_at}"
        of_trace = _number(seed, 16)
        asked = self._provider.sampler.should_sample(None, of_trace, f"start {run.workflow}", SpanKind.PRODUCER)
        sampled = asked.decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        made = SpanContext(of_trace, _number(f"{seed} start", 8), is_remote=True, trace_flags=flags)
        return trace.set_span_in_context(NonRecordingSpan(made), context.Context())

    def _under(self, act: Act) -> context.Context:
        """What a step belongs to, or a call."""
        kept = act.parent.kept.get(id(self)) if act.parent else None
        return self._context_of(act.run) if kept is None else trace.set_span_in_context(kept[0], context.Context())


class _Ids(RandomIdGenerator):
    """Random ids, but for the spans whose ids follow from what they are."""

    def generate_span_id(self) -> int:
        """The one that was said, or a random one."""
        said = _next_ids.get()
        return said[1] if said else super().generate_span_id()

    def generate_trace_id(self) -> int:
        """The one that was said, or a random one."""
        said = _next_ids.get()
        return said[0] if said else super().generate_trace_id()


def _hold_before(found: SpanContext, run_id: str, epoch: int) -> Link:
    made = SpanContext(found.trace_id, _hold_id(run_id, epoch), is_remote=True, trace_flags=found.trace_flags)
    return Link(made, {"gatepost.link": "the hold before"})


def _hold_id(run_id: str, epoch: int) -> int:
    return _number(f"{run_id} hold {epoch}", 8)


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1


def _about(run: Any) -> dict[str, Any]:
    about = {"gen_ai.workflow.name": run.workflow, "gen_ai.conversation.id": run.run_id, "gatepost.tenant": run.tenant}
    return {**about, "gatepost.run.forked_from": run.parent_run_id} if run.parent_run_id else about


def _step(act: Act) -> dict[str, Any]:
    said = {"gatepost.step.id": act.name, "gatepost.effect.class": str(act.facts["effect"])}
    approval = act.facts.get("approval")
    return {**said, "gatepost.approval.id": approval} if approval else said


def _call(act: Act) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": act.name,
        "gen_ai.tool.call.id": act.facts["key"],
        "gatepost.effect.class": str(act.facts["effect"]),
        "gatepost.attempt": act.facts["attempt"],
    }


def _ended(act: Act) -> dict[str, Any]:
    if act.kind == "run":
        return {"gatepost.run.status": act.outcome, "gatepost.run.transitions": act.facts.get("transitions", 0)}
    if act.kind != "decision":
        return {"gatepost.outcome": act.outcome}
    said: dict[str, Any] = {"gatepost.approval.id": act.facts["approvals"][0]}
    if act.outcome:
        said["gatepost.approval.decision"] = act.outcome
        said["gatepost.approval.wait_s"] = act.facts["wait_seconds"]
        said["gatepost.approval.policy_id"] = list(act.facts["policies"])
    return said


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, default=str)[:LONGEST_CONTENT]
