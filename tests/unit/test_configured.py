"""What doctor says of links, metrics and traces: what is off is no fault, what is wrong is, and no secret is shown."""

from __future__ import annotations

import pytest

from gatepost.service.cli.configured import configured

KEY = "k" * 40


def test_what_is_off_is_no_fault() -> None:
    assert [(said.name, said.ok) for said in configured({})] == [("links", True), ("metrics", True), ("traces", True)]


def test_what_is_on_is_told_without_its_secrets() -> None:
    environ = {
        "GATEPOST_LINK_KEYS": f"{KEY},{KEY}",
        "GATEPOST_PUBLIC_URL": "https://gatepost.example",
        "GATEPOST_METRICS_PORT": "9650",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:secret@collector:4318/x",
        "GATEPOST_TRACE_CONTENT": "1",
    }
    told = {said.name: said.said for said in configured(environ)}
    assert told == {
        "links": "2 keys; they lead to https://gatepost.example",
        "metrics": "at port 9650 of 127.0.0.1",
        "traces": "sent to collector:4318, with arguments and results",
    }


@pytest.mark.parametrize("environ", [{"GATEPOST_LINK_KEYS": "short"}, {"GATEPOST_LINK_KEYS_FILE": "/nowhere"}])
def test_keys_that_cannot_be_used_are_a_fault(environ: dict[str, str]) -> None:
    (links, *_) = configured(environ)
    assert (links.ok, bool(links.cure)) == (False, True)
