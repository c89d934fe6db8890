"""Tries to end a review with a decision that nobody took: approved, rejected, edited (also past the policy),
sent back for more documents; and to find a word in the artifact that the other side does not confirm.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from langgraph.types import Command
from pydantic import JsonValue

from gatepost import ApprovalRequest, GatepostGraph, Policy
from gatepost.examples.services import (
    ADDITIONAL_KINDS,
    SERVICES_VARIABLE,
    STANDARD_KINDS,
    VENDOR,
    EndpointBooks,
    Services,
)
from gatepost.examples.vendor_onboarding import GOAL, WORKFLOW
from gatepost.examples.vendor_onboarding.artifact import ARTIFACT, schema_text
from gatepost.examples.vendor_onboarding.planning import kinds_in
from gatepost.examples.vendor_onboarding.proposal import propose
from gatepost.nodes.policy_sets import PolicySets, set_of
from gatepost.state.errors import InvalidDecision, InvalidValue, UnknownRun
from gatepost.testing import Database, assert_history
from gatepost.testing.plugin import GraphFactory

RUN = "review"
LOGGED = ("[workflow]", "[step]", "[resume]", "[artifact]")
CONFIG: Any = {"configurable": {"thread_id": RUN}}
FORBIDDEN = "Nothing at all"
POLICY = f"""
@id("reads-run") permit (principal, action == Action::"run", resource) when {{ context.effect == "read" }};
@id("anyone-decides") permit (principal, action == Action::"decide", resource);
@id("no-empty-controls")
forbid (principal, action == Action::"run", resource)
when {{ context.tool == "final_decision" && context.args.controls.contains("{FORBIDDEN}") }};
"""


def _version(deployment: Policy) -> str:
    own = set_of(WORKFLOW.policy, whose=WORKFLOW.name)
    return PolicySets(deployment, workflows={WORKFLOW.name: own}).layers(workflow=WORKFLOW.name, tenant="local").version


@pytest.fixture
def services(services_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.setenv(SERVICES_VARIABLE, services_url)
    with Services(services_url) as services:
        yield services


@pytest.fixture
def graph(gatepost_graph: GraphFactory, services: Services) -> GatepostGraph:
    return gatepost_graph([WORKFLOW])


@pytest.fixture
def asked(graph: GatepostGraph) -> ApprovalRequest:
    """The question of a review that has come as far as it may go alone."""
    result = graph.invoke({"goal": "Vendor  onboarding review"}, CONFIG)
    assert result["status"] == "blocked"
    request: ApprovalRequest = result["approval"]
    return request


def test_approved_as_proposed(graph: GatepostGraph, asked: ApprovalRequest, services: Services) -> None:
    assert _acts(services) == {"documents": 1, "screenings": 1, "decisions": 0}
    result = _answer(graph, asked.approve(by="alice", comment="fine with these"))
    assert (result["status"], result["outcome"]["decision"]) == ("succeeded", "approved_with_controls")
    found = _artifact(graph)
    booked = services.effect(_key(services))
    assert booked is not None
    assert found["reference"] == booked["decision_id"]
    assert found["controls"] == booked["controls"] == asked.args["controls"]
    assert {name: found[name] for name in ("run", "status", "vendor", "decision", "plan_version")} == {
        "run": RUN,
        "status": "succeeded",
        "vendor": VENDOR,
        "decision": "approved_with_controls",
        "plan_version": 1,
    }
    assert found["policy_version"] == asked.policy_version == _version(Policy.default())
    said = {name: found["approver"][name] for name in ("name", "answer", "comment", "edited")}
    assert said == {"name": "alice", "answer": "approve", "comment": "fine with these", "edited": {}}
    assert_history(
        graph.saver,
        RUN,
        [
            *("docs_collect=running", "docs_collect=succeeded", "policy_screen=running", "policy_screen=succeeded"),
            *("final_decision=blocked", "final_decision=running", "final_decision=succeeded"),
        ],
    )


def test_evidence_is_what_the_vendor_handed_in(
    graph: GatepostGraph, asked: ApprovalRequest, services: Services
) -> None:
    _answer(graph, asked.approve(by="alice"))
    papers = services.documents(VENDOR)
    computed = {paper["id"]: hashlib.sha256(paper["content"].encode()).hexdigest() for paper in papers}
    assert _evidence(_artifact(graph)) == computed == {paper["id"]: paper["sha256"] for paper in papers}


def test_rejected(graph: GatepostGraph, asked: ApprovalRequest, services: Services) -> None:
    result = _answer(graph, asked.reject(by="bob", comment="no insurer we know"))
    assert result["status"] == "rejected"
    found = _artifact(graph)
    assert (found["decision"], found["status"], found["controls"]) == ("rejected", "rejected", [])
    assert (found["approver"]["name"], found["approver"]["comment"]) == ("bob", "no insurer we know")
    assert found["reference"] is None
    assert _acts(services)["decisions"] == 0


def test_edited_controls_are_what_runs(graph: GatepostGraph, asked: ApprovalRequest, services: Services) -> None:
    controls: list[JsonValue] = ["Multi-factor authentication for every user", "Penetration test report within 30 days"]
    result = _answer(graph, asked.edit(by="alice", controls=controls))
    assert result["status"] == "succeeded"
    (effect,) = graph.saver.bridge.run(graph.saver.history.effects(RUN))
    booked = services.effect(effect["key"])
    assert booked is not None
    assert effect["arguments"] == {**asked.args, "controls": controls}
    assert booked["controls"] == _artifact(graph)["controls"] == controls
    edited = _artifact(graph)["approver"]["edited"]
    assert edited == {"controls": {"proposed": asked.args["controls"], "decided": controls}}


def test_person_may_overrule_the_proposal(graph: GatepostGraph, asked: ApprovalRequest, services: Services) -> None:
    result = _answer(graph, asked.edit(by="alice", decision="rejected", controls=[]))
    assert (result["status"], result["steps"]["final_decision"]["label"]) == ("succeeded", "rejected")
    assert _artifact(graph)["decision"] == "rejected"
    assert _acts(services)["decisions"] == 1


def test_edit_that_the_policy_forbids_changes_nothing(gatepost_graph: GraphFactory, services: Services) -> None:
    graph: GatepostGraph = gatepost_graph([WORKFLOW], policy=Policy(POLICY))
    asked: ApprovalRequest = graph.invoke({"goal": GOAL}, CONFIG)["approval"]
    with pytest.raises(InvalidDecision, match="no-empty-controls"):
        _answer(graph, asked.edit(by="alice", controls=[FORBIDDEN]))
    _still_waits(graph, services)
    # The person is not stuck: the same approval takes another answer.
    assert _answer(graph, asked.edit(by="alice", controls=["Something"]))["status"] == "succeeded"
    assert _artifact(graph)["policy_version"] == _version(Policy(POLICY))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"controls": []}, "needs at least one control"),
        ({"controls": [" "]}, r"controls\.0"),
        ({"decision": "approved"}, "takes no controls"),
        ({"decision": "maybe"}, "decision"),
        ({"evidence": [{"document": "doc-dpa-2026", "sha256": "trust me"}]}, r"evidence\.0\.sha256"),
        ({"vendor": None}, "vendor"),
        ({"waived": True}, "waived"),
    ],
    ids=["no_control", "empty_control", "approved_with_controls", "unknown_decision", "checksum", "null", "extra"],
)
def test_edit_that_makes_no_sense_changes_nothing(
    graph: GatepostGraph, asked: ApprovalRequest, services: Services, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidDecision, match=said):
        _answer(graph, asked.edit(by="alice", **changes))
    _still_waits(graph, services)


def test_more_documents_twice(graph: GatepostGraph, asked: ApprovalRequest, services: Services) -> None:
    before = graph.get_state(CONFIG).values
    second = _answer(graph, asked.respond("the penetration test report, please", by="bob"))
    assert (second["status"], second["plan_version"]) == ("blocked", 2)
    assert second["plan"]["reason"] == "more documents asked for by bob: the penetration test report, please"
    third = _answer(graph, second["approval"].respond("and the sub-processors", by="carol"))
    assert (third["status"], third["plan_version"]) == ("blocked", 3)
    for step in ("docs_collect", "policy_screen"):
        assert third["steps"][step] == before["steps"][step], "a completed step was touched"
    assert _acts(services) == {"documents": 3, "screenings": 3, "decisions": 0}
    assert _attempts(services) == {"documents": 3, "screenings": 3, "decisions": 0}

    result = _answer(graph, third["approval"].approve(by="alice"))
    assert result["status"] == "succeeded"
    found = _artifact(graph)
    papers = services.documents(VENDOR, kinds=STANDARD_KINDS + ADDITIONAL_KINDS)
    assert _evidence(found) == {paper["id"]: paper["sha256"] for paper in papers}
    assert (found["plan_version"], found["risk"]) == (3, "low")
    assert found["approver"]["name"] == "alice"
    assert len(found["controls"]) < len(asked.args["controls"])  # type: ignore[arg-type]


def test_question_that_was_sent_back_is_not_open_any_more(graph: GatepostGraph, asked: ApprovalRequest) -> None:
    second = _answer(graph, asked.respond("more", by="bob"))
    assert second["approval"].id != asked.id
    assert second["approval"].digest != asked.digest
    with pytest.raises(Exception, match="is decided: respond by bob"):
        _answer(graph, asked.approve(by="alice"))


def test_unknown_vendor_ends_as_failed_and_without_artifact(graph: GatepostGraph, services: Services) -> None:
    result = graph.invoke({"goal": GOAL, "input": {"vendor": "nobody"}}, CONFIG)
    assert (result["status"], result["outcome"]["decision"]) == ("failed", None)
    assert result["outcome"]["reason"].endswith(f"404 Not Found: No vendor 'nobody'; there is {VENDOR!r}.")
    assert graph.saver.bridge.run(graph.saver.history.artifacts(RUN)) == []


def test_a_decision_that_an_operator_left_out_is_none(graph: GatepostGraph, asked: ApprovalRequest) -> None:
    graph.skip_step(RUN, asked.step, by="olga", reason="decided on paper")
    result = graph.invoke(None, CONFIG)
    assert (result["status"], result["outcome"]["decision"]) == ("succeeded", None)


@pytest.mark.parametrize("vendor", ["", " \n", "x" * 201])
def test_a_vendor_that_cannot_be_one_starts_no_run(graph: GatepostGraph, vendor: str) -> None:
    with pytest.raises(
        InvalidValue, match=r"input of workflow 'vendor_onboarding' cannot be used: vendor: .*takes vendor"
    ):
        graph.invoke({"goal": GOAL, "input": {"vendor": vendor}}, CONFIG)
    with pytest.raises(UnknownRun):
        graph.saver.bridge.run(graph.saver.runs.get(RUN, "local"))


def test_demo_survives_its_kill(gatepost_database: Database, services_url: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "GATEPOST_DATABASE_URL": gatepost_database.url,
        "GATEPOST_HOME": str(tmp_path),
        SERVICES_VARIABLE: services_url,
    }
    command = [sys.executable, "-m", "gatepost.examples.vendor_onboarding"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(LOGGED)] == [
        f"[workflow] id={next(tmp_path.glob('artifacts/*')).name} started",
        "[step] docs_collect=ok",
        "[step] policy_screen=blocked(manual approval)",
        "[resume] approval_received",
        "[step] final_decision=approved_with_controls",
        "[artifact] onboarding_decision.json",
    ]
    assert any("kill -9" in line for line in lines)
    assert sum("asked once, done once" in line for line in lines) == 3
    (artifact,) = tmp_path.glob(f"artifacts/*/{ARTIFACT}")
    jsonschema.validate(json.loads(artifact.read_text()), json.loads(schema_text()))


def test_shipped_schema_is_the_models() -> None:
    shipped = files("gatepost.examples.vendor_onboarding") / "onboarding_decision.schema.json"
    assert shipped.read_text() == schema_text(), "write it anew: see artifact.py"


@pytest.mark.parametrize(
    ("risk", "controls", "decision", "imposed"),
    [
        ("low", [], "approved", []),
        ("low", ["a"], "approved_with_controls", ["a"]),
        ("medium", ["a", "b"], "approved_with_controls", ["a", "b"]),
        ("high", ["a"], "rejected", []),
    ],
)
def test_proposal(risk: str, controls: list[str], decision: str, imposed: list[str]) -> None:
    assert propose(risk, controls) == (decision, imposed)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("The Pen-Test, please", ("penetration_test_report",)),
        ("penetration_test_report", ("penetration_test_report",)),
        ("SOC2 again, and the list of sub-processors", ("soc2_report", "subprocessor_list")),
        ("where is the data?", ADDITIONAL_KINDS),
    ],
)
def test_kinds_of_documents_that_a_person_names(text: str, kinds: tuple[str, ...]) -> None:
    assert kinds_in(text) == kinds


def _answer(graph: GatepostGraph, answer: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = graph.invoke(Command(resume=answer), CONFIG)
    return result


def _artifact(graph: GatepostGraph) -> dict[str, Any]:
    """The run's one artifact, which fits its schema and its checksum."""
    (row,) = graph.saver.bridge.run(graph.saver.history.artifacts(RUN))
    assert row["name"] == ARTIFACT
    assert row["sha256"] == f"sha256:{hashlib.sha256(row['content'].encode()).hexdigest()}"
    content: dict[str, Any] = json.loads(row["content"])
    jsonschema.validate(
        content, json.loads(schema_text()), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    return content


def _evidence(artifact: dict[str, Any]) -> dict[str, str]:
    return {item["document"]: item["sha256"] for item in artifact["evidence"]}


def _still_waits(graph: GatepostGraph, services: Services) -> None:
    values = graph.get_state(CONFIG).values
    assert (values["status"], values["approval"].status) == ("blocked", "open")
    rows = graph.saver.bridge.run(graph.saver.approvals.list("local", status=None, run_id=RUN))
    assert [row["principal"] for row in rows] == [None], "an answer was recorded"
    assert _attempts(services)["decisions"] == 0


def _acts(services: Services) -> dict[str, int]:
    return _count(services, lambda books: books["effects"])


def _attempts(services: Services) -> dict[str, int]:
    return _count(services, lambda books: books["attempts"])


def _count(services: Services, of: Callable[[EndpointBooks], int]) -> dict[str, int]:
    books = services.books()
    return {endpoint: of(books[endpoint]) for endpoint in ("documents", "screenings", "decisions")}


def _key(services: Services) -> str:
    (key,) = services.books()["decisions"]["by_key"]
    return key
