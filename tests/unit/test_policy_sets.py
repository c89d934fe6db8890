"""Tries to get more out of several policy sets than their owners gave: to widen silently, to lift a forbid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatepost import FixedPlan, Plan, Policy, Workflow
from gatepost.nodes.policy import InvalidPolicy, Verdict
from gatepost.nodes.policy_question import Question
from gatepost.nodes.policy_sets import PolicySets, set_of, tenants_of

RUN, ASK, FORBID = Verdict.RUN, Verdict.ASK, Verdict.FORBID


def permit(condition: str, *, note: str = "") -> str:
    return f'@id("p") {note} permit (principal, action == Action::"run", resource) when {{ {condition} }};'


def forbid(condition: str) -> str:
    return f'@id("f") forbid (principal, action == Action::"run", resource) when {{ {condition} }};'


READS, ALL, WRITES, NEVER = 'context.effect == "read"', "true", 'context.effect == "write"', "false"
DECIDES = 'permit (principal, action == Action::"decide", resource);'
LOUD = '@widens("ticket 4711")'


def asked(effect: str = "read", **changed: Any) -> Question:
    given = {"principal": "eve", "tenant": "acme", "workflow": "sale", "step": "s", "tool": "t", "origin": "model"}
    return Question(**{**given, "args": {}, "effect": effect, **changed})


def sets(base: str | None = None, workflow: str | None = None, tenant: str | None = None) -> PolicySets:
    return PolicySets(
        Policy.default() if base is None else Policy(base),
        workflows={} if workflow is None else {"sale": Policy(workflow)},
        tenants={} if tenant is None else {"acme": Policy(tenant)},
    )


CASES: list[Any] = [
    pytest.param((None, permit(ALL), None), ("read", RUN), ("write", ASK), id="a workflow's permit does not widen"),
    pytest.param((None, None, permit(ALL)), ("read", RUN), ("write", ASK), id="nor a tenant's"),
    pytest.param((None, permit(ALL), permit(ALL)), ("read", RUN), ("write", ASK), id="nor both"),
    pytest.param((None, permit(WRITES, note=LOUD), None), ("read", RUN), ("write", RUN), id="unless it says so"),
    pytest.param((None, None, permit(WRITES, note=LOUD)), ("read", RUN), ("write", RUN), id="or the tenant's does"),
    pytest.param((permit(ALL), permit(READS), None), ("read", RUN), ("write", ASK), id="a workflow's permits narrow"),
    pytest.param((permit(ALL), None, permit(NEVER)), ("read", ASK), ("write", ASK), id="a tenant narrows"),
    pytest.param((permit(ALL), permit(NEVER), permit(ALL, note=LOUD)), ("read", RUN), ("write", RUN), id="lifted"),
    pytest.param((permit(ALL), permit(ALL, note=LOUD), permit(READS)), ("read", RUN), ("write", ASK),
                 id="a workflow does not lift what its tenant narrows"),
    pytest.param((None, forbid(READS), None), ("read", FORBID), ("write", ASK), id="a workflow's forbid holds"),
    pytest.param((forbid(ALL), permit(ALL, note=LOUD), None), ("read", FORBID), ("write", FORBID), id="it holds"),
    pytest.param((None, forbid(ALL), permit(ALL, note=LOUD)), ("read", FORBID), ("write", FORBID), id="of no set"),
    pytest.param((None, "", ""), ("read", RUN), ("write", ASK), id="empty sets say nothing"),
    pytest.param(("", permit(ALL), None), ("read", ASK), ("write", ASK), id="default deny"),
    pytest.param((permit(ALL), forbid("context.cost * 9223372036854775807 > 1"), None), ("read", ASK), ("write", ASK),
                 id="what one set cannot evaluate asks"),
    pytest.param((None, DECIDES, None), ("read", RUN), ("write", ASK), id="not about running"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "read", "write"), CASES)
def test_how_sets_judge_together(texts: Any, read: Any, write: Any) -> None:
    judged = sets(*texts)
    for effect, verdict in (read, write):
        assert judged.judge(asked(effect, cost=2)).verdict is verdict


def test_sets_of_others_have_no_say() -> None:
    judged = sets(None, forbid(ALL), forbid(ALL))
    assert judged.judge(asked(workflow="other", tenant="other")).verdict is RUN
    assert judged.judge(asked(workflow="sale", tenant="other")).policies == ("workflow:f",)
    assert judged.judge(asked()).policies == ("workflow:f", "tenant:f")


def test_the_version_changes_with_the_text_of_any_set_that_judged() -> None:
    plain, more = sets(), sets(None, permit(READS))
    assert plain.judge(asked()).version == Policy.default().version
    assert more.judge(asked(workflow="other")).version == Policy.default().version
    versions = {sets(None, flow, tenant).judge(asked()).version
                for flow in (None, "", permit(READS)) for tenant in (None, "", permit(READS))}  # fmt: skip
    assert len(versions) == 9


def decide(judged: PolicySets, principal: str, requester: str = "eve", **more: Any) -> bool:
    said = judged.may_decide(
        principal=principal, requester=requester, tenant="acme", workflow="sale", step="s", tool="t", **more
    )
    return said.verdict is RUN


def test_who_decides_is_narrowed_in_the_same_way() -> None:
    cfo = 'permit (principal, action == Action::"decide", resource) when { context.roles.contains("cfo") };'
    judged = sets(None, cfo)
    assert decide(judged, "ada", roles=["cfo"])
    assert not decide(judged, "ada", roles=["clerk"])
    assert not decide(judged, "ada")
    assert not decide(judged, "eve", roles=["cfo"])
    irreversible = 'forbid (principal, action == Action::"decide", resource) when { context.effect == "irreversible" };'
    assert not decide(sets(None, None, irreversible), "ada", effect="irreversible")
    assert decide(sets(None, None, irreversible), "ada", effect="write")


def test_a_tenants_name_is_never_made_into_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (tmp_path / "secret.cedar").write_text(permit(ALL, note=LOUD))
    (folder / "acme.cedar").write_text(forbid(ALL))
    found = tenants_of(folder)
    assert list(found) == ["acme"]
    judged = PolicySets(Policy.default(), tenants=found)
    assert judged.judge(asked("write", tenant="../secret")).verdict is ASK
    assert judged.judge(asked("write")).verdict is FORBID


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match="there is no folder"):
        tenants_of(tmp_path / "nowhere")
    with pytest.raises(InvalidPolicy, match=r"pass Path\("):
        Workflow(name="w", goals=("g",), strategy=FixedPlan(Plan(steps=())), tools=(), policy="mine.cedar")
    with pytest.raises(InvalidPolicy, match="is a int"):
        set_of(3, whose="w")
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        Workflow(name="w", goals=("g",), strategy=FixedPlan(Plan(steps=())), tools=(), policy=tmp_path / "no.cedar")
